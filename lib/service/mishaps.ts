/** Errors of the control thread that nobody expected: traffic goes on, and people are told. */
import { type Logger, messageOf } from '../core/index.ts'

const TELL_MS = 1000 // one that comes with every tick is logged once in that time

export interface Mishap {
  readonly at: number
  readonly message: string
}

export class Mishaps {
  readonly #log: Pick<Logger, 'error'>
  readonly #now: () => number
  count = 0
  last: Mishap | null = null
  #toldAt = Number.NEGATIVE_INFINITY
  #untold = 0

  /** @param now ms since the epoch */
  constructor(log: Pick<Logger, 'error'>, now: () => number) {
    this.#log = log
    this.#now = now
  }

  add(error: unknown): void {
    const at = this.#now()
    this.count++
    this.last = { at, message: messageOf(error) }
    if (at - this.#toldAt < TELL_MS) {
      this.#untold++
      return
    }
    const more = this.#untold === 0 ? '' : ` (and ${this.#untold} more since the last one that was logged)`
    this.#toldAt = at
    this.#untold = 0
    this.#log.error(
      { err: error },
      `unexpected error in the control thread, traffic goes on: ${messageOf(error)}${more}`,
    )
  }
}
