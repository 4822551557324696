/** Faults within the process: threads that hang, fill their memory or throw are replaced, and cost nobody else anything. */
import t, { type Test } from 'tap'
import { run } from '../cli/support.ts'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { get } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { type Faults, faultsOf } from '../support/faults.ts'
import { pause } from '../support/pause.ts'
import { connect, type RawClient } from '../support/raw.ts'
import { parseExposition, sampleOf } from '../telemetry/exposition-format.ts'
import { echoed, flow } from './fixtures/reloads.ts'
import { activeOf, backendOf, logOf } from './fixtures/support.ts'

const CLIENTS = 24 // that all land on one of two threads: once in 10^7 runs

interface Rig {
  readonly balancer: Balancer
  readonly faults: Faults
}

async function start(t: Test, appliance: object): Promise<Rig> {
  const backend = await startBackend(t)
  const faults = faultsOf(t)
  const main = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' } }
  const virtualServices = { main: { ...main, backends: [{ name: 'b1', address: backend.address }] } }
  return { balancer: await startBalancer(t, { appliance, virtualServices }, { env: faults.env }), faults }
}

const metric = async (balancer: Balancer, name: string, labels: Record<string, string>): Promise<number | undefined> =>
  sampleOf(parseExposition(await balancer.metrics()), name, labels)

const logged = (balancer: Balancer, pattern: RegExp): Record<string, unknown>[] =>
  logOf(balancer).filter(({ msg }) => pattern.test(String(msg)))

async function served(client: RawClient): Promise<boolean> {
  client.send(get('/'))
  return (await client.readResponse()).status === 200
}

async function clientsOf(t: Test, balancer: Balancer): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (let i = 0; i < CLIENTS; i++) {
    const client = await connect(balancer.port('main'))
    t.teardown(() => client.destroy())
    clients.push(client)
    if (!(await served(client))) throw new Error('not served')
  }
  return clients
}

const ROWS = [
  ['spin', 'hang', /event loop has stood still for 2\.\d s/, 5000],
  ['fill', 'memory', /its heap holds \d+ MiB and may hold 64$/, 30_000],
  ['throw', 'error', /TypeError: a planted fault/, 5000],
  ['reject', 'error', /TypeError: a planted fault/, 5000],
] as const

for (const [fault, cause, why, deadline] of ROWS)
  t.test(`${fault}: only the thread that it befalls is replaced, with its cause told`, async (t) => {
    const { balancer, faults } = await start(t, {
      threads: 2,
      threadHeap: '64MiB',
      hangTimeout: fault === 'spin' ? '2s' : '30s',
    })
    const clients = await clientsOf(t, balancer)
    faults.plant(0, fault)
    await eventually('it is back', () => logged(balancer, /^data thread 0 is back$/).length === 1, deadline)
    const [line, ...more] = logged(balancer, /^data thread 0 died: it is replaced, its connections are lost$/)
    t.equal(more.length, 0, 'one line')
    t.match(line, { cause, why })
    t.equal(await metric(balancer, 'evenkeel_data_thread_restarts_total', { thread: '0', cause }), 1)
    t.equal(await metric(balancer, 'evenkeel_data_thread_restarts_total', { thread: '1', cause }), 0)
    const errors = { thread: '0', ended: 'thread' }
    t.equal(await metric(balancer, 'evenkeel_uncaught_errors_total', errors), cause === 'error' ? 1 : 0)
    const alive = clients.filter(({ ending }) => ending === undefined)
    t.ok(alive.length > 0 && alive.length < CLIENTS, `${alive.length} of ${CLIENTS} live on`)
    for (const client of alive) t.ok(await served(client))
    t.equal(await activeOf(balancer, 'main'), alive.length, 'what it held is not counted any more')
    t.equal((await backendOf(balancer, 'main', 'b1')).active, 0)
    for (const client of await clientsOf(t, balancer)) t.equal(client.ending, undefined, 'new clients are served')
    t.equal((await balancer.get('/readyz')).status, 200)
  })

t.test(
  'an error within a flow ends that flow alone, with the other flows of its thread left as they are',
  async (t) => {
    const { balancer, faults } = await start(t, { threads: 1 })
    faults.plant(0, 'flows')
    const [kept] = await clientsOf(t, balancer)
    const attempt = async (): Promise<boolean> => {
      const client = await connect(balancer.port('main'))
      client.send(get('/', 'X-Fault: planted-fault\r\n'))
      const end = await Promise.race([client.untilClosed(), client.readResponse().then(() => 'answered')])
      client.destroy()
      return end === 'reset'
    }
    await eventually('the fault is planted', attempt)
    const faultsBefore = (await metric(balancer, 'evenkeel_uncaught_errors_total', { thread: '0', ended: 'flow' })) ?? 0
    for (let i = 0; i < 5; i++) t.ok(await attempt(), 'its connection is reset')
    t.equal(
      await metric(balancer, 'evenkeel_uncaught_errors_total', { thread: '0', ended: 'flow' }),
      faultsBefore + 5,
      'each is counted',
    )
    t.match(logged(balancer, /^an unexpected error ended a flow: a planted fault$/)[0], {
      thread: 0,
      client: /^127\.0\.0\.1:\d+$/,
      err: { stack: /TypeError: a planted fault\n +at/ },
    })
    t.ok(kept !== undefined && (await served(kept)), 'another client of the same thread is served on')
    t.match(await balancer.status(), { threads: [{ restarts: 0, state: 'running' }] })
    await eventually('nothing of it is counted', async () => (await activeOf(balancer, 'main')) === CLIENTS)
  },
)

t.test('an error in what a backend sends ends the request, and no other', async (t) => {
  const backend = await startBackend(t)
  backend.onRequest = (x) => x.answer(x.request.target === '/bad' ? 'planted-fault' : 'fine')
  const faults = faultsOf(t)
  const main = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
  const balancer = await startBalancer(t, { virtualServices: { main } }, { env: faults.env })
  faults.plant(0, 'flows')
  const kept = await connect(balancer.port('main'))
  t.teardown(() => kept.destroy())
  t.ok(await served(kept))
  const attempt = async (): Promise<boolean> => {
    const client = await connect(balancer.port('main'))
    client.send(get('/bad'))
    const end = await Promise.race([client.untilClosed(), client.readResponse().then(() => 'answered')])
    client.destroy()
    return end === 'reset'
  }
  await eventually('the fault is planted', attempt)
  t.ok(await served(kept))
  await eventually('nothing of it is counted', async () => (await activeOf(balancer, 'main')) === 1)
  t.match(await balancer.status(), { threads: [{ restarts: 0 }] })
  await eventually('it is in the access log', async () =>
    (await balancer.accessLog()).some(({ reason, endedBy }) => reason === 'internal' && endedBy === 'us'),
  )
})

t.test('a control thread that stands still for 5 s stops no traffic, and blames no thread for it', async (t) => {
  const { balancer, faults } = await start(t, { threads: 2 })
  const clients = await clientsOf(t, balancer)
  let over = false
  let silence = 0
  const admin = async (): Promise<void> => {
    let heard = performance.now()
    while (!over) {
      const well = await balancer.get('/livez').then(
        ({ ok }) => ok,
        () => false,
      )
      if (well) {
        silence = Math.max(silence, performance.now() - heard)
        heard = performance.now()
      }
      await pause(20)
    }
  }
  const asking = admin()
  faults.plant('control', 'stand')
  let slowest = 0
  let rounds = 0
  for (const begun = performance.now(); performance.now() - begun < 6000; rounds++) {
    const fresh = await connect(balancer.port('main'))
    for (const client of [...clients, fresh]) {
      const sent = performance.now()
      if (!(await served(client))) t.fail('a request was not served')
      slowest = Math.max(slowest, performance.now() - sent)
    }
    fresh.destroy()
    await pause(20)
  }
  await eventually('control is back', () => silence > 3000, 10_000)
  over = true
  await asking
  t.comment(`${rounds} rounds of ${CLIENTS + 1} requests, the slowest answer after ${slowest.toFixed(1)} ms`)
  t.ok(rounds > 10)
  t.ok(slowest < 1500, `the slowest answer took ${slowest} ms`)
  t.match(await balancer.status(), { threads: [{ restarts: 0 }, { restarts: 0 }] })
  t.strictSame(logged(balancer, /died/), [])
})

t.test('an error in the control thread is counted, logged and told, and traffic goes on', async (t) => {
  const { balancer, faults } = await start(t, { threads: 1 })
  const [client] = await clientsOf(t, balancer)
  for (const [i, fault] of (['throw', 'reject'] as const).entries()) {
    faults.plant('control', fault)
    await eventually('it is counted', async () => {
      const count = await metric(balancer, 'evenkeel_uncaught_errors_total', { thread: 'control', ended: 'nothing' })
      return count === i + 1
    })
  }
  t.match(logged(balancer, /^unexpected error in the control thread, traffic goes on: a planted fault/)[0], {
    err: { stack: /TypeError/ },
  })
  t.ok(client !== undefined && (await served(client)))
  const { stdout } = await run(t, ['query', '--admin', balancer.admin])
  t.match(stdout, /^2 unexpected errors in the control thread, the last at [^ ]+: a planted fault\n/)
})

t.test('a crash loop waits longer each time and is told; readiness says when no thread is left', async (t) => {
  const { balancer, faults } = await start(t, { threads: 1 })
  const deaths = (): number => logged(balancer, /^data thread 0 died/).length
  const waits: string[] = []
  for (let i = 1; i <= 5; i++) {
    faults.plant(0, 'throw')
    await eventually(`death ${i}`, () => deaths() === i, 10_000)
    waits.push(/replaced(.*), its/.exec(String(logged(balancer, /^data thread 0 died/)[i - 1]?.['msg']))?.[1] ?? '?')
  }
  t.strictSame(waits, [
    '',
    ' in 0.1 s (2 deaths in a row)',
    ' in 0.2 s (3 deaths in a row)',
    ' in 0.4 s (4 deaths in a row)',
    ' in 0.8 s (5 deaths in a row)',
  ])
  const ready = await balancer.get('/readyz')
  t.strictSame([ready.status, await ready.text()], [503, 'no data thread serves\n'])
  const { stdout } = await run(t, ['query', '--admin', balancer.admin])
  t.match(stdout, /^data thread 0 does not serve \(5 deaths in a row\): TypeError: a planted fault\n/)
  await eventually('it serves again', async () => (await balancer.get('/readyz')).status === 200, 10_000)
  t.ok(await served(await connect(balancer.port('main'))))
})

t.test('a thread that hangs in a system call is told of, and the process ends all the same', async (t) => {
  const { balancer, faults } = await start(t, { threads: 2 })
  faults.plant(0, 'native')
  await eventually('it is told', () => logged(balancer, /hangs in native code/).length === 1, 10_000)
  t.match(await balancer.status(), { threads: [{ state: 'ending' }, { state: 'running' }] })
  const { stdout } = await run(t, ['query', '--admin', balancer.admin])
  t.match(stdout, /^data thread 0 is being ended: .* hangs in native code/)
  t.equal((await balancer.get('/readyz')).status, 200, 'the other thread serves')
  balancer.process.kill('SIGTERM')
  await eventually('it drains', () => logged(balancer, /^SIGTERM/).length === 1)
  t.strictSame(await balancer.stop('SIGTERM', 20_000), { code: null, signal: 'SIGKILL' })
  t.equal(logged(balancer, /^a data thread hangs in native code: the process is killed$/).length, 1)
})

t.test(
  'an error in a timer ends the flow that it is of, with the other flows of its thread left as they are',
  async (t) => {
    const backend = await startBackend(t)
    const echo = await startTcpBackend(t)
    const faults = faultsOf(t)
    const listen = ['127.0.0.1:0']
    const health = { type: 'none' }
    const web = { protocol: 'http', listen, health, backends: [{ name: 'b1', address: backend.address }] }
    const raw = { protocol: 'tcp', listen, health, backends: [{ name: 'b1', address: echo.address }] }
    const virtualServices = {
      main: { ...web, timeouts: { keepAlive: '500ms' } },
      patient: web,
      raw: { ...raw, timeouts: { idle: '500ms' } },
      quiet: raw,
    }
    const balancer = await startBalancer(t, { appliance: { threads: 1 }, virtualServices }, { env: faults.env })
    faults.plant(0, 'timers')
    const patient = await connect(balancer.port('patient'))
    const quiet = await flow(balancer.port('quiet'))
    t.ok(await served(patient))
    const faultsSeen = (): number => logged(balancer, /^an unexpected error ended a flow: a planted fault$/).length
    await eventually('the fault is there, and a flow meets it', async () => {
      const stream = await flow(balancer.port('raw'))
      await stream.untilClosed(20_000)
      return faultsSeen() > 0
    })
    const before = faultsSeen()
    const client = await connect(balancer.port('main'))
    t.ok(await served(client))
    await client.untilClosed(20_000)
    await eventually('it is told', () => faultsSeen() > before)
    const told = { thread: '0', ended: 'flow' }
    await eventually('each is counted', async () => {
      return (await metric(balancer, 'evenkeel_uncaught_errors_total', told)) === faultsSeen()
    })
    t.ok(await served(patient), 'a connection of the same thread')
    await echoed(quiet)
    await eventually('what they held is given back', async () => {
      const active = [await activeOf(balancer, 'main'), await activeOf(balancer, 'raw')]
      return active.every((n) => n === 0) && (await backendOf(balancer, 'raw', 'b1')).active === 0
    })
    t.strictSame(logged(balancer, /died/), [])
    for (const each of [patient, quiet]) each.destroy()
  },
)
