/** Least connections: counted over all data threads. */
import t from 'tap'
import type { Backend } from '../../lib/pool/index.ts'
import { chance, FLOW, rigOf } from './fixtures/rig.ts'
import { inThreads } from './fixtures/threads.ts'

t.test('each pick is one of those with the least flows by weight', (t) => {
  const random = chance(5)
  for (const weights of [
    [1, 1, 1, 1, 1],
    [3, 2, 1],
    [10, 1, 1],
  ]) {
    const { policy, backends } = rigOf('least-connections', weights)
    const open: Backend[] = []
    let wrong = 0
    for (let i = 0; i < 5000; i++) {
      const least = Math.min(...backends.map((backend) => backend.cell.active() / backend.weight))
      const picked = policy.pick(FLOW, null) as Backend
      if (picked.cell.active() / picked.weight !== least) wrong++
      picked.cell.begin()
      open.push(picked)
      while (open.length > 0 && random() < 0.49) open.splice(Math.floor(random() * open.length), 1)[0]?.cell.end()
    }
    t.equal(wrong, 0, `${weights}`)
  }
  t.end()
})

t.test('equals are picked in turn, each as often as its weight says', (t) => {
  const { policy } = rigOf('least-connections', [5, 1, 1])
  const seen = Array.from({ length: 14 }, () => policy.pick(FLOW, null)?.name)
  t.same(seen, ['b0', 'b0', 'b1', 'b0', 'b2', 'b0', 'b0', 'b0', 'b0', 'b1', 'b0', 'b2', 'b0', 'b0'])
  t.end()
})

t.test('a backend that is back without flows gets the next ones until it has as many as the others', (t) => {
  const { policy, backends } = rigOf('least-connections', [1, 1, 1])
  const [a, b, c] = backends as [Backend, Backend, Backend]
  policy.rebuild([a, b])
  for (let i = 0; i < 10; i++) policy.pick(FLOW, null)?.cell.begin()
  policy.rebuild([a, b, c])
  const seen = Array.from({ length: 5 }, () => {
    const picked = policy.pick(FLOW, null)
    picked?.cell.begin()
    return picked?.name
  })
  t.same(seen, ['b2', 'b2', 'b2', 'b2', 'b2'])
  t.same(
    backends.map((backend) => backend.cell.active()),
    [5, 5, 5],
  )
  t.end()
})

for (const threads of [1, 2, 4])
  for (const weights of [
    [1, 1, 1, 1, 1, 1],
    [4, 2, 1, 1],
    [3, 3, 2],
  ])
    t.test(`(${weights}): flows of unequal length in ${threads} threads end up within one of the ideal`, async (t) => {
      const job = { policy: 'least-connections', weights, churn: 4000, fill: 2000, pooled: true }
      const { active } = await inThreads(threads, job)
      const flows = active.reduce((a, b) => a + b, 0)
      const sum = weights.reduce((a, b) => a + b, 0)
      for (const [i, weight] of weights.entries()) {
        const ideal = (flows * weight) / sum
        t.ok(Math.abs((active[i] ?? 0) - ideal) <= 1, `b${i} has ${active[i]} of ${ideal}`)
      }
    })
