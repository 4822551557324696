/** Has garbage collected once most connections of a flood are gone: a thread without work collects none by itself. */

const FLOOD = 1000 // connections; what fewer leave behind is a few MiB

export interface LeftoversOptions {
  /** Connections of clients that are open. */
  active(): number
  /** So many looks in a row must find few connections: a short dip is not paid with a collection. */
  readonly looks: number
  collect(): void
}

export class Leftovers {
  readonly #options: LeftoversOptions
  #peak = 0
  #low = 0

  constructor(options: LeftoversOptions) {
    this.#options = options
  }

  /** To be called every now and then. */
  look(): void {
    const active = this.#options.active()
    if (active > this.#peak) this.#peak = active
    this.#low = this.#peak >= FLOOD && active < this.#peak / 2 ? this.#low + 1 : 0
    if (this.#low < this.#options.looks) return
    this.#low = 0
    this.#peak = active
    this.#options.collect()
  }
}
