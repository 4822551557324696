/** What operators' verbs do to flows: of a backend, of a service, of the appliance; over the API, with two threads. */
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import type { BackendView, ServiceView, StatusView, VerbAnswer } from '../../lib/admin/index.ts'
import { askRaw, json, serviceOf } from '../admin/support.ts'
import { type BackendExchange, startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { connect, type RawClient, roundTrip } from '../support/raw.ts'
import { changesOf, linesOf, untilState } from './fixtures/support.ts'

const a = await startBackend(t, 'a')
const b = await startBackend(t, 'b')
const echo = await startTcpBackend(t)
const listen = ['127.0.0.1:0']
const request = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`

function start(t: Test, more: object = {}, service: object = {}): Promise<Balancer> {
  const health = { type: 'none' }
  return startBalancer(t, {
    appliance: { threads: 2 },
    ...more,
    virtualServices: {
      web: {
        listen,
        protocol: 'http',
        health,
        backends: [a, b].map(({ name, address }) => ({ name, address })),
        ...service,
      },
      raw: { listen, protocol: 'tcp', health, backends: [{ name: 'echo', address: echo.address }], ...service },
    },
  })
}

/** Carries a verb out on `''`, `web` or `web/a`. */
async function act(balancer: Balancer, target: string, verb: string, body: object = {}): Promise<VerbAnswer> {
  const [service, backend] = target.split('/')
  const path = `${service ? `/services/${service}` : ''}${backend === undefined ? '' : `/backends/${backend}`}`
  const headers = { 'content-type': 'application/json' }
  const answer = await askRaw(balancer.admin, `/api/v1${path}/${verb}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  return JSON.parse(answer.body) as VerbAnswer
}

async function flow(balancer: Balancer): Promise<RawClient> {
  const client = await connect(balancer.port('raw'))
  await echoed(client)
  return client
}

async function echoed(client: RawClient): Promise<string> {
  client.send('hello')
  return (await client.readBytes(5)).toString()
}

const bodyOf = async (balancer: Balancer): Promise<string> =>
  (await roundTrip(balancer.port('web'), request('/'))).body.toString().split(' ')[0] ?? ''

t.test('a backend that drains keeps its request, gets no new one, and is in maintenance with its end', async (t) => {
  const balancer = await start(t)
  const held: BackendExchange[] = []
  for (const backend of [a, b]) backend.on('/held', (x) => held.push(x))
  const clients = [await connect(balancer.port('web')), await connect(balancer.port('web'))]
  for (const client of clients) client.send(request('/held'))
  await eventually('both held', () => held.length === 2)
  const answer = await act(balancer, 'web/a', 'drainstop')
  t.match(answer, { operations: 'draining', flows: 1, changed: true, exit: 0 })
  t.match(answer.sentence, /^draining, 1 flow left, cut in 300 s at the latest$/)
  for (let i = 0; i < 6; i++) t.equal(await bodyOf(balancer), 'b')
  for (const x of held) x.answer('done')
  for (const client of clients) t.equal((await client.readResponse()).body.toString(), 'done')
  await untilState(balancer, 'a', 'maintenance')
  t.strictSame(changesOf(balancer, 'a'), ['up draining operator', 'draining maintenance drain-ended'])
  for (const client of clients) {
    client.send(request('/'))
    t.equal(
      (await client.readResponse()).body.toString().split(' ')[0],
      'b',
      'keep-alive connections stay, and go on elsewhere',
    )
    client.destroy()
  }
  t.match(await act(balancer, 'web/a', 'start'), { operations: 'started', sentence: 'started' })
  const seen = new Set<string>()
  for (let i = 0; i < 8; i++) seen.add(await bodyOf(balancer))
  t.strictSame([...seen].sort(), ['a', 'b'])
})

t.test('the drain of a backend is cancelled by start, cut by stop and by its deadline', async (t) => {
  const balancer = await start(t)
  const client = await flow(balancer)
  await act(balancer, 'raw/echo', 'drainstop')
  t.match(await act(balancer, 'raw/echo', 'start'), { sentence: 'started again, drain cancelled' })
  t.equal(await echoed(client), 'hello')
  await act(balancer, 'raw/echo', 'drainstop')
  t.match(await act(balancer, 'raw/echo', 'stop'), { sentence: 'stopped, drain cut short, 1 flow cut', cut: 1 })
  t.equal(await client.untilClosed(), 'reset')
  t.match(await json<BackendView>(balancer, '/api/v1/services/raw/backends/echo'), {
    state: 'maintenance',
    admin: 'maintenance',
  })
  await act(balancer, 'raw/echo', 'start')
  const next = await flow(balancer)
  await act(balancer, 'raw/echo', 'drainstop', { timeout: '300ms' })
  t.equal(await next.untilClosed(), 'reset')
  await untilState(balancer, 'echo', 'maintenance')
  await eventually('the end of the drain', async () => {
    const { operated } = await json<BackendView>(balancer, '/api/v1/services/raw/backends/echo')
    return operated.lastDrain?.by === 'deadline' && operated.lastDrain.cut === 1
  })
})

t.test(
  'drainstop on a service: 200 flows go on, none begins, and those left at the deadline are cut and counted',
  async (t) => {
    const balancer = await start(t)
    const clients = await Promise.all(Array.from({ length: 200 }, () => flow(balancer)))
    let refused = 0
    let began = 0
    let storming = true
    let ordered = false
    const storm = (async () => {
      while (storming) {
        const before = ordered
        const client = await connect(balancer.port('raw')).catch(() => null)
        client?.destroy()
        if (before) client === null ? refused++ : began++
        await new Promise((done) => setTimeout(done, 2))
      }
    })()
    const answer = await act(balancer, 'raw', 'drainstop', { timeout: '4s' })
    ordered = true
    t.equal(answer.operations, 'draining')
    for (const client of clients.slice(0, 150)) {
      t.equal(await echoed(client), 'hello', 'a flow goes on')
      client.end()
    }
    const view = await eventually('150 ends', async () => {
      const { operated } = await serviceOf(balancer, 'raw')
      return operated.flows === 50 && operated
    })
    t.equal(view.operations, 'draining')
    t.ok((view.drain?.initial ?? 0) >= 200)
    t.ok(Date.parse(view.drain?.estimatedEnd ?? '') <= Date.parse(view.drain?.deadline ?? ''), 'an end is estimated')
    await eventually(
      'the age of the oldest',
      async () => ((await serviceOf(balancer, 'raw')).operated.drain?.oldestMs ?? 0) > 0,
    )
    const ends = await Promise.all(clients.slice(150).map((client) => client.untilClosed(10_000)))
    t.ok(ends.every((end) => end === 'reset'))
    const last = await eventually(
      'the end of the drain',
      async () => (await serviceOf(balancer, 'raw')).operated.lastDrain ?? false,
    )
    t.match(last, { by: 'deadline', cut: 50 })
    storming = false
    await storm
    t.equal(began, 0, 'no new flow after the answer')
    t.ok(refused > 10, `${refused} were refused`)
    const cut = await linesOf(balancer, 'cut flows', ({ reason }) => reason === 'cut', 50)
    t.equal(cut.length, 50, 'the access log counts the same')
    t.match(
      balancer.stderr(),
      /"cut":50,"flows":2\d\d,"msg":"raw: the drain has ended at its deadline, 50 cut; stopped"/,
    )
  },
)

t.test('HTTP connections of a service that drains are closed politely, with the next answer', async (t) => {
  const balancer = await start(t)
  const held: BackendExchange[] = []
  for (const backend of [a, b]) backend.on('/polite', (x) => held.push(x))
  const [busy, idle, silent] = await Promise.all([0, 1, 2].map(() => connect(balancer.port('web'))))
  if (busy === undefined || idle === undefined || silent === undefined) throw new Error('three clients')
  for (const client of [idle, silent]) {
    client.send(request('/'))
    await client.readResponse()
  }
  busy.send(request('/polite'))
  await eventually('the request', () => held.length === 1)
  await act(balancer, 'web', 'drainstop')
  idle.send(request('/one-more'))
  const answer = await idle.readResponse()
  t.strictSame([answer.status, ...valuesOf(answer.fields, 'connection')], [200, 'close'])
  t.equal(await idle.untilClosed(), 'end')
  t.equal(await silent.untilClosed(), 'end', 'one that stays idle is closed soon')
  await t.rejects(connect(balancer.port('web')), { code: 'ECONNREFUSED' })
  held[0]?.answer('late')
  const late = await busy.readResponse()
  t.strictSame([late.body.toString(), ...valuesOf(late.fields, 'connection')], ['late', 'close'])
  for (const client of [busy, idle, silent]) client.destroy()
  await eventually(
    'the end of the drain',
    async () => (await serviceOf(balancer, 'web')).operated.sentence === 'stopped',
  )
  t.match(await act(balancer, 'web', 'start'), { sentence: 'started' })
  t.match(await bodyOf(balancer), /^[ab]$/)
})

t.test('a stopped service listens nowhere, in a replaced thread neither, and listens again after start', async (t) => {
  const balancer = await start(t)
  const client = await flow(balancer)
  t.match(await act(balancer, 'raw', 'stop'), { sentence: 'stopped, 1 flow cut', cut: 1, flows: 0 })
  t.equal(await client.untilClosed(), 'reset')
  for (let i = 0; i < 4; i++) await t.rejects(connect(balancer.port('raw')), { code: 'ECONNREFUSED' })
  for (const thread of [0, 1]) await askRaw(balancer.admin, `/api/v1/threads/${thread}/restart`, { method: 'POST' })
  await eventually('both threads are back', async () => {
    const { threads } = await json<StatusView>(balancer, '/api/v1/status')
    return threads.every(({ restarts }) => restarts === 1)
  })
  await eventually('web is served again', async () => (await bodyOf(balancer).catch(() => '')) !== '')
  await t.rejects(connect(balancer.port('raw')), { code: 'ECONNREFUSED' })
  await act(balancer, 'raw', 'start')
  for (const each of await Promise.all([0, 1, 2, 3].map(() => flow(balancer)))) each.destroy()
})

t.test('start says so when the port was taken meanwhile, and the service stays stopped', async (t) => {
  const balancer = await start(t)
  await act(balancer, 'raw', 'stop')
  const thief = createServer()
  await new Promise<void>((done) => thief.listen(balancer.port('raw'), '127.0.0.1', done))
  const headers = { 'content-type': 'application/json' }
  const failed = await askRaw(balancer.admin, '/api/v1/services/raw/start', { method: 'POST', headers, body: '{}' })
  t.equal(failed.status, 500)
  t.match(JSON.parse(failed.body), { error: 'failed', message: /service raw can't listen on .*: the port is in use/ })
  t.equal((await serviceOf(balancer, 'raw')).operated.sentence, 'stopped')
  await new Promise((done) => thief.close(done))
  t.match(await act(balancer, 'raw', 'start'), { sentence: 'started' })
  ;(await flow(balancer)).destroy()
})

t.test(
  'the appliance stops all services and /readyz says so; what a service was told holds when it starts',
  async (t) => {
    const balancer = await start(t)
    await act(balancer, 'raw', 'stop')
    const client = await connect(balancer.port('web'))
    t.match(await act(balancer, '', 'drainstop'), { operations: 'draining', flows: 1 })
    t.equal((await balancer.get('/readyz')).status, 503)
    t.equal(await (await balancer.get('/readyz')).text(), 'draining\n')
    client.end()
    await eventually('the end', async () => (await (await balancer.get('/readyz')).text()) === 'stopped\n')
    await t.rejects(connect(balancer.port('web')), { code: 'ECONNREFUSED' })
    t.match(await act(balancer, 'raw', 'start'), { sentence: 'started; the appliance is stopped' })
    await t.rejects(connect(balancer.port('raw')), { code: 'ECONNREFUSED' })
    await act(balancer, 'raw', 'stop')
    t.match(await act(balancer, '', 'start'), { sentence: 'started' })
    t.equal((await balancer.get('/readyz')).status, 200)
    t.match(await bodyOf(balancer), /^[ab]$/)
    await t.rejects(connect(balancer.port('raw')), { code: 'ECONNREFUSED' })
    t.equal((await balancer.stop()).code, 0)
  },
)

t.test('SIGTERM ends a balancer that is stopped or drains, with 0 when nothing is cut', async (t) => {
  const stopped = await start(t)
  await act(stopped, '', 'stop')
  t.equal((await stopped.stop()).code, 0)
  const draining = await start(t)
  const client = await flow(draining)
  await act(draining, '', 'drainstop')
  draining.process.kill('SIGTERM')
  client.end()
  t.strictSame(await within(draining.exited, 'the end'), { code: 0, signal: null })
})

t.test('many operators at once: verbs on one thing are carried out one after the other', async (t) => {
  const balancer = await start(t)
  const verbs = ['start', 'stop', 'drainstop', 'start', 'stop', 'start', 'drainstop', 'stop']
  const answers = await Promise.all(
    verbs.flatMap((verb) => ['', 'raw', 'web', 'web/a'].map((target) => act(balancer, target, verb))),
  )
  for (const answer of answers) t.match(answer, { exit: 0 })
  for (const target of ['', 'raw', 'web', 'web/a']) await act(balancer, target, 'start')
  t.match(await bodyOf(balancer), /^[ab]$/)
  ;(await flow(balancer)).destroy()
  const views = await json<ServiceView[]>(balancer, '/api/v1/services')
  t.ok(views.every(({ operated }) => operated.sentence === 'started'))
})

t.test('what the API is asked is checked: type of the body, its keys and values', async (t) => {
  const balancer = await start(t)
  const type = { 'content-type': 'application/json' }
  const cases: [verb: string, body: string, headers: Record<string, string>, status: number][] = [
    ['stop', '{"reason":"x"}', { 'content-type': 'text/plain' }, 400],
    ['stop', '{"reason":', type, 400],
    ['stop', '[]', type, 400],
    ['stop', '{"raison":"x"}', type, 400],
    ['stop', '{"timeout":"5s"}', type, 400],
    ['stop', '{"reason":5}', type, 400],
    ['stop', `{"reason":"${'x'.repeat(501)}"}`, type, 400],
    ['drainstop', '{"timeout":"soon"}', type, 400],
    ['drainstop', '{"timeout":5}', type, 400],
    ['weight', '', {}, 400],
    ['weight', '{"weight":"5"}', type, 400],
    ['weight', '{"weight":-1}', type, 400],
    ['stop', '', { origin: 'http://evil.example' }, 403],
    ['stop', '', { 'sec-fetch-site': 'cross-site' }, 403],
  ]
  for (const [verb, body, headers, status] of cases) {
    const answer = await askRaw(balancer.admin, `/api/v1/services/web/backends/a/${verb}`, {
      method: 'POST',
      headers,
      body,
    })
    t.equal(answer.status, status, `${verb} ${body.slice(0, 30)}: ${answer.body.trim()}`)
  }
  t.match(await json<BackendView>(balancer, '/api/v1/services/web/backends/a'), {
    state: 'up',
    operated: { last: null },
  })
  t.equal(
    (await askRaw(balancer.admin, '/api/v1/services/web/backends/a/stop', { method: 'POST' })).status,
    200,
    'no body is needed',
  )
})

t.test('with a token configured no verb is carried out without it', async (t) => {
  const balancer = await start(t, { admin: { listen: '127.0.0.1:0', token: 'secret' } })
  for (const headers of [{}, { authorization: 'Bearer wrong' }])
    for (const path of ['/api/v1/stop', '/api/v1/services/web/stop', '/api/v1/services/web/backends/a/weight'])
      t.equal((await askRaw(balancer.admin, path, { method: 'POST', headers })).status, 401)
  t.match(await bodyOf(balancer), /^[ab]$/)
  const headers = { authorization: 'Bearer secret' }
  t.equal((await askRaw(balancer.admin, '/api/v1/stop', { method: 'POST', headers })).status, 200)
})
