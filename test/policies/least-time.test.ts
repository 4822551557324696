/** Least time: the fastest gets most, and a slow past is forgotten. */
import t from 'tap'
import { sharedTime } from '../../lib/board/index.ts'
import type { Backend } from '../../lib/pool/index.ts'
import { chance, FLOW, type Rig, rigOf } from './fixtures/rig.ts'
import { inThreads } from './fixtures/threads.ts'

/** Backends whose answers take so many ms, asked one after the other or several at once, in a time of the test's. */
function simulate(rig: Rig, times: readonly number[], clock: { now: number }, arrivals: number, gap: number): number[] {
  const got = times.map(() => 0)
  const pending: { at: number; took: number; backend: Backend }[] = []
  const random = chance(11)
  for (let i = 0; i < arrivals; i++) {
    clock.now += gap
    for (const ended of pending.filter(({ at }) => at <= clock.now)) {
      pending.splice(pending.indexOf(ended), 1)
      ended.backend.cell.end()
      ended.backend.cell.took(ended.took, ended.at)
    }
    const backend = rig.policy.pick(FLOW, null)
    if (backend === undefined) throw new Error('nothing was picked')
    const index = rig.backends.indexOf(backend)
    got[index] = (got[index] ?? 0) + 1
    backend.cell.begin()
    const took = (times[index] ?? 0) * (0.8 + 0.4 * random())
    pending.push({ at: clock.now + took, took, backend })
  }
  return got
}

const rigAt = (weights: readonly number[]) => {
  const clock = { now: 1_000_000 }
  return { clock, rig: rigOf('least-time', weights, { now: () => clock.now }) }
}

t.test('asked one after the other, the fastest gets nearly all, and the others are tried now and then', (t) => {
  const { rig, clock } = rigAt([1, 1, 1])
  const got = simulate(rig, [5, 20, 50], clock, 10_000, 100)
  t.ok((got[0] ?? 0) > 9000, `${got}`)
  for (const n of got) t.ok(n >= 10, `${got}`)
  t.end()
})

t.test('asked by many at once, each gets by its speed: times × flows are level', (t) => {
  const { rig, clock } = rigAt([1, 1, 1])
  const times = [10, 20, 40]
  const got = simulate(rig, times, clock, 20_000, 0.5)
  const [a = 0, b = 0, c = 0] = got
  // Flows in progress are (flows per ms) × time, and the score time × (1 + flows): the square of the speed decides.
  t.ok(a > 2 * b && b > 2 * c && c > 200, `${got}`)
  t.end()
})

t.test('the score is time × (1 + active) / weight', (t) => {
  const { rig, clock } = rigAt([1, 2, 4])
  const [a, b, c] = rig.backends as [Backend, Backend, Backend]
  a.cell.took(10, clock.now)
  b.cell.took(18, clock.now)
  c.cell.took(44, clock.now)
  t.equal(rig.policy.pick(FLOW, null), b) // 10, 9, 11
  b.cell.begin()
  t.equal(rig.policy.pick(FLOW, null), a) // 10, 18, 11
  a.cell.begin()
  t.equal(rig.policy.pick(FLOW, null), c) // 20, 18, 11
  t.end()
})

t.test('one that nobody has timed is tried first, by one flow, and then counts like the mean of the others', (t) => {
  const { rig, clock } = rigAt([1, 1])
  const [known, fresh] = rig.backends as [Backend, Backend]
  known.cell.took(10, clock.now)
  t.equal(rig.policy.pick(FLOW, null), fresh)
  fresh.cell.begin()
  const seen = Array.from({ length: 10 }, () => {
    const picked = rig.policy.pick(FLOW, null)
    picked?.cell.begin()
    return picked?.name
  })
  t.ok(seen.filter((name) => name === 'b1').length <= 5, `${seen}`)
  t.end()
})

t.test(
  'a slow past is forgotten: within a minute it is tried again, by one flow at a time, and the new time counts',
  (t) => {
    const { rig, clock } = rigAt([1, 1])
    const [fast, slow] = rig.backends as [Backend, Backend]
    fast.cell.took(10, clock.now)
    slow.cell.took(1000, clock.now)
    let tried = 0
    for (let second = 1; second <= 60 && tried === 0; second++) {
      clock.now += 1000
      fast.cell.took(10, clock.now)
      if (rig.policy.pick(FLOW, null) === slow) tried = second
    }
    t.ok(tried > 20 && tried <= 60, `after ${tried} s`)
    slow.cell.begin()
    t.equal(rig.policy.pick(FLOW, null), fast, 'nobody follows while the first has no answer')
    slow.cell.took(5, clock.now)
    slow.cell.end()
    t.ok(slow.cell.latency() < 30_000, `${slow.cell.latency()} µs`)
    t.end()
  },
)

t.test('the clock’s word may go around, and the clocks of threads may differ by a moment', (t) => {
  const { rig } = rigAt([1])
  const [{ cell }] = rig.backends as [Backend]
  for (const at of [2 ** 31 - 10, 2 ** 32 - 10, 5 * 2 ** 31 - 10]) {
    cell.took(20, at)
    t.ok(cell.freshness(at + 20) > 0.99)
    t.equal(cell.freshness(at - 5), 1)
    t.ok(cell.freshness(at + 10_000) < 0.4)
    t.ok(cell.freshness(at + 30 * 86_400_000) < 0.01, 'a month later')
  }
  t.end()
})

t.test('all threads see the times that each of them measures', async (t) => {
  const now = sharedTime(performance.now())
  for (const threads of [1, 2, 4]) {
    const times = [1, 4]
    const { active } = await inThreads(threads, {
      policy: 'least-time',
      weights: [1, 1],
      churn: 0,
      fill: 500,
      times,
      now,
    })
    const [fast = 0, slow = 0] = active
    // Nothing ends: as many flows as make time × (1 + flows) the same.
    t.ok(Math.abs(fast / slow - 4) < 0.2, `${threads} threads: ${active}`)
  }
})
