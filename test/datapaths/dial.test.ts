/** Dialling a backend: one answer, in time, or none at all. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { BACKEND, BackendCell, Board } from '../../lib/board/index.ts'
import { DeadlineWheel } from '../../lib/core/index.ts'
import { Dial } from '../../lib/datapaths/dial.ts'
import { HandleWire } from '../../lib/datapaths/handle-wire.ts'
import type { Wire } from '../../lib/datapaths/wire.ts'
import { Backend } from '../../lib/pool/index.ts'
import { refusedPort } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { settle } from './fixtures/wires.ts'

/** A backend at `host:port`, dialled within 2 s of a clock that the test moves. */
function dial(t: Test, host: string, port: number) {
  const board = new Board(1)
  let time = 1
  const wheel = new DeadlineWheel(() => time)
  const answers: (Wire | string)[] = []
  const dial = new Dial(new Backend('b', host, port, new BackendCell(board, 0, 0)), wheel, 2000, (wire, code) =>
    answers.push(wire ?? code),
  )
  t.same(answers, [], 'never answered inside of the constructor')
  t.teardown(() => {
    dial.cancel()
    for (const answer of answers) if (typeof answer !== 'string') answer.destroy()
    wheel.close()
  })
  const pass = (ms: number): void => {
    time += ms
    wheel.turn()
  }
  const failures = (): number => board.sum('backend', 0, BACKEND.at.connectFailures)
  return { dial, answers, pass, failures }
}

/** Listens, and answers the port and how many connections are there. */
async function listen(t: Test, host: string) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.resume()
  })
  server.listen(0, host)
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const connections = (): Promise<number> =>
    new Promise((resolve, reject) => server.getConnections((error, n) => (error ? reject(error) : resolve(n))))
  return { port: (server.address() as AddressInfo).port, connections }
}

for (const host of ['127.0.0.1', '::1'])
  t.test(`a backend at ${host} that listens: a wire, once`, async (t) => {
    const { port } = await listen(t, host)
    const { answers, pass, failures } = dial(t, host, port)
    await eventually('the answer', () => answers.length > 0)
    pass(10_000)
    await settle(t)
    t.equal(answers.length, 1)
    const [wire] = answers
    t.ok(wire instanceof HandleWire)
    t.equal((wire as Wire).remoteAddress, host)
    t.equal((wire as Wire).remotePort, port)
    t.equal(failures(), 0)
  })

t.test('a backend that refuses: the code of the system, counted as a failure', async (t) => {
  const { answers, failures } = dial(t, '127.0.0.1', await refusedPort())
  await eventually('the answer', () => answers.length > 0)
  t.same(answers, ['ECONNREFUSED'])
  t.equal(failures(), 1)
})

t.test('an address that the system refuses at once is answered later too', async (t) => {
  const { answers } = dial(t, '255.255.255.255', 80)
  await eventually('the answer', () => answers.length > 0)
  t.match(answers[0], /^E[A-Z]+$/)
})

t.test(
  'when the time is up the answer is ETIMEDOUT, and a connection that is made meanwhile is given up',
  async (t) => {
    const { port, connections } = await listen(t, '127.0.0.1')
    const { answers, pass, failures } = dial(t, '127.0.0.1', port)
    pass(2300) // before the event loop had a chance to see the connection
    t.same(answers, ['ETIMEDOUT'])
    await settle(t)
    await eventually('the connection to be closed', async () => (await connections()) === 0)
    t.same(answers, ['ETIMEDOUT'])
    t.equal(failures(), 1)
  },
)

t.test('a cancelled dial says nothing, however it would have ended', async (t) => {
  const { port, connections } = await listen(t, '127.0.0.1')
  const dials = [dial(t, '127.0.0.1', port), dial(t, '127.0.0.1', await refusedPort()), dial(t, '255.255.255.255', 80)]
  for (const { dial, pass } of dials) {
    dial.cancel()
    dial.cancel()
    pass(10_000)
  }
  await settle(t)
  await eventually('the connection to be closed', async () => (await connections()) === 0)
  for (const { answers, failures } of dials) {
    t.same(answers, [])
    t.equal(failures(), 0)
  }
})
