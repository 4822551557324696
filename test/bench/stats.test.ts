/** The bench's statistics. */
import t from 'tap'
import { median, pairedRatio, quantile, spreadOf } from '../../bench/stats.ts'

t.test('a median lies in the middle, between the two middle values of an even number', async (t) => {
  for (const [values, expected] of [
    [[3], 3],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 100], 10],
  ] as const) {
    t.equal(median(values), expected, JSON.stringify(values))
  }
})

t.test('a quantile is interpolated between neighbours', async (t) => {
  t.equal(quantile([0, 10], 0.25), 2.5)
  t.equal(quantile([5, 1, 3], 0), 1)
  t.equal(quantile([5, 1, 3], 1), 5)
})

t.test('a quantile of nothing is refused, not NaN', async (t) => {
  t.throws(() => quantile([], 0.5), RangeError)
})

t.test('a spread leaves its input in order', async (t) => {
  const values = [3, 1, 2]
  t.strictSame(spreadOf(values), { median: 2, low: 1, high: 3 })
  t.strictSame(values, [3, 1, 2])
})

t.test('ratios are paired by round: noise that hits both sides of a round cancels out', async (t) => {
  t.strictSame(pairedRatio([10, 30, 20], [20, 60, 40]), { median: 0.5, low: 0.5, high: 0.5 })
})

t.test('a round that one side lacks is left out of the ratio', async (t) => {
  t.strictSame(pairedRatio([10, undefined, 30], [10, 10, 10]), { median: 2, low: 1, high: 3 })
  t.equal(pairedRatio([10, undefined], [undefined, 10]), undefined)
})
