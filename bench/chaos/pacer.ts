/** Hands out turns at a steady pace, however long the work of each takes. */
import { setTimeout as delay } from 'node:timers/promises'

const MOST_BEHIND = 500 // ms of turns that are made up for

export class Pacer {
  readonly #gap: number
  #next = performance.now()

  constructor(perSecond: number) {
    this.#gap = 1000 / perSecond
  }

  async turn(): Promise<void> {
    const now = performance.now()
    this.#next = Math.max(this.#next, now - MOST_BEHIND)
    const wait = this.#next - now
    this.#next += this.#gap
    if (wait > 0) await delay(wait)
  }
}
