/** Follows the beats of one data thread: for how long has it been silent while control looked? */

const STEP_MS = 500 // what one look can add: where control itself stood still, the thread's silence says nothing

export class Pulse {
  #beats = -1
  #at = 0
  #silentMs = 0

  /** A thread begins. */
  reset(beats: number, now: number): void {
    this.#beats = beats
    this.#at = now
    this.#silentMs = 0
  }

  /** ms without a beat, as far as they were seen. */
  look(beats: number, now: number): number {
    this.#silentMs = beats === this.#beats ? this.#silentMs + Math.min(now - this.#at, STEP_MS) : 0
    this.#beats = beats
    this.#at = now
    return this.#silentMs
  }
}
