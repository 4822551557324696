/** Bytes that were read and can't be used yet: grows by doubling, so that a client that sends byte by byte costs no more. */
export class Stash {
  #buffer: Buffer
  #length: number

  /** A copy of `buf[start..end)`. */
  constructor(buf: Buffer, start: number, end: number) {
    this.#buffer = Buffer.from(buf.subarray(start, end))
    this.#length = end - start
  }

  get length(): number {
    return this.#length
  }

  /** The first `length` bytes are the content. */
  get bytes(): Buffer {
    return this.#buffer
  }

  append(bytes: Buffer, length: number): void {
    const needed = this.#length + length
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length))
      this.#buffer.copy(grown, 0, 0, this.#length)
      this.#buffer = grown
    }
    bytes.copy(this.#buffer, this.#length, 0, length)
    this.#length = needed
  }

  /** Forgets the first `count` bytes. */
  drop(count: number): void {
    if (count === 0) return
    this.#buffer.copyWithin(0, count, this.#length)
    this.#length -= count
  }

  /** The content alone. */
  take(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }
}
