/** A histogram of durations of the control thread, with the buckets of the board. */
import { BUCKETS } from '../board/index.ts'

export class DurationHistogram {
  /** How many fell into each bucket; the last is above all bounds. Not cumulative. */
  readonly counts: number[] = new Array<number>(BUCKETS.length + 1).fill(0)
  /** In seconds. */
  sum = 0

  observe(seconds: number): void {
    const i = BUCKETS.findIndex((bound) => seconds <= bound)
    const at = i < 0 ? BUCKETS.length : i
    this.counts[at] = (this.counts[at] ?? 0) + 1
    this.sum += seconds
  }
}
