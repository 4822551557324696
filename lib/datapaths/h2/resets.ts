/** The streams that one side reset of late: what was on its way meanwhile is no mistake of the other (RFC 9113 §5.1). */

const KEPT = 128 // more than streams that a client has open at a time by default

export class Resets {
  #ids: Int32Array | null = null
  #next = 0
  /** The highest stream that had to make room: of those up to it, who is not here may have been. */
  forgotten = 0

  add(id: number): void {
    this.#ids ??= new Int32Array(KEPT)
    this.forgotten = Math.max(this.forgotten, this.#ids[this.#next] as number)
    this.#ids[this.#next] = id
    this.#next = (this.#next + 1) % KEPT
  }

  has(id: number): boolean {
    return this.#ids?.includes(id) === true
  }
}
