/** The budget of further tries: a fifth of what is active and always three, besides those of the worst backend. */
import t from 'tap'
import { BackendCell, Board } from '../../lib/board/index.ts'
import { RetryBudget } from '../../lib/datapaths/retry-budget.ts'
import { Backend } from '../../lib/pool/index.ts'

const board = new Board(1)
const [a, b, c] = ['a', 'b', 'c'].map(
  (name, row) => new Backend(name, '127.0.0.1', 80, new BackendCell(board, 0, row)),
) as [Backend, Backend, Backend]

/** How often it could be taken from, at most 1000 times. */
function taken(budget: RetryBudget, active: number, backend: Backend): number {
  let n = 0
  while (n < 1000 && budget.take(backend, active)) n++
  return n
}

t.test('all that one backend drops may be tried again', async (t) => {
  t.equal(taken(new RetryBudget(), 1, a), 1000)
})

t.test('of what the others drop three always may, and of many a fifth', async (t) => {
  for (const [active, most] of [
    [1, 3],
    [15, 3],
    [16, 3],
    [20, 4],
    [100, 20],
    [1000, 200],
  ] as const) {
    const budget = new RetryBudget()
    taken(budget, active, a)
    t.equal(taken(budget, active, b), most, `${active} active`)
    t.equal(taken(budget, active, c), 0, 'which they share')
  }
})

t.test('what is given back can be taken again', async (t) => {
  const budget = new RetryBudget()
  taken(budget, 1, a)
  t.equal(taken(budget, 1, b), 3)
  budget.give(b)
  t.equal(taken(budget, 1, c), 1)
  for (let i = 0; i < 1000; i++) budget.give(a)
  t.equal(taken(budget, 1, b), 1000, 'now it is the worst')
})
