/** When the garbage that a flood of connections left is collected. */
import t from 'tap'
import { Leftovers } from '../../lib/service/leftovers.ts'

/** How often was collected, after a look at each of these numbers of connections? */
function collections(counts: readonly number[]): number {
  let active = 0
  let collected = 0
  const leftovers = new Leftovers({ active: () => active, looks: 3, collect: () => void collected++ })
  for (active of counts) leftovers.look()
  return collected
}

t.test('once, a few looks after most of the connections are gone', async (t) => {
  t.equal(collections([0, 5000, 0, 0]), 0)
  t.equal(collections([0, 5000, 0, 0, 0]), 1)
  t.equal(collections([0, 5000, 2400, 1000, 10, 10, 10, 10, 10, 10]), 1)
})

t.test('again after the next flood', async (t) => {
  t.equal(collections([5000, 0, 0, 0, 5000, 0, 0, 0]), 2)
  t.equal(collections([5000, 2000, 2000, 2000, 0, 0, 0, 0]), 2)
})

t.test('never for few connections, a short dip or a busy service', async (t) => {
  t.equal(collections([0, 900, 0, 0, 0, 0, 0]), 0)
  t.equal(collections([5000, 0, 0, 5000, 0, 0, 5000]), 0)
  t.equal(collections([5000, 3000, 4000, 3000, 2500, 2500, 2500]), 0)
})
