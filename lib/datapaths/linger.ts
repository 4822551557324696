/** Reads on for a while after our last answer, so that no reset destroys it on its way. */
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../core/index.ts'
import { breakWire } from './break-wire.ts'
import type { Wire, WireSink } from './wire.ts'

const LINGER_MS = 2000
const LINGER_BYTES = 1024 * 1024
const HOLD_MS = 500 // for who sends more: not read any more, but not reset before it can have read our answer

export class Linger implements WireSink, DeadlineOwner {
  readonly #wire: Wire
  readonly #done: () => void
  readonly #deadline: Deadline
  #bytes = 0
  #held = false
  #ended: boolean
  #over = false

  /** @param ended the peer has said its last; @param done the wire is closed */
  constructor(wire: Wire, wheel: DeadlineWheel, ended: boolean, done: () => void) {
    this.#wire = wire
    this.#done = done
    this.#ended = ended
    this.#deadline = new Deadline(wheel, this)
    wire.sink = this
    wire.end()
    this.#deadline.set(LINGER_MS)
    if (ended && !wire.pending) this.end()
    else wire.resume()
  }

  end(): void {
    if (this.#over) return
    this.#over = true
    this.#deadline.release()
    this.#wire.destroy()
    this.#done()
  }

  onBytes(_bytes: Buffer, length: number): void {
    this.#bytes += length
    if (this.#bytes <= LINGER_BYTES || this.#held) return
    this.#held = true
    this.#wire.pause()
    this.#deadline.set(HOLD_MS)
  }

  onEnd(): void {
    this.#ended = true
    if (!this.#wire.pending) this.end()
  }

  onDrain(): void {
    if (this.#ended) this.end()
  }

  onClose(): void {
    this.end()
  }

  onDeadline(): void {
    this.end()
  }
  onThrown(error: unknown): void {
    breakWire(this.#wire, error)
  }
}
