/** Reloads beside what else goes on: operators, threads that die, other reloads, signals, files that change. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect as connectH2 } from 'node:http2'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import t from 'tap'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import type { BackendExchange } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { connect } from '../support/raw.ts'
import {
  answers,
  answersAt,
  become,
  config,
  Estate,
  echoed,
  refused,
  reload,
  request,
  start,
  statusOf,
  viewOf,
} from './fixtures/reloads.ts'

const estate = await Estate.of(t)

t.test('what operators did holds, unless the entry itself has changed', async (t) => {
  const backends = (weight: number): object => ({
    backends: [
      { name: 'a', address: estate.a.address },
      { name: 'b', address: estate.b.address, weight },
    ],
  })
  const balancer = await start(t, { web: estate.web(backends(1)) })
  const post = (path: string) => balancer.get(`/api/v1/services/web/backends/${path}`, { method: 'POST' })
  await post('a/stop')
  await post('b/drainstop')
  await become(balancer, config({ web: estate.web({ ...backends(1), retries: 1 }) }))
  const held = await viewOf(balancer, 'web')
  t.strictSame(
    held.backends.map(({ admin }) => admin),
    ['maintenance', held.backends[1]?.admin],
  )
  t.not(held.backends[1]?.admin, 'ready')
  await become(balancer, config({ web: estate.web(backends(7)) }))
  const changed = await viewOf(balancer, 'web')
  t.strictSame(
    changed.backends.map(({ admin, weight, operated }) => [admin, weight, operated.operations]),
    [
      ['maintenance', 1, 'stopped'],
      ['ready', 7, 'started'],
    ],
  )
  t.equal(await answersAt(balancer.port('web')), 'b')
})

t.test('a stopped service stays stopped, and listens where it says now when it is started', async (t) => {
  const balancer = await start(t, { web: estate.web() })
  const port = balancer.port('web')
  await balancer.get('/api/v1/services/web/stop', { method: 'POST' })
  t.match(await become(balancer, config({ web: estate.web(estate.onB) })), { result: 'applied' })
  t.ok(await refused(port))
  await balancer.get('/api/v1/services/web/start', { method: 'POST' })
  t.equal(await answersAt(port), 'b')
})

t.test(
  'a data thread that is replaced begins with the present configuration, before, while and after a reload',
  async (t) => {
    const balancer = await start(t, { web: estate.web() })
    const port = balancer.port('web')
    const restart = (thread: number) => balancer.get(`/api/v1/threads/${thread}/restart`, { method: 'POST' })
    for (let n = 0; n < 4; n++) {
      const [dying, changed] = await Promise.all([
        restart(n % 2),
        become(balancer, config({ web: estate.web({ ...(n % 2 === 0 ? estate.onB : {}), retries: n }) })),
      ])
      t.equal(dying.status, 202)
      t.equal(changed.result, 'applied')
      await restart((n + 1) % 2)
      await eventually('both threads', async () => {
        const { threads } = await statusOf(balancer)
        return threads.every(({ restarts }) => restarts === n + 1)
      })
      const seen = new Set<string>()
      for (let i = 0; i < 20; i++) seen.add(await eventually('an answer', () => answersAt(port).catch(() => undefined)))
      t.strictSame([...seen], [n % 2 === 0 ? 'b' : 'a'])
    }
  },
)

t.test('reloads at once come one after the other, and --if-hash stops who has not seen the last one', async (t) => {
  const balancer = await start(t, { web: estate.web() })
  const { hash } = (await statusOf(balancer)).config
  await balancer.rewrite(config({ web: estate.web(estate.onB) }))
  const answers = await Promise.all([
    reload(balancer, { ifHash: hash }),
    reload(balancer, { ifHash: hash }),
    reload(balancer),
  ])
  t.strictSame(
    answers.map(({ result, exit }) => [result, exit]),
    [
      ['applied', 0],
      ['refused', 5],
      ['applied', 0],
    ],
  )
  t.equal(answers[2]?.sentence, 'no service differs')
  t.strictSame((await statusOf(balancer)).problems, [])
})

t.test('SIGHUP reloads', async (t) => {
  const balancer = await start(t, { web: estate.web() })
  await balancer.rewrite(config({ web: estate.web(estate.onB) }))
  balancer.process.kill('SIGHUP')
  await eventually('the reload', async () => (await statusOf(balancer)).config.by === 'SIGHUP')
  t.equal(await answersAt(balancer.port('web')), 'b')
})

t.test('with watch files are followed, included and new ones too; what is not valid changes nothing', async (t) => {
  const appliance = { threads: 1, watch: true }
  const main = config({ web: estate.web() }, { appliance, include: ['parts-*.yaml'] })
  const balancer = await startBalancer(t, main)
  const part = (services: object): Promise<void> =>
    writeFile(join(balancer.dir, 'parts-1.yaml'), JSON.stringify({ version: 1, virtualServices: services }))
  const counts = async (): Promise<string> =>
    ['success', 'failure']
      .map((result) => new RegExp(`reloads_total\\{result="${result}"\\} (\\d+)`).exec(metrics)?.[1])
      .join()
  let metrics = ''
  await part({ more: estate.raw() })
  await eventually('the new file', async () => (await statusOf(balancer)).services.length === 2)
  await part({ more: estate.raw({ retries: -1 }) })
  await eventually('the problem', async () => (await statusOf(balancer)).problems.length === 1)
  metrics = await balancer.metrics()
  t.equal(await counts(), '2,1')
  await echoed(await connect(Number((await viewOf(balancer, 'more')).listen[0]?.split(':')[1])))
  await balancer.rewrite({ ...main, virtualServices: { web: estate.web(estate.onB) } })
  await part({ more: estate.raw() })
  await eventually('the changed file', async () => (await answersAt(balancer.port('web'))) === 'b')
  await eventually('no problem', async () => (await statusOf(balancer)).problems.length === 0)
})

t.test('a client of a removed service that speaks HTTP gets its answer, and is told to go', async (t) => {
  const balancer = await start(t, { web: estate.web(), raw: estate.raw() })
  const client = await connect(balancer.port('web'))
  t.equal(await answers(client), 'a')
  await become(balancer, config({ raw: estate.raw() }))
  client.send(request())
  const last = await client.readResponse()
  t.equal(last.status, 200)
  t.strictSame(valuesOf(last.fields, 'connection'), ['close'])
})

t.test(
  'HTTP/2: streams under way end as they began, the next one of the same connection is under the new view',
  async (t) => {
    const cleartext = { http: { http2: { cleartext: true } } }
    const balancer = await start(t, { web: estate.web(cleartext) })
    const client = connectH2(`http://127.0.0.1:${balancer.port('web')}`)
    t.teardown(() => client.close())
    const ask = async (path: string): Promise<string> => {
      const stream = client.request({ ':path': path, ':authority': 'a.test' })
      let text = ''
      for await (const piece of stream.setEncoding('utf8')) text += piece
      return text.split(' ')[0] ?? ''
    }
    const held: BackendExchange[] = []
    estate.a.on('/held', (x) => held.push(x))
    t.equal(await ask('/'), 'a')
    const slow = ask('/held')
    await eventually('the request', () => held.length === 1)
    await become(balancer, config({ web: estate.web({ ...cleartext, ...estate.onB }) }))
    t.equal(await ask('/'), 'b')
    held[0]?.answer('a of before')
    t.equal(await slow, 'a')
    t.notOk(client.closed)
  },
)

t.test('over TLS: another certificate and another view, on the same port; connections go on', async (t) => {
  const authority = await makeAuthority('reload.test CA', 2)
  const files: Record<string, string> = {}
  for (const name of ['one', 'two']) {
    const { cert, key } = await makeLeaf(authority, [`${name}.test`], 1)
    files[`${name}.pem`] = cert
    files[`${name}.key`] = key
  }
  const secure = (name: string, more: object = {}): object =>
    estate.web({ protocol: 'https', tls: { certificates: [{ cert: `${name}.pem`, key: `${name}.key` }] }, ...more })
  const balancer = await startBalancer(t, config({ web: secure('one') }), { files })
  const port = balancer.port('web')
  const open = async (): Promise<TLSSocket> => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    t.teardown(() => socket.destroy())
    await once(socket, 'secureConnect')
    return socket
  }
  const ask = async (socket: TLSSocket): Promise<string> => {
    socket.write(request())
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    return /\r\n\r\n(\w+)/.exec(bytes.toString())?.[1] ?? bytes.toString()
  }
  const client = await open()
  t.equal(await ask(client), 'a')
  t.match(await become(balancer, config({ web: secure('two', estate.onB) })), { result: 'applied' })
  t.equal(await ask(client), 'b')
  t.equal((await open()).getPeerCertificate().subjectaltname, 'DNS:two.test')
})
