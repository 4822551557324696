/**
 * Weighted rendezvous: for each place every backend draws a lot, and the place belongs to the best one. A lot is made of place
 * and name alone, so a backend that goes, comes or changes its weight takes no place from one to give it to a third.
 */
import { hashText, mix32 } from '../core/index.ts'

/** Lots are compared in batches, so that the lowest bits of a whole number tell whose it is: the first one of equals is ahead. */
const BATCH = 32
const WHOSE = BATCH - 1
/** What is left to chance, in 31 bits: the difference of two such numbers is one of 32. */
const CHANCE = 0x7fff_ffff & ~WHOSE
const CHANCES = 2 ** 26

export class Lots {
  /**
   * A lot is place × factor. With a factor of its own for each backend, the lots of several have no more to do with each other
   * than drawn ones; with one factor for all, who came second was up to a half off, by who was first.
   */
  readonly #factors: Int32Array
  /** null: all are the same. */
  readonly #weights: Float64Array | null

  /** @param names in the same order wherever the same answers are to be: it breaks ties, which are one in millions */
  constructor(names: readonly string[], weights: readonly number[]) {
    // In twos; 0 beside the last of an odd number loses against any.
    this.#factors = new Int32Array(names.length + (names.length & 1))
    const taken = new Set<number>()
    for (const [i, name] of names.entries()) {
      let factor = hashText(name) | 1 // odd: each lot is as likely as any other
      while (taken.has(factor)) factor = mix32(factor) | 1
      taken.add(factor)
      this.#factors[i] = factor
    }
    this.#weights = weights.every((weight) => weight === weights[0]) ? null : Float64Array.from(weights)
  }

  /** Index of the one to which a place belongs. */
  best(place: number): number {
    if (this.#weights !== null) return this.#bestByWeight(place, this.#weights)
    const { length } = this.#factors
    if (length <= BATCH) return ~this.#highest(place, 0, length) & WHOSE
    let most = -1
    let best = 0
    for (let from = 0; from < length; from += BATCH) {
      const lot = this.#highest(place, from, Math.min(from + BATCH, length))
      if ((lot & CHANCE) <= most) continue
      most = lot & CHANCE
      best = from + (~lot & WHOSE)
    }
    return best
  }

  /** The highest lot of a batch. Without a branch: whose it is can't be foreseen. */
  #highest(place: number, from: number, to: number): number {
    const factors = this.#factors
    let most = 0
    // Two are compared with each other while the highest of those before is still being made.
    for (let i = from, whose = WHOSE; i < to; i += 2, whose -= 2) {
      const a = (Math.imul(place, factors[i] as number) & CHANCE) | whose
      const b = (Math.imul(place, factors[i + 1] as number) & CHANCE) | (whose - 1)
      const apart = (a - b) | 0
      const lot = (a - (apart & (apart >> 31))) | 0
      const ahead = (most - lot) | 0
      most = (most - (ahead & (ahead >> 31))) | 0
    }
    return most
  }

  #bestByWeight(place: number, weights: Float64Array): number {
    const factors = this.#factors
    let least = Number.POSITIVE_INFINITY
    let best = 0
    for (let i = 0; i < weights.length; i++) {
      const lot = (Math.imul(place, factors[i] as number) & CHANCE) / BATCH
      // -ln of an even chance, over the weight: the least of these is each one as often as its weight says.
      const wait = -Math.log((lot + 0.5) / CHANCES) / (weights[i] as number)
      if (wait >= least) continue
      least = wait
      best = i
    }
    return best
  }
}
