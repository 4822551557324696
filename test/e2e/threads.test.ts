/** Data threads: each one's connections are its own, and one that dies is replaced without harm to the others. */
import { availableParallelism } from 'node:os'
import t, { type Test } from 'tap'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { connect, type RawClient } from '../support/raw.ts'
import { activeOf, backendOf, logOf } from './fixtures/support.ts'

const CLIENTS = 40 // that all land on one of two threads: once in 10^12 runs

const service = (protocol: string, address: string): object => ({
  protocol,
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends: [{ name: 'b1', address }],
})

interface ThreadRow {
  readonly thread: number
  readonly restarts: number
  readonly startedAt: string
}

const threadsOf = async (balancer: Balancer): Promise<ThreadRow[]> =>
  (await balancer.status())['threads'] as ThreadRow[]

async function restart(t: Test, balancer: Balancer, thread: number): Promise<void> {
  const { ok, status } = await balancer.get(`/api/v1/threads/${thread}/restart`, { method: 'POST' })
  t.ok(ok, `restart of thread ${thread} answered ${status}`)
}

const isBack = (balancer: Balancer, thread: number, times = 1): boolean =>
  logOf(balancer).filter(({ msg }) => msg === `data thread ${thread} is back`).length >= times

async function untilNothingIsCounted(balancer: Balancer, name: string): Promise<void> {
  await eventually(`no flow of ${name} is counted`, async () => {
    const { active } = await backendOf(balancer, name, 'b1')
    return (await activeOf(balancer, name)) === 0 && active === 0
  })
}

/** Sends numbers and awaits each back, until its connection ends or it is told to stop. */
class Chatter {
  readonly client: RawClient
  echoes = 0
  wrong = 0
  stop = false
  readonly done: Promise<void>

  constructor(client: RawClient) {
    this.client = client
    this.done = this.#talk()
  }

  async #talk(): Promise<void> {
    while (!this.stop && this.client.ending === undefined) {
      const line = `${String(this.echoes).padStart(8, '0')}\n`
      this.client.send(line)
      const got = await this.client.readBytes(line.length, 20_000).catch(() => null)
      if (got === null) return
      if (got.toString() !== line) this.wrong++
      this.echoes++
      await pause()
    }
  }

  get cut(): boolean {
    return this.client.ending !== undefined
  }
}

t.test('a thread that dies takes its own connections along and no other, and is back at once', async (t) => {
  const backend = await startTcpBackend(t)
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: { main: service('tcp', backend.address) },
  })
  const chatters: Chatter[] = []
  for (let i = 0; i < CLIENTS; i++) chatters.push(new Chatter(await connect(balancer.port('main'))))
  await eventually('all are talking', () => chatters.every(({ echoes }) => echoes > 0))
  t.equal(await activeOf(balancer, 'main'), CLIENTS)

  const begun = performance.now()
  await restart(t, balancer, 0)
  await eventually('the thread is back', () => isBack(balancer, 0))
  const elapsed = performance.now() - begun
  t.ok(elapsed < 2000, `back after ${elapsed} ms`)
  const marks = chatters.map(({ echoes }) => echoes)
  const alive = chatters.filter(({ cut }) => !cut)
  t.ok(alive.length > 0 && alive.length < CLIENTS, `${alive.length} of ${CLIENTS} live on`)
  await eventually('those of the other thread talk on', () =>
    chatters.every(({ cut, echoes }, i) => cut || echoes > (marks[i] ?? 0) + 20),
  )
  t.equal(chatters.filter(({ cut }) => !cut).length, alive.length, 'and none of them is cut later')
  t.ok(chatters.every(({ wrong }) => wrong === 0))
  await eventually(
    'the dead thread leaves no connection at the backend',
    () => backend.connections.filter(({ ending }) => ending === undefined).length === alive.length,
  )
  t.equal(await activeOf(balancer, 'main'), alive.length, 'what the dead thread held is not counted any more')
  t.match(await threadsOf(balancer), [
    { thread: 0, restarts: 1 },
    { thread: 1, restarts: 0 },
  ])

  const late: Chatter[] = []
  for (let i = 0; i < CLIENTS; i++) late.push(new Chatter(await connect(balancer.port('main'))))
  await eventually('new connections are served', () => late.every(({ echoes }) => echoes > 0))
  for (const chatter of [...chatters, ...late]) chatter.stop = true
  await within(Promise.all([...chatters, ...late].map(({ done }) => done)), 'the end of the talks')
  for (const { client } of [...chatters, ...late]) client.destroy()
  await untilNothingIsCounted(balancer, 'main')
})

t.test('requests go on through the death of each thread, at the cost of the connections that it had', async (t) => {
  const backend = await startBackend(t)
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: { main: service('http', backend.address) },
  })
  const count = 16
  let over = false
  let answered = 0
  const losses = new Array<number>(count).fill(0)
  const work = async (n: number): Promise<void> => {
    let client: RawClient | undefined
    while (!over) {
      try {
        client ??= await connect(balancer.port('main'))
        client.send(`GET /${n} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
        const { status } = await client.readResponse()
        if (status !== 200) throw new Error(`answered with ${status}`)
        answered++
      } catch {
        losses[n] = (losses[n] ?? 0) + 1
        client?.destroy()
        client = undefined
      }
      await pause()
    }
    client?.destroy()
  }
  const load = Promise.all(losses.map((_, n) => work(n)))
  for (const [i, thread] of [0, 1, 0].entries()) {
    const before = answered
    await eventually('answers', () => answered > before + 200)
    await restart(t, balancer, thread)
    await eventually('the thread is back', () => isBack(balancer, thread, i === 2 ? 2 : 1))
  }
  const before = answered
  await eventually('answers to the end', () => answered > before + 200)
  over = true
  await within(load, 'the end of the load')
  const lost = losses.reduce((sum, n) => sum + n, 0)
  t.ok(lost > 0, 'the deaths were real')
  // A client loses its connection, and perhaps one more that the kernel had already given to the dying listener.
  t.ok(
    losses.every((n) => n <= 6),
    `losses per client: ${losses}`,
  )
  await untilNothingIsCounted(balancer, 'main')
  t.strictSame(backend.faults, [])
})

t.test('`threads: auto` runs one thread per core, and all of them serve', async (t) => {
  const backend = await startTcpBackend(t)
  const balancer = await startBalancer(t, {
    appliance: { threads: 'auto' },
    virtualServices: { main: service('tcp', backend.address) },
  })
  const threads = await threadsOf(balancer)
  t.equal(threads.length, Math.min(availableParallelism(), 32))
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(balancer.port('main'))))
  for (const client of clients) client.send('hello')
  t.strictSame(
    new Set(await Promise.all(clients.map(async (client) => String(await client.readBytes(5))))),
    new Set(['hello']),
  )
  // Which thread has which connection shows when each is ended in turn.
  let left = CLIENTS
  for (const { thread } of threads) {
    await restart(t, balancer, thread)
    await eventually('the thread is back', () => isBack(balancer, thread))
    await eventually('its connections are gone', async () => (await activeOf(balancer, 'main')) < left)
    left = await activeOf(balancer, 'main')
  }
  t.equal(left, 0)
})

t.test('a restart of a thread that does not exist is refused', async (t) => {
  const backend = await startTcpBackend(t)
  const balancer = await startBalancer(t, { virtualServices: { main: service('tcp', backend.address) } })
  for (const thread of ['1', '-1', 'x', '0.5']) {
    const { status } = await balancer.get(`/api/v1/threads/${thread}/restart`, { method: 'POST' })
    t.ok(status >= 400 && status < 500, `${thread}: ${status}`)
  }
  t.match(await threadsOf(balancer), [{ thread: 0, restarts: 0 }])
})
