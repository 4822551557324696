/** The schedule of faults: the same for the same seed, and one that leaves backends to serve. */
import fc from 'fast-check'
import t from 'tap'
import { deedOf } from '../../../bench/chaos/deeds.ts'
import { BACKENDS, PLANS, planOf } from '../../../bench/chaos/plan.ts'
import { type Blow, beatSchedule, drawSchedule } from '../../../bench/chaos/schedule.ts'

const MS = 60_000

t.test('the same seed gives the same schedule, another seed another', async (t) => {
  t.strictSame(drawSchedule(7, MS), drawSchedule(7, MS))
  t.notSame(drawSchedule(7, MS), drawSchedule(8, MS))
})

t.test('every kind of fault is drawn by some seed, and somebody knows how to do it', async (t) => {
  const drawn = new Set<string>()
  for (let seed = 1; seed <= 20; seed++) for (const { kind } of drawSchedule(seed, MS)) drawn.add(kind)
  t.strictSame([...drawn].sort(), PLANS.map(({ kind }) => kind).sort())
  for (const { kind } of PLANS) t.ok(deedOf(kind), kind)
})

t.test(
  'at any time at most two backends are hit, nobody twice, and nothing beside the process as a whole',
  async (t) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), (seed) => {
        const blows = drawSchedule(seed, MS)
        t.ok(blows.length > 20, `${blows.length} blows`)
        const endOf = (blow: Blow) => blow.at + blow.lasts + planOf(blow.kind).rest
        for (const [i, blow] of blows.entries()) {
          if (blow.n !== i + 1) return false
          const [shortest, longest] = planOf(blow.kind).lasts
          if (blow.lasts < shortest || blow.lasts > longest || endOf(blow) > MS) return false
          const present = blows.filter((b) => b !== blow && b.at <= blow.at && endOf(b) > blow.at)
          if (present.some(({ target }) => target === blow.target || target === 'balancer')) return false
          if (blow.target === 'balancer' && present.length > 0) return false
          const hit = [...present, blow].filter(({ target }) => BACKENDS.includes(target))
          if (new Set(hit.map(({ target }) => target)).size > 2) return false
        }
        return true
      }),
      { numRuns: 50 },
    )
  },
)

t.test('a beat comes in its own time, and ends before the run does', async (t) => {
  const blows = beatSchedule(1, 10_000, [
    { kind: 'backend-kill', targets: ['b0'], every: 3000, from: 1000, lasts: 1000 },
    { kind: 'certificates', targets: ['certificates'], every: 4000, from: 500, lasts: 0 },
  ])
  t.strictSame(
    blows.map(({ n, at, kind }) => [n, at, kind]),
    [
      [1, 500, 'certificates'],
      [2, 1000, 'backend-kill'],
      [3, 4000, 'backend-kill'],
      [4, 4500, 'certificates'],
      [5, 7000, 'backend-kill'],
    ],
  )
})
