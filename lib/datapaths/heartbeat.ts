/** The beats by which control sees that a data thread's event loop turns, and by which the thread sees that it can't keep up. */
import type { ThreadCell } from '../board/index.ts'
import { nowMs } from '../core/index.ts'

const BEAT_MS = 100
const LATE_BEATS = 3 // in a row: one that is late by itself is a collection of garbage, or a large file
const CALM_BEATS = 10 // in a row, each late by less than half of the limit

export class Heartbeat {
  readonly #cell: ThreadCell
  readonly #limit: () => number
  readonly #now: () => number
  #timer: NodeJS.Timeout | null = null
  #expected = 0
  #late = 0
  #calm = 0
  /** It can't keep up: what is new is refused, so that what is under way ends. */
  shedding = false

  /** @param limit the delay above which it sheds load, ms; 0: never */
  constructor(cell: ThreadCell, limit: () => number, now: () => number = nowMs) {
    this.#cell = cell
    this.#limit = limit
    this.#now = now
  }

  start(): void {
    this.#expected = this.#now() + BEAT_MS
    this.#timer = setInterval(() => this.beat(), BEAT_MS)
    this.#timer.unref()
    this.#cell.beat(0, false)
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  beat(): void {
    const now = this.#now()
    const delay = Math.max(0, Math.round(now - this.#expected))
    this.#expected = now + BEAT_MS
    this.#judge(delay, this.#limit())
    this.#cell.beat(delay, this.shedding)
  }

  #judge(delay: number, limit: number): void {
    this.#late = limit > 0 && delay > limit ? this.#late + 1 : 0
    this.#calm = limit === 0 || delay < limit / 2 ? this.#calm + 1 : 0
    if (this.#late >= LATE_BEATS) this.shedding = true
    else if (this.#calm >= CALM_BEATS) this.shedding = false
  }
}
