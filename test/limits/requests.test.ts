/** Requests per client: a bucket that all data threads share, 429 with an exact Retry-After, and no backend asked in vain. */
import t, { type Test } from 'tap'
import { linesOf, makeCertificate } from '../e2e/fixtures/support.ts'
import { type Backend, startBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { get, post } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import type { RawClient, RawResponse } from '../support/raw.ts'
import { clientFrom, countOf } from './fixtures/support.ts'

const certificate = await makeCertificate()

interface Rig {
  readonly balancer: Balancer
  readonly backend: Backend
  from(t: Test, address: string, service: string): Promise<RawClient>
}

async function start(t: Test, threads: number, engine: string): Promise<Rig> {
  const backend = await startBackend(t)
  const base = {
    protocol: 'http',
    listen: ['127.0.0.1:0'],
    health: { type: 'none' },
    backends: [backend.address],
  }
  const limited = (requestsPerClient: object, http: object = {}) => ({
    ...base,
    limits: { requestsPerClient },
    http: { engine, ...http },
  })
  const virtualServices = {
    slow: limited({ rate: '1/m', burst: 3 }),
    other: limited({ rate: '1/m', burst: 3 }),
    hourly: limited({ rate: '1000/h', burst: 1 }),
    second: limited({ rate: '2/s', burst: 1 }),
    fast: limited({ rate: '50/s', burst: 20 }),
    usual: limited({ rate: '4/m' }),
    proxied: limited({ rate: '1/m', burst: 2 }, { trustedProxies: ['127.0.0.9'] }),
    free: { ...base, http: { engine } },
  }
  const balancer = await startBalancer(t, { appliance: { threads }, virtualServices }, { files: certificate.files })
  return { balancer, backend, from: (t, address, service) => clientFrom(t, address, balancer.port(service)) }
}

async function ask(client: RawClient, request = get('/')): Promise<RawResponse> {
  client.send(request)
  return client.readResponse()
}

const retryAfter = ({ fields }: RawResponse): number => Number(valuesOf(fields, 'retry-after').join())

for (const [threads, engine] of [
  [1, 'native'],
  [2, 'native'],
  [2, 'http-proxy'],
] as const)
  t.test(`${engine} engine, ${threads} data threads`, async (t) => {
    const { balancer, backend, from } = await start(t, threads, engine)

    t.test('the burst goes on, what comes above is answered 429, on a connection that is kept', async (t) => {
      const client = await from(t, '127.0.0.2', 'slow')
      for (let i = 0; i < 3; i++) t.equal((await ask(client)).status, 200)
      const seen = backend.heads.length
      for (let i = 0; i < 3; i++) {
        const answer = await ask(client)
        t.equal(answer.status, 429)
        t.strictSame(valuesOf(answer.fields, 'connection'), [])
        t.ok(retryAfter(answer) >= 59 && retryAfter(answer) <= 60, `${retryAfter(answer)} s`)
        t.match(answer.body.toString(), /^429 Too Many Requests: /)
      }
      t.equal(backend.heads.length, seen, 'no backend was asked')
      t.equal(await countOf(balancer, 'slow', 'limit-rate'), 3)
      const lines = await linesOf(balancer, '429', (line) => line['status'] === 429 && line['service'] === 'slow', 3)
      for (const line of lines)
        t.match(line, { client: '127.0.0.2', reason: 'limit-rate', endedBy: 'client', backend: '', tries: 0 })
    })

    t.test('a client is its address, whatever its connections: over all threads it has one bucket', async (t) => {
      const clients = await Promise.all(Array.from({ length: 12 }, () => from(t, '127.0.0.3', 'slow')))
      const statuses = (await Promise.all(clients.map((client) => ask(client)))).map(({ status }) => status)
      t.equal(statuses.filter((status) => status === 200).length, 3)
      t.equal(statuses.filter((status) => status === 429).length, 9)
      for (const client of clients) client.destroy()
      t.equal((await ask(await from(t, '127.0.0.3', 'slow'))).status, 429, 'coming anew forgets nothing')
      t.equal((await ask(await from(t, '127.0.0.4', 'slow'))).status, 200, 'another client has its own')
      t.equal((await ask(await from(t, '127.0.0.3', 'other'))).status, 200, 'and so has another service')
    })

    t.test('Retry-After is the whole seconds after which a request goes on, and then it does', async (t) => {
      const hourly = await from(t, '127.0.0.2', 'hourly')
      t.equal((await ask(hourly)).status, 200)
      t.equal(retryAfter(await ask(hourly)), 4, '3.6 s')
      const client = await from(t, '127.0.0.2', 'second')
      const start = performance.now()
      t.equal((await ask(client)).status, 200)
      const granted = performance.now()
      const late = await ask(client)
      t.equal(late.status, 429)
      t.equal(retryAfter(late), 1, '0.5 s')
      await eventually('it goes on', async () => (await ask(client)).status === 200)
      const now = performance.now()
      t.ok(now - start >= 500, `not before its time: ${now - start} ms`)
      t.ok(now - granted <= 1000, `${now - granted} ms: not after the second that was told`)
    })

    t.test('the default burst is what the rate allows in two seconds, at least one', async (t) => {
      const client = await from(t, '127.0.0.2', 'usual')
      t.equal((await ask(client)).status, 200)
      t.equal((await ask(client)).status, 429)
    })

    t.test('a client that asks as fast as it can gets burst and rate, no more and not much less', async (t) => {
      const clients = await Promise.all(Array.from({ length: 8 }, () => from(t, '127.0.0.5', 'fast')))
      const start = performance.now()
      let granted = 0
      const insist = async (client: RawClient): Promise<void> => {
        while (performance.now() - start < 1000) if ((await ask(client)).status === 200) granted++
      }
      await Promise.all(clients.map(insist))
      const ms = performance.now() - start
      t.ok(granted <= 20 + (50 * ms) / 1000 + 1, `${granted} in ${ms} ms`)
      t.ok(granted >= 20 + 50 * 0.5, `${granted} in ${ms} ms`)
    })

    t.test('behind a trusted proxy the client is the one that it names', async (t) => {
      const proxy = await from(t, '127.0.0.9', 'proxied')
      const named = async (address: string) =>
        (await ask(proxy, get('/', `X-Forwarded-For: 203.0.113.77, ${address}\r\n`))).status
      t.strictSame([await named('192.0.2.1'), await named('192.0.2.1'), await named('192.0.2.1')], [200, 200, 429])
      t.equal(await named('192.0.2.2'), 200)
      t.strictSame(
        [await named('2001:db8::1'), await named('2001:db8::2'), await named('2001:db8::3')],
        [200, 200, 429],
      )
      t.equal(await named('2001:db8:0:1::1'), 200, 'another /64 is another client')
      const liar = await from(t, '127.0.0.8', 'proxied')
      const statuses: number[] = []
      for (let n = 1; n <= 3; n++)
        statuses.push((await ask(liar, get('/', `X-Forwarded-For: 192.0.2.${n}\r\n`))).status)
      t.strictSame(statuses, [200, 200, 429], 'nobody else names its client')
    })

    t.test('a body behind a refused request is not taken for a request', async (t) => {
      const seen = backend.heads.length
      const client = await from(t, '127.0.0.6', 'slow')
      for (let i = 0; i < 3; i++) t.equal((await ask(client)).status, 200)
      const inner = get('/smuggled')
      client.send(post(`Content-Length: ${inner.length}\r\n`, inner))
      const answer = await client.readResponse()
      t.equal(answer.status, 429)
      t.strictSame(valuesOf(answer.fields, 'connection'), ['close'])
      t.equal((await client.readUntilClose()).length, 0)
      t.equal(backend.heads.length, seen + 3)
    })

    t.test('pipelined requests are counted one by one', async (t) => {
      const client = await from(t, '127.0.0.7', 'slow')
      client.send(get('/').repeat(5))
      const statuses: number[] = []
      for (let i = 0; i < 5; i++) statuses.push((await client.readResponse()).status)
      t.strictSame(statuses, [200, 200, 200, 429, 429])
    })

    t.test('without a limit nobody is limited', async (t) => {
      const client = await from(t, '127.0.0.2', 'free')
      for (let i = 0; i < 300; i++) if ((await ask(client)).status !== 200) t.fail(`request ${i}`)
      t.match(await balancer.metrics(), /^evenkeel_client_table_full_total\{service="free"\} 0$/m)
    })

    t.test('a thread that dies takes no tokens along', async (t) => {
      const before = await from(t, '127.0.0.10', 'slow')
      for (const status of [200, 200, 200, 429]) t.equal((await ask(before)).status, status)
      for (let thread = 0; thread < threads; thread++)
        await balancer.get(`/api/v1/threads/${thread}/restart`, { method: 'POST' })
      await eventually('all threads are back', () => balancer.stderr().split(' is back').length > threads)
      t.equal((await ask(await from(t, '127.0.0.10', 'slow'))).status, 429)
    })
  })
