/** What a connection has to say and has not written yet: frames of many streams, in one write. */
import type { Wire } from '../wire.ts'
import { HEADER_BYTES, MAX_FRAME } from './frames.ts'

const DATA_BYTES = 64 * 1024 // beyond so much, content waits for the write before it: four TLS records, one default receive window
const OUT_BYTES = DATA_BYTES + MAX_FRAME // other frames still fit
const MOST_SPARES = 32 // 2.5 MiB a thread

const spares: Buffer[] = []

/** Those with something to say: written once all reads of this turn of the event loop are worked on. */
const waiting: Output[] = []
let scheduled = false

function flushAll(): void {
  scheduled = false
  for (let i = 0; i < waiting.length; i++) (waiting[i] as Output).flush()
  waiting.length = 0
}

export class Output {
  readonly #wire: Wire
  #bytes: Buffer | null = null
  /** Where the next frame goes. */
  at = 0
  /** Being written: nothing else is, until it drains. */
  #flying: Buffer | null = null
  #listed = false
  #closed = false

  constructor(wire: Wire) {
    this.#wire = wire
  }

  get queued(): number {
    return this.at + this.#wire.queued
  }
  /** The client reads too slowly: it is not listened to either. */
  get overfull(): boolean {
    return this.#flying !== null && this.at > DATA_BYTES
  }

  /** Memory with room for `length` bytes from `at` on; it is written at the end of this turn. */
  reserve(length: number): Buffer {
    if (!this.#listed) {
      this.#listed = true
      waiting.push(this)
      if (!scheduled) {
        scheduled = true
        setImmediate(flushAll)
      }
    }
    if (this.#bytes !== null && this.at + length > this.#bytes.length) this.flush()
    const bytes = this.#bytes
    if (bytes !== null && this.at + length <= bytes.length) return bytes
    if (bytes === null && length <= OUT_BYTES) {
      this.#bytes = spares.pop() ?? Buffer.allocUnsafeSlow(OUT_BYTES)
      return this.#bytes
    }
    const larger = Buffer.allocUnsafeSlow(2 * (this.at + length))
    bytes?.copy(larger, 0, 0, this.at)
    this.#giveBack(bytes)
    this.#bytes = larger
    return larger
  }

  /** Bytes of content that may go out now. */
  room(): number {
    if (this.at + HEADER_BYTES >= DATA_BYTES) this.flush()
    return Math.max(0, DATA_BYTES - this.at - HEADER_BYTES)
  }

  /** Writes what there is, unless a write is under way. */
  flush(): void {
    this.#listed = false
    const bytes = this.#bytes
    if (bytes === null || this.#flying !== null || this.#closed) return
    this.#bytes = null
    const { at } = this
    this.at = 0
    if (at === 0 || this.#wire.writeOwned(bytes, 0, at)) this.#giveBack(bytes)
    else this.#flying = bytes
  }

  /** The write is over. */
  drained(): void {
    this.#giveBack(this.#flying)
    this.#flying = null
    this.flush()
  }

  #giveBack(bytes: Buffer | null): void {
    if (bytes !== null && bytes.length === OUT_BYTES && spares.length < MOST_SPARES) spares.push(bytes)
  }

  /** Writes the last of it, whatever is under way, and nothing more. */
  finish(): void {
    const bytes = this.#bytes
    if (bytes !== null && this.at > 0 && !this.#wire.writeOwned(bytes, 0, this.at)) this.#bytes = null // pending, and nobody waits for that
    this.close()
  }

  /** Nothing more is written. */
  close(): void {
    this.#closed = true
    this.#giveBack(this.#bytes)
    this.#bytes = null
    this.at = 0
  }
}
