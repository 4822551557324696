/** Who changes what runs: operators' verbs and certificates go side by side, a reload goes alone. */
export class Turns {
  /** The last that goes alone, under way or waiting. */
  #alone: Promise<unknown> = Promise.resolve()
  readonly #shared = new Set<Promise<unknown>>()

  /** Runs `act` beside others, behind those that go alone. */
  async shared<T>(act: () => Promise<T>): Promise<T> {
    for (let alone: Promise<unknown> | null = null; alone !== this.#alone; ) {
      alone = this.#alone
      await alone
    }
    const turn = act()
    const settled = turn.catch(() => {})
    this.#shared.add(settled)
    try {
      return await turn
    } finally {
      this.#shared.delete(settled)
    }
  }

  /** Runs `act` when everything before it has ended; what comes meanwhile waits. */
  alone<T>(act: () => Promise<T>): Promise<T> {
    const before = this.#alone
    const turn = (async () => {
      await before
      await Promise.all(this.#shared)
      return act()
    })()
    this.#alone = turn.catch(() => {})
    return turn
  }
}
