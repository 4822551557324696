/** The contract of what is fuzzed. */
import type { Random } from './random.ts'

export interface Target {
  readonly name: string
  /** Inputs to start from, bytes as latin-1. */
  readonly seeds: readonly string[]
  /** What a mutation puts in. */
  readonly words: readonly string[]
  /**
   * Runs the code on `input` and holds its promises against it; throws `Broken`. What it cuts or chooses comes of `random`.
   * @returns what the input met, in a word: one that was not met before makes an input worth keeping
   */
  check(input: Buffer, random: Random): string
}

/** A promise that does not hold. */
export class Broken extends Error {
  override readonly name = 'Broken'
}

/** @throws Broken with both values where they differ */
export function same(what: string, got: unknown, wanted: unknown): void {
  if (got === wanted) return
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)]
  if (a !== b) throw new Broken(`${what}: got ${a}, not ${b}`)
}

export function holds(claim: boolean, what: string): void {
  if (!claim) throw new Broken(what)
}

const POISON = [0x00, 0x0a, 0x0d, 0x20, 0x30, 0x41, 0xff]

/**
 * A buffer in which `input` arrives at `base` piece by piece; what lies around it is poison of one kind, so that code
 * which looks past what has arrived gives itself away by answering otherwise.
 */
export class Arrival {
  readonly buf: Buffer
  readonly base: number
  readonly #input: Buffer
  #arrived = 0

  constructor(input: Buffer, random: Random) {
    this.base = random.below(5)
    this.buf = Buffer.alloc(this.base + input.length + 32, random.pick(POISON))
    this.#input = input
  }

  /** Where the bytes end that have arrived. */
  get end(): number {
    return this.base + this.#arrived
  }

  /** The next `size` bytes arrive; false: there are none. */
  more(size: number): boolean {
    if (this.#arrived === this.#input.length) return false
    const stop = Math.min(this.#input.length, this.#arrived + Math.max(1, size))
    this.#input.copy(this.buf, this.end, this.#arrived, stop)
    this.#arrived = stop
    return true
  }
}

/** How large the next piece is: often one byte, now and then all the rest. */
export const pieceOf = (random: Random): number => (random.oneIn(3) ? 1 : random.oneIn(8) ? 1 << 20 : random.below(24))
