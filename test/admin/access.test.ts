/** Who gets an answer of the admin listener, and what it bears. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { startBalancer, startBalancerExpectingFailure } from '../support/balancer.ts'
import { connect } from '../support/raw.ts'
import { askRaw } from './support.ts'

const NOTHING = { virtualServices: {} }
const TOKEN = 'correct horse battery staple'
const open = await startBalancer(t, NOTHING)
const guarded = await startBalancer(t, { ...NOTHING, admin: { listen: '127.0.0.1:0', token: TOKEN } })

t.test('with a token only those who carry it are answered', async (t) => {
  const status = async (authorization?: string, path = '/api/v1/status'): Promise<number> =>
    (await askRaw(guarded.admin, path, { headers: authorization === undefined ? {} : { authorization } })).status
  t.equal(await status(`Bearer ${TOKEN}`), 200)
  t.equal(await status(`bearer ${TOKEN}`), 200)
  for (const wrong of [
    undefined,
    'Bearer',
    'Bearer ',
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
  ])
    t.equal(await status(wrong), 401, String(wrong))
  t.equal(await status(undefined, '/metrics'), 401)
  t.equal(await status(undefined, '/no/such/path'), 401, 'what there is, is told to none')
  t.equal(await status(undefined, '/livez'), 200)
  t.equal(await status(undefined, '/readyz'), 200)
  const refused = await askRaw(guarded.admin, '/api/v1/status')
  t.match(refused.headers['www-authenticate'], 'Bearer')
  t.equal((JSON.parse(refused.body) as { error: string }).error, 'unauthorized')
})

t.test('without a token a name in Host is refused, which DNS could point here', async (t) => {
  const status = async (host: string): Promise<number> =>
    (await askRaw(open.admin, '/api/v1/status', { headers: { host } })).status
  for (const host of ['localhost', 'LOCALHOST:9600', '127.0.0.1:9600', '[::1]:9600', '10.1.2.3'])
    t.equal(await status(host), 200, host)
  for (const host of ['evil.test', 'localhost.evil.test:9600', '127.0.0.1.evil.test', '[evil]', 'a@localhost'])
    t.equal(await status(host), 403, host)
})

t.test('with a token a name in Host is fine', async (t) => {
  const headers = { host: 'balancer.test:9600', authorization: `Bearer ${TOKEN}` }
  t.equal((await askRaw(guarded.admin, '/metrics', { headers })).status, 200)
})

t.test('a page of another origin changes nothing', async (t) => {
  const post = async (headers: Record<string, string>): Promise<number> =>
    (await askRaw(open.admin, '/api/v1/threads/99/restart', { method: 'POST', headers })).status
  t.equal(await post({ origin: 'http://evil.test' }), 403)
  t.equal(await post({ origin: 'null' }), 403)
  t.equal(await post({ origin: `https://${open.admin}` }), 403)
  t.equal(await post({ 'sec-fetch-site': 'cross-site' }), 403)
  t.equal(await post({ 'sec-fetch-site': 'same-site' }), 403)
  t.equal(await post({ origin: `http://${open.admin}`, 'sec-fetch-site': 'same-origin' }), 404, 'passed on')
  t.equal(await post({}), 404, 'no browser')
})

t.test('a body of more than 64 KiB is refused, with a length or without', async (t) => {
  const post = async (size: number, headers: Record<string, string> = {}): Promise<number> => {
    const body = Buffer.alloc(size)
    return (await askRaw(open.admin, '/api/v1/threads/99/restart', { method: 'POST', body, headers })).status
  }
  t.equal(await post(64 * 1024), 404, 'as much is read')
  t.equal(await post(64 * 1024 + 1), 413)
  t.equal(await post(64 * 1024, { 'transfer-encoding': 'chunked' }), 404)
  t.equal(await post(64 * 1024 + 1, { 'transfer-encoding': 'chunked' }), 413)
})

t.test('a head that is too long or too slow ends the connection', async (t) => {
  t.equal((await askRaw(open.admin, '/livez', { headers: { x: 'y'.repeat(17 * 1024) } })).status, 431)
  const slow = await connect(Number(open.admin.split(':').at(-1)))
  slow.send('GET /livez HTTP/1.1\r\n')
  t.match((await slow.readUntilClose(15_000)).toString(), /^HTTP\/1\.1 408 /)
})

t.test('a port that is in use is a failed start with a sentence', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const { port } = holder.address() as AddressInfo
  const { code, stdout, stderr } = await startBalancerExpectingFailure(t, {
    ...NOTHING,
    admin: { listen: `127.0.0.1:${port}` },
  })
  t.equal(code, 1)
  t.equal(stdout, '')
  t.match(stderr, `evenkeel: admin can't listen on 127.0.0.1:${port}: the port is in use\n`)
})
