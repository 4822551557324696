/** Random two: close to level without a look at all. */
import t from 'tap'
import type { Backend } from '../../lib/pool/index.ts'
import { chance, FLOW, rigOf } from './fixtures/rig.ts'
import { inThreads } from './fixtures/threads.ts'

/** How far the fullest backend is above its share, as a fraction of the share. */
function excess(active: readonly number[], weights: readonly number[]): number {
  const flows = active.reduce((a, b) => a + b, 0)
  const sum = weights.reduce((a, b) => a + b, 0)
  return Math.max(...active.map((n, i) => (n * sum) / (flows * (weights[i] ?? 1)) - 1))
}

for (const weights of [new Array<number>(10).fill(1), [4, 4, 2, 2, 1, 1], new Array<number>(100).fill(1)])
  t.test(`the worst of ${weights.length} backends (${weights.slice(0, 6)}…) stays within 15 % of its share`, (t) => {
    for (const seed of [1, 2, 3]) {
      const { policy, backends } = rigOf('random-two', weights, { random: chance(seed) })
      const random = chance(seed + 50)
      const open: Backend[] = []
      let worst = 0
      for (let i = 0; i < 20_000; i++) {
        const picked = policy.pick(FLOW, null) as Backend
        picked.cell.begin()
        open.push(picked)
        if (open.length > 40 * backends.length) {
          const at = Math.floor(random() * open.length)
          const [ended] = open.splice(at, 1)
          ended?.cell.end()
          if (i % 100 === 0)
            worst = Math.max(
              worst,
              excess(
                backends.map((b) => b.cell.active()),
                weights,
              ),
            )
        }
      }
      t.ok(worst > 0 && worst <= 0.15, `seed ${seed}: ${(100 * worst).toFixed(1)} % above`)
    }
    t.end()
  })

for (const threads of [2, 4])
  t.test(`the worst backend stays within 15 % of its share in ${threads} threads`, async (t) => {
    const weights = [2, 2, 1, 1, 1, 1]
    const { active } = await inThreads(threads, { policy: 'random-two', weights, churn: 4000, fill: 1000 })
    t.ok(excess(active, weights) <= 0.15, `${active}`)
  })

t.test('of two backends the less loaded one is picked', (t) => {
  const { policy, backends } = rigOf('random-two', [1, 1])
  const [a, b] = backends as [Backend, Backend]
  a.cell.begin()
  for (let i = 0; i < 50; i++) t.equal(policy.pick(FLOW, null), b)
  b.cell.begin()
  b.cell.begin()
  for (let i = 0; i < 50; i++) t.equal(policy.pick(FLOW, null), a)
  t.end()
})

t.test('the two that are compared are never the same one', (t) => {
  // The second one is drawn out of the others, so a backend with flows is never picked beside idle ones.
  for (const weights of [
    [1, 1, 1],
    [256, 1, 1],
    [1, 256, 1],
    [1, 1, 256],
  ])
    for (let busy = 0; busy < 3; busy++) {
      const { policy, backends } = rigOf('random-two', weights, { random: chance(9) })
      for (let i = 0; i < 300; i++) backends[busy]?.cell.begin()
      const picks = Array.from({ length: 2000 }, () => policy.pick(FLOW, null))
      t.notOk(picks.includes(backends[busy]), `${weights}, b${busy} is busy`)
    }
  t.end()
})
