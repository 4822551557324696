/** One drain: how long it may last, and how it goes. */

/** How a drain ended. */
export interface DrainEnd {
  readonly id: number
  /** Wall-clock ms. */
  readonly at: number
  /** `done`: with its last flow. `deadline`: flows were cut. `stop`, `start`: by that verb. */
  readonly by: 'done' | 'deadline' | 'stop' | 'start'
  /** Flows cut. */
  readonly cut: number
}

export interface DrainProgress {
  readonly id: number
  readonly startedAt: number
  readonly deadline: number
  /** Flows when it began. */
  readonly initial: number
  readonly left: number
  /** Age of the oldest flow, ms; null: none is left, or nobody has looked yet. */
  readonly oldestMs: number | null
  /** When the last flow may end at the present pace, at the latest the deadline. */
  readonly estimatedEnd: number
}

const SPREAD_SHARE = 0.05
const SPREAD_MOST_MS = 2000

/** Over how long flows are cut at the end of a drain of `timeoutMs`: clients that come back do so one after the other. */
export const spreadOf = (timeoutMs: number): number => Math.min(SPREAD_MOST_MS, timeoutMs * SPREAD_SHARE)

export class Drain {
  readonly id: number
  /** Wall-clock ms, both. */
  readonly startedAt: number
  readonly deadline: number
  readonly initial: number
  /** When the oldest flow began, as of the last look; null: there was none. */
  oldestAt: number | null = null

  constructor(id: number, startedAt: number, deadline: number, initial: number) {
    this.id = id
    this.startedAt = startedAt
    this.deadline = deadline
    this.initial = initial
  }

  get spreadMs(): number {
    return spreadOf(this.deadline - this.startedAt)
  }

  progress(left: number, now: number): DrainProgress {
    const { id, startedAt, deadline, initial, oldestAt } = this
    const oldestMs = left === 0 || oldestAt === null ? null : Math.max(0, now - oldestAt)
    return { id, startedAt, deadline, initial, left, oldestMs, estimatedEnd: this.#estimate(left, now) }
  }

  /** If flows go on ending as often as they did so far. */
  #estimate(left: number, now: number): number {
    const ended = this.initial - left
    if (left === 0) return now
    if (ended <= 0 || now <= this.startedAt) return this.deadline
    const rate = ended / (now - this.startedAt)
    return Math.min(this.deadline, now + left / rate)
  }
}
