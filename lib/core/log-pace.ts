/** Bounds how many lines a second are logged: a fault that comes with every request must not become a second one. */

const LINES = 50 // a second in the long run
const BURST = 200

export class LogPace {
  readonly #now: () => number
  #left = BURST
  #at: number
  #dropped = 0

  constructor(now: () => number) {
    this.#now = now
    this.#at = now()
  }

  /** May one more be written? */
  take(): boolean {
    const now = this.#now()
    this.#left = Math.min(BURST, this.#left + ((now - this.#at) * LINES) / 1000)
    this.#at = now
    if (this.#left < 1) {
      this.#dropped++
      return false
    }
    this.#left--
    return true
  }

  /** How many were not, since it was last asked. */
  dropped(): number {
    const dropped = this.#dropped
    this.#dropped = 0
    return dropped
  }
}
