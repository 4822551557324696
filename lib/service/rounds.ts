/** When files are looked at: regularly, and soon where something says that they change. */

const REGULAR_MS = 600 // without any hint a change is seen at one look and read at a later one: taken up within 2 s
const HINT_MS = 50 // a writer has as many hints as calls: one look for all of them
const REST_MS = 100 // what does not change meanwhile rests: who replaces a pair needs some ms from one file to the other

/** One look. `hasty`: it comes soon after the one before. True: something is changing, the next should come soon. */
export type Look = (hasty: boolean) => Promise<boolean>

export class Rounds {
  readonly #look: Look
  readonly #now: () => number
  #timer: NodeJS.Timeout | null = null
  #running = false
  #stopped = true
  #regularAt = 0
  #hastyAt = Number.POSITIVE_INFINITY

  constructor(look: Look, now: () => number = () => performance.now()) {
    this.#look = look
    this.#now = now
  }

  start(): void {
    this.#stopped = false
    this.#regularAt = this.#now() + REGULAR_MS
    this.#wait()
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** Something may have changed. */
  hint(): void {
    if (this.#stopped || this.#hastyAt < Number.POSITIVE_INFINITY) return
    this.#hastyAt = this.#now() + HINT_MS
    this.#wait()
  }

  #wait(): void {
    if (this.#running || this.#stopped) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    const hasty = this.#hastyAt < this.#regularAt
    const at = hasty ? this.#hastyAt : this.#regularAt
    this.#timer = setTimeout(() => void this.#round(hasty), Math.max(0, Math.ceil(at - this.#now())))
  }

  async #round(hasty: boolean): Promise<void> {
    this.#hastyAt = Number.POSITIVE_INFINITY
    this.#running = true
    try {
      if (await this.#look(hasty)) this.#hastyAt = this.#now() + REST_MS
    } finally {
      this.#running = false
      if (!hasty) this.#regularAt = this.#now() + REGULAR_MS
      this.#wait()
    }
  }
}
