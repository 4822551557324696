/** A backend that is killed and comes back, again and again under load, costs no request that had not begun to be answered. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { activeOf, changesOf, logOf, untilState } from './fixtures/support.ts'

const ENTRY = fileURLToPath(new URL('./fixtures/http-backend.ts', import.meta.url))
const KILLS = 6
const CLIENTS = 12
const MOST_MS = 40_000

/** A backend process; started again it has the same port. */
class Mortal {
  port = 0
  #child: ChildProcess | null = null

  async start(): Promise<void> {
    const child = spawn(process.execPath, [ENTRY, String(this.port)], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    if (child.stdout === null) throw new Error('no output')
    const [line] = (await within(once(child.stdout, 'data'), 'the start of a backend')) as [Buffer]
    this.port = Number(line.toString())
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
}

interface Outcome {
  readonly status: number
  /** The answer had begun. */
  readonly begun: boolean
  readonly whole: boolean
}

async function ask(agent: Agent, port: number, path: string): Promise<Outcome> {
  const request = httpRequest({ port, host: '127.0.0.1', path, agent })
  request.on('error', () => undefined) // one that comes behind the start of the answer, which ends it
  request.end()
  try {
    const [response] = (await within(once(request, 'response'), 'an answer', 10_000)) as [IncomingMessage]
    try {
      let body = ''
      response.setEncoding('latin1').on('data', (text: string) => {
        body += text
      })
      await within(once(response, 'end'), 'the end of an answer', 10_000)
      const whole = body === (path === '/slow' ? 'piece\n'.repeat(5) : 'whole')
      return { status: response.statusCode ?? 0, begun: true, whole }
    } catch {
      return { status: response.statusCode ?? 0, begun: true, whole: false }
    }
  } catch {
    return { status: 0, begun: false, whole: false }
  }
}

async function startMortals(t: Test, count: number): Promise<Mortal[]> {
  const mortals = Array.from({ length: count }, () => new Mortal())
  t.teardown(() => Promise.all(mortals.map((mortal) => mortal.kill())))
  await Promise.all(mortals.map((mortal) => mortal.start()))
  return mortals
}

t.test(`${KILLS} kills of one of three backends lose nothing but answers under way on it`, async (t) => {
  const mortals = await startMortals(t, 3)
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    accessLog: { format: 'off' },
    virtualServices: {
      main: {
        protocol: 'http',
        listen: ['127.0.0.1:0'],
        health: { interval: '50ms', fastInterval: '50ms', downInterval: '50ms', fall: 2, rise: 2 },
        backends: mortals.map(({ port }, i) => ({ name: `b${i}`, address: `127.0.0.1:${port}` })),
      },
    },
  })
  for (const name of ['b0', 'b1', 'b2']) await untilState(balancer, name, 'up')
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  t.teardown(() => agent.destroy())
  const port = balancer.port('main')
  const failures: (Outcome & { path: string })[] = []
  const cut: Outcome[] = []
  let answered = 0
  let over = false
  const client = async (n: number): Promise<void> => {
    for (let i = n; !over; i++) {
      const path = i % 6 === 0 ? '/slow' : '/'
      const outcome = await ask(agent, port, path)
      if (outcome.status === 200 && outcome.whole) answered++
      // Only an answer that takes its time can be cut by a kill: a short one comes whole or not at all.
      else if (path === '/slow' && outcome.status === 200 && outcome.begun) cut.push(outcome)
      else failures.push({ path, ...outcome })
      await pause() // two thousand requests a second are load enough
    }
  }
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, n) => client(n)))
  const [victim] = mortals
  if (victim === undefined) throw new Error('no backend')
  try {
    for (let kill = 1; kill <= KILLS; kill++) {
      const [before, cutBefore] = [answered, cut.length]
      await victim.kill()
      await untilState(balancer, 'b0', 'down', MOST_MS / KILLS)
      await eventually('answers from the others', () => answered > before + 20)
      t.ok(cut.length - cutBefore <= CLIENTS, 'at most what was under way')
      await victim.start()
      await untilState(balancer, 'b0', 'up', MOST_MS / KILLS)
    }
  } finally {
    over = true
  }
  await within(clients, 'the end of the load', 15_000)
  t.strictSame(failures, [], `${answered} answered, ${cut.length} cut in the middle`)
  t.ok(answered > KILLS * 20)

  const changes = changesOf(balancer, 'b0').slice(1)
  t.equal(
    changes.filter((change) => change.endsWith(' down probe') || change === 'draining down drain-ended').length,
    KILLS,
  )
  t.equal(changes.filter((change) => change === 'down up probe').length, KILLS)
  t.strictSame(
    new Set(changes),
    new Set(
      changes.filter((change) => /^(up (down|draining) probe|draining down drain-ended|down up probe)$/.test(change)),
    ),
    'each change has its cause',
  )
  t.ok(logOf(balancer).every(({ backend, to }) => backend === undefined || to !== 'down' || backend === 'b0'))
  agent.destroy()
  await eventually('no connection is counted any more', async () => (await activeOf(balancer, 'main')) === 0)
})
