/** The beats by which control sees that a data thread's event loop turns, and by which the thread sees that it can't keep up. */
import type { ThreadCell } from '../board/index.ts'
import { nowMs } from '../core/index.ts'
import { LongestTurn, type TakeTurn } from './longest-turn.ts'

const BEAT_MS = 100
const LATE_BEATS = 3 // in a row: one that is late by itself is a collection of garbage, or a large file
const CALM_BEATS = 10 // in a row, each late by less than half of the limit

export class Heartbeat {
  readonly #cell: ThreadCell
  readonly #limit: () => number
  readonly #now: () => number
  readonly #longest: LongestTurn
  #timer: NodeJS.Timeout | null = null
  #expected = 0
  #delay = 0
  #late = 0
  #calm = 0
  /** It can't keep up: what is new is refused, so that what is under way ends. */
  shedding = false

  /**
   * @param limit the delay above which it sheds load, ms; 0: never
   * @param turns null: by how much beats are late tells of long turns too, though not of all
   */
  constructor(cell: ThreadCell, limit: () => number, turns: TakeTurn | null = null, now: () => number = nowMs) {
    this.#longest = new LongestTurn(turns ?? (() => this.#delay))
    this.#cell = cell
    this.#limit = limit
    this.#now = now
  }

  start(): void {
    this.#expected = this.#now() + BEAT_MS
    this.#timer = setInterval(() => this.beat(), BEAT_MS)
    this.#timer.unref()
    this.#longest.look(this.#now())
    this.#cell.beat(0, false, 0)
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  beat(): void {
    const now = this.#now()
    this.#delay = Math.max(0, Math.round(now - this.#expected))
    this.#expected = now + BEAT_MS
    this.#judge(this.#delay, this.#limit())
    this.#cell.beat(this.#delay, this.shedding, Math.round(this.#longest.look(now)))
  }

  #judge(delay: number, limit: number): void {
    this.#late = limit > 0 && delay > limit ? this.#late + 1 : 0
    this.#calm = limit === 0 || delay < limit / 2 ? this.#calm + 1 : 0
    if (this.#late >= LATE_BEATS) this.shedding = true
    else if (this.#calm >= CALM_BEATS) this.shedding = false
  }
}
