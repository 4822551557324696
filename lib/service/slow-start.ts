/** The rise of a recovered backend's weight: linear from a tenth to all of it (HAProxy's slowstart). */
import type { Clock } from '../core/index.ts'

const STEP = 0.05 // every step lays out the pool anew in all threads
const FIRST = 0.1

export class SlowStart {
  /** Of its weight, 0.1..1. */
  share = FIRST
  readonly #clock: Clock
  readonly #from: number
  readonly #ms: number

  constructor(clock: Clock, ms: number) {
    this.#clock = clock
    this.#from = clock.now()
    this.#ms = ms
  }

  /** Looks at the clock; true: `share` has risen. */
  rise(): boolean {
    const part = Math.min(1, (this.#clock.now() - this.#from) / this.#ms)
    const share = Math.floor((FIRST + part * (1 - FIRST)) / STEP + 1e-9) * STEP
    if (share <= this.share + STEP / 2) return false
    this.share = Math.min(1, Math.round(share * 100) / 100)
    return true
  }
}
