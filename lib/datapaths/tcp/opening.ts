/** Reads a client's first bytes until they say what it is known by, for so long and no longer. */
import type { StreamSide } from '../../affinity/index.ts'
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../../core/index.ts'
import type { Wire, WireSink } from '../wire.ts'

const WAIT_MS = 3000 // clients of these protocols speak first, in one packet
const MAX_BYTES = 32 * 1024 // twice what any of the readers looks at

/** Hears once how it ended. */
export interface OpeningTaker {
  /** The key, or ''; the wire is paused and has no sink. */
  onOpened(key: string): void
  /** The client left before. */
  onLeft(): void
}

export class Opening implements WireSink, DeadlineOwner {
  /** What was read: memory of its own. */
  bytes: Buffer = Buffer.alloc(0)
  readonly #wire: Wire
  readonly #side: StreamSide
  readonly #taker: OpeningTaker
  readonly #deadline: Deadline
  #over = false

  constructor(wire: Wire, side: StreamSide, wheel: DeadlineWheel, taker: OpeningTaker) {
    this.#wire = wire
    this.#side = side
    this.#taker = taker
    this.#deadline = new Deadline(wheel, this)
  }

  start(): void {
    this.#deadline.set(WAIT_MS)
    this.#wire.sink = this
    this.#wire.resume()
  }

  onBytes(bytes: Buffer, length: number): void {
    if (this.#over) return
    this.bytes = Buffer.concat([this.bytes, bytes.subarray(0, length)])
    const key = this.#side.keyIn(this.bytes)
    if (key !== null) this.#opened(key)
    else if (this.bytes.length > MAX_BYTES) this.#opened('')
  }

  onEnd(): void {
    this.#left()
  }
  onDrain(): void {}
  onClose(): void {
    this.#left()
  }

  /** It says nothing: then it is as good as unknown. */
  onDeadline(): void {
    this.#opened('')
  }

  /** Ends it without a word. */
  cancel(): void {
    this.#over = true
    this.#deadline.release()
  }

  #opened(key: string): void {
    if (this.#over) return
    this.cancel()
    this.#wire.pause()
    this.#taker.onOpened(key)
  }

  #left(): void {
    if (this.#over) return
    this.cancel()
    this.#taker.onLeft()
  }
}
