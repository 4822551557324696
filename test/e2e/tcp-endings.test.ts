/** TCP services: what becomes of a flow when one side fails, and that the access log says so. */
import { connect as dial } from 'node:net'
import t, { type Test } from 'tap'
import { refusedPort, startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { connect, RawClient } from '../support/raw.ts'
import { startBlackhole } from './fixtures/blackhole.ts'
import { fields, flowOf, type Line, linesOf, MIB } from './fixtures/support.ts'

const backend = await startTcpBackend(t)
const silent = await startTcpBackend(t, () => undefined)
const refused = [await refusedPort(), await refusedPort(), await refusedPort()].map((port) => `127.0.0.1:${port}`)
const blackhole = await startBlackhole(t)

const tcp = (backends: readonly string[], more: object = {}): object => ({
  protocol: 'tcp',
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  timeouts: { connect: '200ms' },
  backends,
  ...more,
})
const [first = '', second = '', third = ''] = refused
const balancer = await startBalancer(t, {
  virtualServices: {
    good: tcp([silent.address]),
    'one-refused': tcp([first, backend.address]),
    'none-left': tcp([first, second]),
    'one-retry': tcp([first, second, third, backend.address], { retries: 1 }),
    'no-retries': tcp([first, backend.address], { retries: 0 }),
    unanswered: tcp([blackhole, backend.address]),
    'only-unanswered': tcp([blackhole]),
    idle: tcp([backend.address], { timeouts: { idle: '400ms' } }),
  },
})

async function open(service: string): Promise<{ client: RawClient; port: number | undefined }> {
  const client = await connect(balancer.port(service))
  return { client, port: client.socket.localPort }
}

/** A client that may be reset before it knows that it was connected. */
const attempt = (service: string): RawClient =>
  new RawClient(dial({ port: balancer.port(service), host: '127.0.0.1', allowHalfOpen: true }))

/** The access log's `n` lines of a service. */
const served = (service: string, n: number): Promise<readonly Line[]> =>
  linesOf(balancer, service, (line) => line['service'] === service, n)

/** A line sent and echoed. */
async function echoed(client: RawClient): Promise<boolean> {
  client.send('hello\n')
  return (await client.readBytes(6)).toString() === 'hello\n'
}

async function logged(t: Test, port: number | undefined, expected: Record<string, unknown>): Promise<void> {
  const line = await flowOf(balancer, port)
  t.strictSame(fields(line, ...Object.keys(expected)), Object.values(expected), 'the access log tells it')
}

t.test('a backend that refuses is passed over, and no client notices', async (t) => {
  for (let i = 0; i < 4; i++) {
    const { client } = await open('one-refused')
    t.ok(await echoed(client))
    client.end()
    t.equal(await client.untilClosed(), 'end')
  }
  const lines = await served('one-refused', 4)
  for (const line of lines)
    t.strictSame(fields(line, 'backend', 'bytesIn', 'bytesOut', 'endedBy', 'reason'), [backend.address, 6, 6, '', ''])
  t.ok(
    lines.some((line) => line['tries'] === 2),
    'some met the refusing one first',
  )
})

t.test('a client is reset when every backend refuses', async (t) => {
  t.equal(await attempt('none-left').untilClosed(), 'reset')
  const [line = {}] = await served('none-left', 1)
  t.strictSame(fields(line, 'tries', 'bytesIn', 'bytesOut', 'endedBy', 'reason', 'phase'), [
    2,
    0,
    0,
    'backend',
    'connect-failed',
    'connect',
  ])
})

t.test('no more backends are tried than `retries` allows', async (t) => {
  for (const [service, tries] of [
    ['one-retry', 2],
    ['no-retries', 1],
  ] as const) {
    for (let i = 0; i < 4; i++) {
      const client = attempt(service)
      client.send('hello\n')
      await client.readBytes(6).catch(() => undefined)
      client.end()
      await client.untilClosed()
    }
    for (const line of await served(service, 4)) {
      t.ok(Number(line['tries']) <= tries, `${service}: ${line['tries']} tries`)
      if (line['backend'] !== backend.address)
        t.strictSame(fields(line, 'tries', 'endedBy', 'reason'), [tries, 'backend', 'connect-failed'])
    }
  }
  const refusals = (await served('no-retries', 4)).filter((line) => line['reason'] === 'connect-failed')
  t.equal(refusals.length, 2, 'without retries half of the flows fail where one of two backends refuses')
})

t.test('a backend that does not answer a connection attempt in time is passed over', async (t) => {
  for (let i = 0; i < 2; i++) {
    const { client } = await open('unanswered')
    t.ok(await echoed(client))
    client.end()
  }
  const lines = await served('unanswered', 2)
  t.ok(lines.every((line) => line['backend'] === backend.address))
  const retried = lines.filter((line) => line['tries'] === 2)
  t.ok(retried.length > 0)
  for (const line of retried) t.ok(Number(line['connectMs']) >= 200, 'the time limit was waited for')
})

t.test('a client is reset when no backend answers in time', async (t) => {
  t.equal(await attempt('only-unanswered').untilClosed(), 'reset')
  const [line = {}] = await served('only-unanswered', 1)
  t.strictSame(fields(line, 'backend', 'endedBy', 'reason', 'phase'), [
    blackhole,
    'backend',
    'connect-timeout',
    'connect',
  ])
  t.ok(Number(line['totalMs']) >= 200 && Number(line['totalMs']) < 2000, `${line['totalMs']} ms`)
})

t.test('a flow without a byte in either direction is ended at its time, and one that moves is not', async (t) => {
  const quiet = await open('idle')
  const busy = await open('idle')
  const begun = performance.now()
  let ended = false
  void quiet.client.closed.then(() => {
    ended = true
  })
  let echoes = 0
  for (; !ended && performance.now() - begun < 5000; await pause()) if (await echoed(busy.client)) echoes++
  t.ok(echoes > 0)
  t.ok(performance.now() - begun >= 400)
  t.equal(await quiet.client.untilClosed(), 'reset')
  t.ok(await echoed(busy.client), 'the busy one lives on')
  busy.client.end()
  t.equal(await busy.client.untilClosed(), 'end')
  await logged(t, quiet.port, { bytesIn: 0, bytesOut: 0, endedBy: 'us', reason: 'client-timeout', phase: 'relay' })
})

t.test('one direction alone keeps a flow from being idle', async (t) => {
  const talker = await startTcpBackend(t, ({ socket }) => {
    const timer = setInterval(() => socket.write('.'), 100)
    socket.on('close', () => clearInterval(timer))
  })
  const own = await startBalancer(t, {
    virtualServices: { main: tcp([talker.address], { timeouts: { idle: '400ms' } }) },
  })
  const client = await connect(own.port('main'))
  t.equal((await client.readBytes(15)).length, 15)
  t.equal(client.ending, undefined)
  client.destroy()
})

t.test('a reset goes through', async (t) => {
  const paired = async () => {
    const known = silent.connections.length
    const { client, port } = await open('good')
    await eventually('the connection at the backend', () => silent.connections.length > known)
    const peer = silent.connections[known]
    if (peer === undefined) throw new Error('no peer')
    client.send('question')
    await eventually('the question', () => peer.text === 'question')
    return { client, port, peer }
  }

  await t.test('from the backend to the client', async (t) => {
    const { client, port, peer } = await paired()
    peer.write('half an ans')
    await client.readBytes(11)
    peer.socket.resetAndDestroy()
    t.equal(await client.untilClosed(), 'reset')
    await logged(t, port, { bytesIn: 8, bytesOut: 11, endedBy: 'backend', reason: 'backend-closed', phase: 'relay' })
  })

  await t.test('from the client to the backend', async (t) => {
    const { client, port, peer } = await paired()
    client.reset()
    t.equal(await peer.untilClosed(), 'reset')
    await logged(t, port, { bytesIn: 8, bytesOut: 0, endedBy: 'client', reason: 'client-closed', phase: 'relay' })
  })

  await t.test('from a client that the backend has finished with', async (t) => {
    const { client, port, peer } = await paired()
    peer.socket.end('bye')
    t.equal(await client.untilClosed(), 'end')
    client.reset()
    await eventually('the end at the backend', () => peer.ending !== undefined)
    t.equal(peer.ending, 'reset')
    await logged(t, port, { bytesIn: 8, bytesOut: 3, endedBy: 'client', reason: 'client-closed' })
  })
})

t.test('a reset in the middle of a large answer never looks like its end', async (t) => {
  const large = await startTcpBackend(t, ({ socket }) => {
    socket.write(Buffer.alloc(MIB), () => socket.resetAndDestroy())
  })
  const own = await startBalancer(t, { virtualServices: { main: tcp([large.address]) } })
  const client = await connect(own.port('main'))
  t.equal(await client.untilClosed(), 'reset')
})
