/**
 * A message on its way out, put together as bytes. It lies in the same memory as what connections read into, so that a
 * field line goes from one to the other by a move within one array: a seventh of what slices of text cost that are
 * joined and flattened (docs/performance.md).
 */
const READ_BYTES = 64 * 1024 // the default receive window of a loopback or LAN connection is read in one go
const AREA_BYTES = 64 * 1024 // a head, and a body of up to 16 KiB
const AREAS = 16 // 15 messages wait for slow peers; further ones have memory of their own. Untouched pages cost nothing
const SHORT = 32 // bytes: beyond it the call of a built-in pays

const memory = Buffer.allocUnsafeSlow(READ_BYTES + AREAS * AREA_BYTES)

/** What all connections of a thread read into. */
export const readBuffer = memory.subarray(0, READ_BYTES)

const free = Array.from({ length: AREAS }, (_, i) => READ_BYTES + i * AREA_BYTES)

/** Memory that a pending write still reads; -1: it needs not be given back. */
export type Area = number

/** The write is over. */
export function giveBack(area: Area): void {
  if (area >= 0) free.push(area)
}

export class Outbox {
  #bytes = memory
  /** There is memory to write into. */
  #held = false
  /** -1: memory of its own. */
  #area: Area = -1
  #start = 0
  #end = 0
  #at = 0

  /** Empty. */
  begin(): void {
    if (!this.#held || (this.#area < 0 && free.length > 0)) this.#acquire()
    this.#at = this.#start
  }

  #acquire(): void {
    this.#held = true
    const area = free.pop()
    this.#area = area ?? -1
    this.#bytes = area === undefined ? Buffer.allocUnsafeSlow(AREA_BYTES) : memory
    this.#start = area ?? 0
    this.#end = this.#start + AREA_BYTES
  }

  get length(): number {
    return this.#at - this.#start
  }

  /** Room for so many bytes, if need be in other memory. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#end) return
    const { length } = this
    const larger = Buffer.allocUnsafeSlow(2 * (length + bytes))
    this.#bytes.copy(larger, 0, this.#start, this.#at)
    giveBack(this.#area)
    this.#area = -1
    this.#bytes = larger
    this.#start = 0
    this.#at = length
    this.#end = larger.length
  }

  /** `from[start..end)`, as it was read. */
  copy(from: Buffer, start: number, end: number): void {
    const length = end - start
    this.#reserve(length)
    if (length <= SHORT) {
      const to = this.#bytes
      const at = this.#at
      for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number
    } else if (from === readBuffer && this.#area >= 0) memory.copyWithin(this.#at, start, end)
    else from.copy(this.#bytes, this.#at, start, end)
    this.#at += length
  }

  /** Latin-1 text. */
  text(text: string): void {
    const { length } = text
    this.#reserve(length)
    const bytes = this.#bytes
    const at = this.#at
    if (length > SHORT) bytes.write(text, at, 'latin1')
    else for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i)
    this.#at = at + length
  }

  /** Bytes that are used again and again. */
  literal(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** All of it, as text. */
  toString(): string {
    return this.#bytes.latin1Slice(this.#start, this.#at)
  }

  /** All of it, where it lies: to be written at once. */
  view(): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.#start, this.#at - this.#start)
  }

  /** The write of `view` goes on: its memory is left to it, until `giveBack`. */
  leave(): Area {
    this.#held = false
    return this.#area
  }
}

/** For the message that is being put together in this thread: it is written before anything else happens. */
export const outbox = new Outbox()
