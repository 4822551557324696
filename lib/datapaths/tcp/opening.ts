/** Reads a client's first bytes until enough of them are there, for so long and no longer. */
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../../core/index.ts'
import { breakWire } from '../break-wire.ts'
import type { Wire, WireSink } from '../wire.ts'

const MAX_BYTES = 32 * 1024 // twice what any of the readers looks at

export interface OpeningTaker {
  /** `all` came so far, `fresh` is the last of it. True: that is enough. */
  onOpening(all: Buffer, fresh: Buffer): boolean
  /** It is over; the wire is paused and has no sink. `late`: enough did not come in time, or within the bound. */
  onOpened(late: boolean): void
  /** The client left before. */
  onLeft(): void
}

export class Opening implements WireSink, DeadlineOwner {
  /** What was read: memory of its own. */
  bytes: Buffer = Buffer.alloc(0)
  readonly #wire: Wire
  readonly #taker: OpeningTaker
  readonly #deadline: Deadline
  #over = false

  constructor(wire: Wire, wheel: DeadlineWheel, taker: OpeningTaker) {
    this.#wire = wire
    this.#taker = taker
    this.#deadline = new Deadline(wheel, this)
  }

  start(timeoutMs: number): void {
    this.#deadline.set(timeoutMs)
    this.#wire.sink = this
    this.#wire.resume()
  }

  onBytes(bytes: Buffer, length: number): void {
    if (this.#over) return
    this.bytes = Buffer.concat([this.bytes, bytes.subarray(0, length)])
    if (this.#taker.onOpening(this.bytes, this.bytes.subarray(-length))) this.#opened(false)
    else if (this.bytes.length > MAX_BYTES) this.#opened(true)
  }

  onEnd(): void {
    this.#left()
  }
  onDrain(): void {}
  onClose(): void {
    this.#left()
  }

  onDeadline(): void {
    this.#opened(true)
  }
  onThrown(error: unknown): void {
    breakWire(this.#wire, error)
  }

  /** Ends it without a word. */
  cancel(): void {
    this.#over = true
    this.#deadline.release()
  }

  #opened(late: boolean): void {
    if (this.#over) return
    this.cancel()
    this.#wire.pause()
    this.#taker.onOpened(late)
  }

  #left(): void {
    if (this.#over) return
    this.cancel()
    this.#taker.onLeft()
  }
}
