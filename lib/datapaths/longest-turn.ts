/** The longest turn of this thread's event loop in the last minute: while one lasts, nobody else is served. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

const SLOT_MS = 10_000
const SLOTS = 6 // a minute, as long as any usual scrape interval: who asks often, or twice, gets the same truth

/** Answers the longest turn since it was last asked, ms. */
export type TakeTurn = () => number

export class LongestTurn {
  readonly #take: TakeTurn
  readonly #slots = new Array<number>(SLOTS).fill(0)
  #at = 0

  constructor(take: TakeTurn) {
    this.#take = take
  }

  /** ms. To be called often: until then a turn is not told. */
  look(now: number): number {
    const slot = Math.floor(now / SLOT_MS)
    for (let n = Math.max(this.#at + 1, slot - SLOTS + 1); n <= slot; n++) this.#slots[n % SLOTS] = 0
    this.#at = slot
    this.#slots[slot % SLOTS] = Math.max(this.#slots[slot % SLOTS] ?? 0, this.#take())
    return Math.max(...this.#slots)
  }
}

/** Asks the event loop itself, at each turn of it; null: this runtime could do so only by waking up a hundred times a second. */
export function turnsOfLoop(): TakeTurn | null {
  let known = false
  const options = {
    get samplePerIteration() {
      known = true
      return true
    },
  }
  const histogram = monitorEventLoopDelay(options)
  if (!known) return null
  histogram.enable()
  let begun = false // its first sample is no turn: it counts from before the loop ran
  return () => {
    const longest = begun && histogram.count > 0 ? histogram.max / 1e6 : 0
    begun = true
    histogram.reset()
    return longest
  }
}
