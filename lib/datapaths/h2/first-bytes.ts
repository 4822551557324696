/** Waits for the first bytes of a client that may speak HTTP/2 with prior knowledge, or HTTP/1.1 (RFC 9113 §3.3). */
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../../core/index.ts'
import { breakWire } from '../break-wire.ts'
import { idleSink, type Wire, type WireSink } from '../wire.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** Who goes on with the wire: it gets what was read. */
export type Next = (http2: boolean, first: Buffer) => void

export class FirstBytes implements WireSink, DeadlineOwner {
  readonly #wire: Wire
  readonly #next: Next
  readonly #ended: () => void
  readonly #deadline: Deadline
  #bytes = Buffer.alloc(0)

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
    const seen = Math.min(PREFACE.length, this.#bytes.length + length)
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(0, length)])
    const alike = PREFACE.compare(this.#bytes, 0, seen, 0, seen) === 0
    if (alike && seen < PREFACE.length) return
    this.#wire.pause()
    this.#wire.sink = idleSink
    this.#deadline.release()
    this.#next(alike, this.#bytes)
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
