/** The streams that we reset of late: what was on its way meanwhile is no mistake of the client (RFC 9113 §5.1). */

const KEPT = 128 // more than streams that a client has open at a time by default

export class Resets {
  #ids: Int32Array | null = null
  #next = 0

  add(id: number): void {
    this.#ids ??= new Int32Array(KEPT)
    this.#ids[this.#next] = id
    this.#next = (this.#next + 1) % KEPT
  }

  has(id: number): boolean {
    return this.#ids?.includes(id) === true
  }
}
