/** Waits for the first bytes of a client that may speak HTTP/2 with prior knowledge, or HTTP/1.1 (RFC 9113 §3.3). */
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../../core/index.ts'
import { breakWire } from '../break-wire.ts'
import { idleSink, type Wire, type WireSink } from '../wire.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** Who goes on with the wire: it gets what was read, `first[0..length)`, for as long as the call lasts. */
export type Next = (http2: boolean, first: Buffer, length: number) => void

export class FirstBytes implements WireSink, DeadlineOwner {
  readonly #wire: Wire
  readonly #next: Next
  readonly #ended: () => void
  readonly #deadline: Deadline
  /** What came before and was too little to tell; null: nothing did. */
  #kept: Buffer | null = null

  /** @param ended the client is gone, or has said nothing for `timeoutMs`: the wire is closed */
  constructor(wire: Wire, wheel: DeadlineWheel, timeoutMs: number, next: Next, ended: () => void) {
    this.#wire = wire
    this.#next = next
    this.#ended = ended
    this.#deadline = new Deadline(wheel, this)
    this.#deadline.set(timeoutMs)
    wire.sink = this
    wire.resume()
  }

  onBytes(bytes: Buffer, length: number): void {
    const first = this.#kept === null ? bytes : Buffer.concat([this.#kept, bytes.subarray(0, length)])
    const end = this.#kept === null ? length : first.length
    const seen = Math.min(PREFACE.length, end)
    const alike = PREFACE.compare(first, 0, seen, 0, seen) === 0
    if (alike && seen < PREFACE.length) {
      this.#kept = this.#kept === null ? Buffer.from(bytes.subarray(0, length)) : first
      return
    }
    this.#wire.pause()
    this.#wire.sink = idleSink
    this.#deadline.release()
    this.#next(alike, first, end)
  }

  onDrain(): void {}

  onEnd(): void {
    this.end()
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

  /** Nobody waits any longer. */
  end(): void {
    this.#deadline.release()
    this.#wire.destroy()
    this.#ended()
  }
}
