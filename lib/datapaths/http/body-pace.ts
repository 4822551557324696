/** Tells how long the next piece of a request's body may take, so that its average does not fall below the limit. */
import type { DeadlineWheel } from '../../core/index.ts'

const LAG_MS = 100 // the wheel's time may lag this much: nobody is called slow too early

export class BodyPace {
  readonly #wheel: DeadlineWheel
  readonly #msPerByte: number
  readonly #grace: number
  /** When we began to wait for the client; later by the time in which it had to wait for the backend. */
  #from: number
  #heldAt = 0

  /** @param rate bytes a second, above 0; @param grace ms in which it is not looked at */
  constructor(wheel: DeadlineWheel, { rate, grace }: { readonly rate: number; readonly grace: number }) {
    this.#wheel = wheel
    this.#msPerByte = 1000 / rate
    this.#grace = grace
    this.#from = wheel.now + LAG_MS
  }

  /** The client can't send now: the backend does not take more. */
  hold(): void {
    this.#heldAt = this.#wheel.now
  }

  /** It can again. */
  goOn(): void {
    this.#from += this.#wheel.now - this.#heldAt
  }

  /** ms left until `bytes` are too few; not above 0: they are. */
  left(bytes: number): number {
    return Math.max(this.#grace, bytes * this.#msPerByte) - (this.#wheel.now - this.#from)
  }
}
