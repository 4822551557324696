/** A failing backend drains: its flows may finish until the deadline, and it gets no new ones. */
import t, { type Test } from 'tap'
import {
  type Backend,
  type BackendExchange,
  startBackend,
  startTcpBackend,
  type TcpBackend,
} from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { connect, type RawClient, roundTrip } from '../support/raw.ts'
import { backendOf, changesOf, fields, flowOf, logOf, untilState } from './fixtures/support.ts'

const PROBE = {
  type: 'http',
  path: '/healthz',
  interval: '300ms',
  fastInterval: '50ms',
  downInterval: '50ms',
  timeout: '3s', // a machine that is busy for a second has not failed
  rise: 1,
  fall: 2,
}

/** A backend whose probes fail from one moment to the next. */
async function startSick(t: Test, name: string): Promise<{ backend: Backend; fail(on: boolean): void }> {
  const backend = await startBackend(t, name)
  let failing = false
  backend.on('/healthz', (x) => x.answer('', '', failing ? '503 Failing' : '200 OK'))
  return {
    backend,
    fail: (on) => {
      failing = on
    },
  }
}

const request = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`
const flowsTo = ({ heads }: Backend): number => heads.filter(({ target }) => target !== '/healthz').length

t.test('a request in progress finishes while the backend drains, new ones go elsewhere, then it is down', async (t) => {
  const sick = await startSick(t, 'sick')
  const well = await startSick(t, 'well')
  const held: BackendExchange[] = []
  for (const { backend } of [sick, well]) backend.on('/held', (x) => held.push(x))
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'http',
        listen: ['127.0.0.1:0'],
        health: PROBE,
        backends: [sick, well].map(({ backend: { name, address } }) => ({ name, address })),
      },
    },
  })
  await untilState(balancer, 'sick', 'up')
  await untilState(balancer, 'well', 'up')
  // Two at once: one of them is on the sick one.
  const clients = [await connect(balancer.port('main')), await connect(balancer.port('main'))]
  for (const client of clients) client.send(request('/held'))
  await eventually('both held', () => held.length === 2)
  t.equal(flowsTo(sick.backend), 1)
  sick.fail(true)
  await untilState(balancer, 'sick', 'draining')
  const state = await backendOf(balancer, 'main', 'sick')
  t.match(state, { state: 'draining', cause: 'probe', health: 'failing', active: 1, drainDeadline: /^\d{4}-/ })
  for (let i = 0; i < 6; i++)
    t.equal((await roundTrip(balancer.port('main'), request('/'))).body.toString().split(' ')[0], 'well')
  t.equal(flowsTo(sick.backend), 1, 'no new flow on the draining one')
  for (const x of held) x.answer('at last')
  for (const client of clients) t.equal((await client.readResponse()).body.toString(), 'at last')
  await untilState(balancer, 'sick', 'down')
  t.strictSame(changesOf(balancer, 'sick'), ['unknown up probe', 'up draining probe', 'draining down drain-ended'])
  for (const client of clients) {
    client.send(request('/again'))
    t.equal((await client.readResponse()).status, 200, 'the same connection is served by the other backend')
  }
  t.equal(flowsTo(sick.backend), 1)
  for (const client of clients) client.destroy()
})

interface TcpRig {
  readonly balancer: Balancer
  readonly echo: TcpBackend
  fail(on: boolean): void
  flow(): Promise<{ client: RawClient; port: number | undefined }>
}

/** A TCP service whose one backend is probed over HTTP on another port. */
async function startTcpRig(t: Test, drain: string): Promise<TcpRig> {
  const probed = await startSick(t, 'probed')
  const echo = await startTcpBackend(t)
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'tcp',
        listen: ['127.0.0.1:0'],
        health: { ...PROBE, port: probed.backend.port },
        drain: { timeout: drain },
        backends: [{ name: 'b1', address: echo.address }],
      },
    },
  })
  const flow = async () => {
    const client = await connect(balancer.port('main'))
    await echoed(client)
    return { client, port: client.socket.localPort }
  }
  await untilState(balancer, 'b1', 'up')
  return { balancer, echo, fail: probed.fail, flow }
}

async function echoed(client: RawClient): Promise<string> {
  client.send('hello')
  return (await client.readBytes(5)).toString()
}

t.test('a TCP flow goes on while its backend drains, and its end makes the backend down', async (t) => {
  const { balancer, echo, fail, flow } = await startTcpRig(t, '300s')
  const { client } = await flow()
  fail(true)
  await untilState(balancer, 'b1', 'draining')
  t.equal(await echoed(client), 'hello')
  const late = await connect(balancer.port('main')).catch(() => null)
  if (late !== null) t.equal(await late.untilClosed(), 'reset', 'there is no other backend for a new flow')
  t.equal(echo.connections.length, 1)
  t.equal(await echoed(client), 'hello')
  client.end()
  t.equal(await client.untilClosed(), 'end')
  await untilState(balancer, 'b1', 'down')
  t.strictSame(changesOf(balancer, 'b1').slice(1), ['up draining probe', 'draining down drain-ended'])
})

t.test('at the deadline the flows left are cut, and the log says so', async (t) => {
  const { balancer, echo, fail, flow } = await startTcpRig(t, '600ms')
  const { client, port } = await flow()
  fail(true)
  await untilState(balancer, 'b1', 'draining')
  const begun = performance.now()
  t.equal(await client.untilClosed(), 'reset')
  t.ok(performance.now() - begun > 300, 'not before')
  t.equal(await echo.connections[0]?.untilClosed(), 'reset', 'on both sides')
  await untilState(balancer, 'b1', 'down')
  t.ok(logOf(balancer).some(({ msg, flows }) => /drain timeout/.test(String(msg)) && flows === 1))
  t.strictSame(fields(await flowOf(balancer, port), 'endedBy', 'reason', 'bytesIn'), ['us', 'cut', 5])
})

t.test('`drain.timeout: 0` cuts at once', async (t) => {
  const { balancer, fail, flow } = await startTcpRig(t, '0s')
  const { client } = await flow()
  fail(true)
  t.equal(await client.untilClosed(), 'reset')
  await untilState(balancer, 'b1', 'down')
})

t.test('a backend that recovers keeps its flows, and its next drain has the whole time again', async (t) => {
  const { balancer, fail, flow } = await startTcpRig(t, '1500ms')
  const { client } = await flow()
  fail(true)
  await untilState(balancer, 'b1', 'draining')
  const { drainDeadline } = await eventually('a deadline', async () => {
    const backend = await backendOf(balancer, 'main', 'b1')
    return typeof backend['drainDeadline'] === 'string' && (backend as { drainDeadline: string })
  })
  fail(false)
  await untilState(balancer, 'b1', 'up')
  t.equal((await backendOf(balancer, 'main', 'b1'))['drainDeadline'], null)
  await eventually('the first deadline is over', () => Date.now() > Date.parse(drainDeadline))
  t.equal(await echoed(client), 'hello', 'the flow outlives the drain that ended')
  fail(true)
  await untilState(balancer, 'b1', 'draining')
  const begun = performance.now()
  t.equal(await client.untilClosed(), 'reset')
  t.ok(performance.now() - begun > 1000, `the next drain lasted ${performance.now() - begun} ms`)
})

t.test('a request that is cut at the deadline never looks answered', async (t) => {
  const sick = await startSick(t, 'b1')
  sick.backend.on('/half', (x) => x.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'))
  const { name, address } = sick.backend
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: {
        protocol: 'http',
        listen: ['127.0.0.1:0'],
        health: PROBE,
        drain: { timeout: '300ms' },
        backends: [{ name, address }],
      },
    },
  })
  await untilState(balancer, 'b1', 'up')
  const client = await connect(balancer.port('main'))
  const port = client.socket.localPort
  client.send(request('/half'))
  await eventually('the half', () => client.pending.includes('half'))
  sick.fail(true)
  t.equal(await client.untilClosed(), 'reset')
  t.strictSame(fields(await flowOf(balancer, port), 'status', 'endedBy', 'reason'), [200, 'us', 'cut'])
})
