/** The budget of further tries: a fifth of what is active, and always three. */
import t from 'tap'
import { RetryBudget } from '../../lib/datapaths/retry-budget.ts'

const taken = (active: number): number => {
  const budget = new RetryBudget()
  let n = 0
  while (n < 1000 && budget.take(active)) n++
  return n
}

t.test('three may always be on another try, and of many a fifth', async (t) => {
  for (const [active, most] of [
    [1, 3],
    [15, 3],
    [16, 4],
    [100, 20],
    [1000, 200],
  ] as const)
    t.equal(taken(active), most, `${active} active`)
})

t.test('what is given back can be taken again', async (t) => {
  const budget = new RetryBudget()
  for (let i = 0; i < 3; i++) t.ok(budget.take(1))
  t.notOk(budget.take(1))
  budget.give()
  t.ok(budget.take(1))
  t.notOk(budget.take(1))
})
