/** Least load: flows follow what the backends report of themselves. */
import t from 'tap'
import { type AgentReport, AgentRunner, parseAgentLine } from '../../lib/agents/index.ts'
import { ManualClock } from '../../lib/core/index.ts'
import { FLOW, type Rig, rigOf } from './fixtures/rig.ts'
import { inThreads } from './fixtures/threads.ts'

const POOL_ROW = 0

/** What `n` flows give each backend, in parts of all. */
function shares({ policy, backends }: Rig, n = 1000): number[] {
  const got = new Map(backends.map((backend) => [backend, 0]))
  for (let i = 0; i < n; i++) {
    const picked = policy.pick(FLOW, null)
    if (picked !== undefined) got.set(picked, (got.get(picked) ?? 0) + 1)
  }
  return [...got.values()].map((count) => count / n)
}

/** Reports these loads (-1: none), and lets the policy see them as the pool does. */
function report(rig: Rig, loads: readonly number[]): void {
  for (const [row, load] of loads.entries()) rig.board.setLoad(row, POOL_ROW, load)
  rig.policy.rebuild(rig.backends)
}

const CASES: readonly (readonly [title: string, weights: number[], loads: number[], ideal: number[]])[] = [
  ['idle parts', [1, 1, 1], [20, 60, 80], [8 / 14, 4 / 14, 2 / 14]],
  ['weight × idle part', [4, 1], [75, 0], [0.5, 0.5]],
  ['below 5 % the weight alone', [1, 1], [4.9, 0], [0.5, 0.5]],
  ['at 5 % the idle part', [1, 1], [5, 0], [0.95 / 1.95, 1 / 1.95]],
  ['without a report the weight alone', [1, 1], [-1, 50], [2 / 3, 1 / 3]],
  ['no reports at all', [3, 1], [-1, -1], [0.75, 0.25]],
  ['a full one gets nothing while another has room', [10, 1], [100, 99], [0, 1]],
  ['all full: the weights', [3, 1], [100, 100], [0.75, 0.25]],
  ['weights below one', [0.5, 0.25], [50, 0], [0.5, 0.5]],
]
for (const [title, weights, loads, ideal] of CASES)
  t.test(`${title}: weights ${weights}, loads ${loads}`, (t) => {
    const rig = rigOf('least-load', weights)
    report(rig, loads)
    for (const [i, share] of shares(rig).entries())
      t.ok(Math.abs(share - (ideal[i] ?? 0)) <= 0.005, `b${i}: ${share} of ${ideal[i]?.toFixed(3)}`)
    t.end()
  })

t.test('any run of flows is within three of its shares: no bursts', (t) => {
  const rig = rigOf('least-load', [1, 1, 1, 1])
  report(rig, [10, 50, 80, 95])
  const total = 0.9 + 0.5 + 0.2 + 0.05
  const ideal = [0.9, 0.5, 0.2, 0.05].map((part) => part / total)
  const ahead = [0, 0, 0, 0]
  let worst = 0
  for (let i = 0; i < 5000; i++) {
    const picked = rig.backends.indexOf(rig.policy.pick(FLOW, null) ?? (rig.backends[0] as never))
    for (const k of ahead.keys()) {
      ahead[k] = (ahead[k] ?? 0) + (k === picked ? 1 : 0) - (ideal[k] ?? 0)
      worst = Math.max(worst, Math.abs(ahead[k] ?? 0))
    }
  }
  t.ok(worst <= 3, `off by ${worst.toFixed(2)}`)
  t.end()
})

t.test('where what is left without the avoided is full, it is picked nevertheless', (t) => {
  const rig = rigOf('least-load', [1, 1])
  report(rig, [10, 100])
  const [a, b] = rig.backends
  t.equal(rig.policy.pick(FLOW, new Set(a === undefined ? [] : [a])), b)
  t.end()
})

t.test('flows follow an agent within two reports', async (t) => {
  const rig = rigOf('least-load', [1, 1])
  const clock = new ManualClock()
  const loads = [10, 10]
  const runners = loads.map(
    (_, row) =>
      new AgentRunner({
        agent: { ask: async (): Promise<AgentReport> => ({ ...parseAgentLine('up'), load: loads[row] ?? 0 }) },
        target: { host: '10.0.0.1', port: 80 },
        load: { port: undefined, interval: 7000, timeout: 1000 },
        clock,
        random: () => 0.5,
        onReport: () => {},
        onTrouble: () => {},
        onLoad: (load) => {
          rig.board.setLoad(row, POOL_ROW, load ?? -1)
          rig.policy.rebuild(rig.backends)
        },
      }),
  )
  for (const runner of runners) runner.start()
  await clock.advance(7000)
  t.same(shares(rig), [0.5, 0.5])
  for (const next of [90, 0, 60, 20]) {
    loads[0] = next
    await clock.advance(14_000)
    const idle = next < 5 ? 1 : 1 - next / 100
    const ideal = idle / (idle + 0.9)
    const [share = 0] = shares(rig)
    t.ok(Math.abs(share - ideal) < 0.04, `load ${next}: ${share} of ${ideal.toFixed(2)}`)
  }
  loads[0] = 100
  await clock.advance(7000)
  t.same(shares(rig), [0, 1], 'full is full with the first report')
})

for (const threads of [1, 2, 4])
  t.test(`${threads} threads together give each backend its part`, async (t) => {
    const loads = [0, 50, 75, 100]
    const { active } = await inThreads(threads, {
      policy: 'least-load',
      weights: [1, 1, 1, 1],
      churn: 0,
      fill: 1400,
      loads,
    })
    const sum = 1400 * threads
    for (const [i, part] of [4 / 7, 2 / 7, 1 / 7, 0].entries())
      t.ok(Math.abs((active[i] ?? 0) - part * sum) <= 3 + threads, `b${i}: ${active[i]} of ${(part * sum).toFixed(0)}`)
  })
