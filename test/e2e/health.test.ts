/** Probes decide who gets flows: unknown until the first result, down after `fall`, back after `rise`. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import t from 'tap'
import { type Backend, type BackendExchange, startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect, roundTrip } from '../support/raw.ts'
import { startBlackhole } from './fixtures/blackhole.ts'
import { backendOf, changesOf, fields, type Line, linesOf, logOf, untilState } from './fixtures/support.ts'

const FAST = { interval: '50ms', fastInterval: '50ms', downInterval: '50ms' }
const HTTP_PROBE = { type: 'http', path: '/healthz', ...FAST }
const http = (backends: readonly Backend[], health: object, more: object = {}): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  health,
  backends: backends.map(({ name, address }) => ({ name, address })),
  ...more,
})
const get = (balancer: Balancer, target = '/') =>
  roundTrip(balancer.port('main'), `GET ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`)
const isProbe = ({ target }: { target: string }): boolean => target === '/healthz'

t.test('before the first probe result a request is held, and answered with 503 when the grace is over', async (t) => {
  const backend = await startBackend(t, 'b1')
  backend.on('/healthz', () => undefined) // never answers
  const health = { ...HTTP_PROBE, interval: '1s', timeout: '10s', startGrace: '400ms' }
  const balancer = await startBalancer(t, { virtualServices: { main: http([backend], health) } })
  const begun = performance.now()
  const { status, fields: said } = await get(balancer)
  t.equal(status, 503)
  t.ok(said.length > 0)
  const elapsed = performance.now() - begun
  t.ok(elapsed > 250 && elapsed < 2000, `after ${elapsed} ms`)
  t.strictSame(fields(await backendOf(balancer, 'main', 'b1'), 'state', 'health'), ['unknown', 'unknown'])
  t.strictSame(
    backend.heads.filter((head) => !isProbe(head)),
    [],
  )
  const [line = {}] = await linesOf(balancer, 'main', () => true)
  t.strictSame(fields(line, 'status', 'reason', 'endedBy', 'tries'), [503, 'no-backend', 'us', 0])
})

t.test('a held request goes to the backend as soon as its first probe passes', async (t) => {
  const backend = await startBackend(t, 'b1')
  const held: BackendExchange[] = []
  backend.on('/healthz', (x) => (held.length === 0 ? held.push(x) : x.answer('ok')))
  const health = { ...HTTP_PROBE, interval: '1s', timeout: '10s', startGrace: '30s' }
  const balancer = await startBalancer(t, { virtualServices: { main: http([backend], health) } })
  const [first, second] = [get(balancer, '/first'), get(balancer, '/second')]
  await eventually('the probe', () => held.length === 1)
  t.strictSame(
    backend.heads.filter((head) => !isProbe(head)),
    [],
    'nothing gets through yet',
  )
  held[0]?.answer('ok')
  t.strictSame([(await first).status, (await second).status], [200, 200])
  t.strictSame(changesOf(balancer, 'b1'), ['unknown up probe'])
})

t.test('a held TCP flow is reset when the grace is over', async (t) => {
  const backend = await startTcpBackend(t)
  const port = Number((await startBlackhole(t)).split(':')[1])
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'tcp',
        listen: ['127.0.0.1:0'],
        health: { type: 'tcp', port, interval: '1s', timeout: '10s', startGrace: '300ms' },
        backends: [backend.address],
      },
    },
  })
  const client = await connect(balancer.port('main'))
  client.send('early')
  t.equal(await client.untilClosed(), 'reset')
  t.strictSame(backend.connections, [])
})

t.test('`fall` failures in a row take a backend out, `rise` passes in a row bring it back, and no fewer', async (t) => {
  const backend = await startBackend(t, 'b1')
  // P passes, F fails. Two failures are too few for fall: 3, one pass is too few for rise: 2.
  const script = 'PFFPFFFFFFFFPFPPPP'
  let probes = 0
  const downAfter: number[] = []
  const answers = new Map<string, number>()
  // The client may be slow: the first P, and the last F of the long run, come again until it has seen what they lead to.
  const waitsAt = new Map([
    [0, 'up 200'],
    [11, 'down 503'],
  ])
  backend.on('/healthz', (x) => {
    const result = script[probes] ?? 'P'
    const awaited = waitsAt.get(probes)
    if (awaited === undefined || answers.has(awaited)) probes++
    x.answer('', '', result === 'P' ? '200 OK' : '503 Failing')
  })
  const health = { ...HTTP_PROBE, fall: 3, rise: 2 }
  const balancer = await startBalancer(t, { virtualServices: { main: http([backend], health) } })
  await eventually('the end of the script', async () => {
    const before = probes
    const { status } = await get(balancer)
    const { state } = await backendOf(balancer, 'main', 'b1')
    if (state === 'down') downAfter.push(before)
    answers.set(`${state} ${status}`, (answers.get(`${state} ${status}`) ?? 0) + 1)
    return probes >= script.length
  })
  await untilState(balancer, 'b1', 'up')
  // When a request is just on its way, down is reached by draining.
  const changes = changesOf(balancer, 'b1')
    .join()
    .replace('up draining probe,draining down drain-ended', 'up down probe')
  t.equal(changes, 'unknown up probe,up down probe,down up probe')
  t.ok((answers.get('up 200') ?? 0) > 0, 'served while up')
  t.ok((answers.get('down 503') ?? 0) > 0, 'answered with 503 at once while down')
  t.ok(
    downAfter.every((n) => n >= 6 && n <= 16),
    `seen down after probes ${downAfter}`,
  )
  const [down, up] = logOf(balancer).filter(({ from }) => from === 'up' || from === 'down')
  t.match(down?.['msg'], /main\/b1 is (down|draining): .*503.*\(3 in a row\)/, 'the log says why it went')
  t.match(up?.['msg'], /main\/b1 is up: .*200.*\(2 in a row\)/, 'and why it came back')
  t.match(await backendOf(balancer, 'main', 'b1'), { state: 'up', cause: 'probe', health: 'passing' })
})

t.test('a TCP probe sees a listener go and come back', async (t) => {
  const listen = async (port: number): Promise<Server> => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.pipe(socket)
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
  const first = await listen(0)
  const { port } = first.address() as AddressInfo
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'tcp',
        listen: ['127.0.0.1:0'],
        health: { type: 'tcp', ...FAST, fall: 2, rise: 2 },
        backends: [{ name: 'b1', address: `127.0.0.1:${port}` }],
      },
    },
  })
  const serves = async (): Promise<boolean> => {
    const client = await connect(balancer.port('main'))
    client.send('hello')
    const got = await client.readBytes(5).catch(() => null)
    client.destroy()
    return got !== null
  }
  await untilState(balancer, 'b1', 'up')
  t.ok(await serves())
  // Or it would drain first.
  await eventually('its flow has ended', async () => (await backendOf(balancer, 'main', 'b1')).active === 0)
  first.close()
  await untilState(balancer, 'b1', 'down')
  t.match(await backendOf(balancer, 'main', 'b1'), { state: 'down', cause: 'probe', why: /ECONNREFUSED/ })
  const second = await listen(port)
  t.teardown(() => second.close())
  await untilState(balancer, 'b1', 'up')
  t.ok(await serves())
  t.strictSame(changesOf(balancer, 'b1'), ['unknown up probe', 'up down probe', 'down up probe'])
})

t.test('a backend that never passed is never used, and the others serve', async (t) => {
  const [good, bad] = [await startBackend(t, 'good'), await startBackend(t, 'bad')]
  good.on('/healthz', (x) => x.answer('ok'))
  bad.on('/healthz', (x) => x.answer('', '', '500 No'))
  const balancer = await startBalancer(t, { virtualServices: { main: http([bad, good], HTTP_PROBE) } })
  await untilState(balancer, 'bad', 'down')
  for (let i = 0; i < 6; i++) t.equal((await get(balancer)).body.toString().split(' ')[0], 'good')
  t.strictSame(
    bad.heads.filter((head) => !isProbe(head)),
    [],
  )
})

t.test('what the configuration sets aside gets no flows, however healthy', async (t) => {
  const backends = await Promise.all(
    ['ready', 'drain', 'maintenance', 'weightless'].map((name) => startBackend(t, name)),
  )
  const address = (name: string): string => backends.find((backend) => backend.name === name)?.address ?? ''
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: http([], HTTP_PROBE, {
        backends: [
          { name: 'ready', address: address('ready') },
          { name: 'drain', address: address('drain'), admin: 'drain' },
          { name: 'maintenance', address: address('maintenance'), admin: 'maintenance' },
          { name: 'weightless', address: address('weightless'), weight: 0 },
        ],
      }),
    },
  })
  await untilState(balancer, 'weightless', 'up')
  for (let i = 0; i < 8; i++) t.equal((await get(balancer)).body.toString().split(' ')[0], 'ready')
  const states: Line = {}
  for (const { name } of backends) states[name] = (await backendOf(balancer, 'main', name))['state']
  t.strictSame(states, { ready: 'up', drain: 'draining', maintenance: 'maintenance', weightless: 'up' })
})
