/** A client that waits for a 100 before it sends its body, and who tells it: the backend, or we. HTTP.md 14. */
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../../core/index.ts'

const WAIT_MS = 800 // for the backend's 100; with the two ticks that a deadline may be late: a second

/** Who writes our own 100. */
export interface Teller {
  onContinueDue(): void
  /** It met an error that nobody expected. */
  broke(error: unknown): void
}

export class Expectation implements DeadlineOwner {
  readonly #teller: Teller
  readonly #deadline: Deadline
  #told = false

  constructor(wheel: DeadlineWheel, teller: Teller) {
    this.#teller = teller
    this.#deadline = new Deadline(wheel, this)
  }

  /** A 100 is out. */
  get told(): boolean {
    return this.#told
  }

  /** The request's head went out. `mute`: from that backend no 100 can come. */
  sent(mute: boolean): void {
    if (this.#told) return
    if (mute) this.onDeadline()
    else this.#deadline.set(WAIT_MS)
  }

  /** The body comes, or the answer has: nobody waits for us to speak. */
  rest(): void {
    this.#deadline.clear()
  }

  /** A 100 of the backend: may it go on to the client? One is enough. */
  tell(): boolean {
    const first = !this.#told
    this.#told = true
    this.#deadline.clear()
    return first
  }

  onDeadline(): void {
    if (this.tell()) this.#teller.onContinueDue()
  }
  onThrown(error: unknown): void {
    this.#teller.broke(error)
  }

  release(): void {
    this.#deadline.release()
  }
}
