/** Bounds the frames of a connection that move nothing: resets, pings, settings, priorities, empty data and their like. */

/** A reset costs a request's work on our side, the others a few instructions. */
export const RESET_WEIGHT = 10
/** So many times that when it comes in the read that brought its request: nobody wants and gives up fifty of those in a second by chance. */
export const AT_ONCE = 4
/** What content or an answer gives back: as much as the window updates that follow it cost. */
const PROGRESS = 3
const WORTH = 256 // bytes: who asks for less at a time pays for the asking (CVE-2019-9511)

export class FrameBudget {
  readonly #max: number
  #left: number
  #filledAt: number

  /** @param max frames a second, and at once */
  constructor(max: number, now: number) {
    this.#max = max
    this.#left = max
    this.#filledAt = now
  }

  /** False: it is used up. */
  spend(weight: number, now: number): boolean {
    if (now > this.#filledAt) {
      this.#left = Math.min(this.#max, this.#left + ((now - this.#filledAt) * this.#max) / 1000)
      this.#filledAt = now
    }
    this.#left -= weight
    return this.#left >= 0
  }

  /** So much content moved. */
  moved(bytes: number): void {
    if (bytes >= WORTH) this.progress()
  }

  /** A request was answered. */
  progress(): void {
    if (this.#left < this.#max) this.#left += PROGRESS
  }
}
