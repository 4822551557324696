/** The active flows of all backends of a pool, as policies look at them. */
import type { BackendCell } from './cells.ts'

/**
 * The active flows of several backends, for policies that look at all of them with each pick. Read plainly, which costs a
 * tenth of an atomic look: words don't tear, and `beginAt` finds out what has changed meanwhile.
 */
export class ActiveCounts {
  readonly #words: Int32Array
  /** Where each is counted, twice over: a look that begins anywhere meets all of them without going around. */
  readonly #at: Int32Array
  readonly #n: number

  constructor(cells: readonly BackendCell[]) {
    this.#words = cells[0]?.allWords ?? new Int32Array(0)
    this.#at = Int32Array.from([...cells, ...cells], (cell) => cell.activeAt)
    this.#n = cells.length
  }

  of(i: number): number {
    return this.#words[this.#at[i] as number] as number
  }

  /** Of those with the fewest, the first behind `after`. There must be one. */
  leastBehind(after: number): number {
    const words = this.#words
    const at = this.#at
    let i = after + 1
    const end = i + this.#n
    let best = i
    let least = words[at[i] as number] as number
    // Nobody has fewer than none.
    while (least > 0 && ++i < end) {
      const active = words[at[i] as number] as number
      if (active >= least) continue
      least = active
      best = i
    }
    this.least = least
    return best < this.#n ? best : best - this.#n
  }

  /** What the one had that was found last. */
  least = 0
}

const GROUP = 4
/** The last one: how many flows they had in all. */
const GROUP_WORDS = GROUP + 1

/** The active flows of several backends and their sum. Four are counted anew with each look: as good as all, and never dear. */
export class ActiveSum {
  readonly #words: Int32Array
  /** For each four backends where they are counted, and their sum. */
  readonly #groups: Int32Array
  #next = 0
  /** As of the last looks. */
  total = 0

  constructor(cells: readonly BackendCell[]) {
    this.#words = cells[0]?.allWords ?? new Int32Array(0)
    const groups = new Int32Array(GROUP_WORDS * Math.ceil(cells.length / GROUP))
    groups.fill(cells[0]?.zeroAt ?? 0) // where a group has fewer than four
    for (let sum = GROUP; sum < groups.length; sum += GROUP_WORDS) groups[sum] = 0
    for (const [i, cell] of cells.entries()) groups[placeOf(i)] = cell.activeAt
    this.#groups = groups
    for (let at = 0; at < groups.length; at += GROUP_WORDS) this.look()
  }

  of(i: number): number {
    return this.#words[this.#groups[placeOf(i)] as number] as number
  }

  /** There must be one. */
  look(): void {
    const words = this.#words
    const groups = this.#groups
    const at = this.#next
    const active =
      (words[groups[at] as number] as number) +
      (words[groups[at + 1] as number] as number) +
      (words[groups[at + 2] as number] as number) +
      (words[groups[at + 3] as number] as number)
    this.total += active - (groups[at + GROUP] as number)
    groups[at + GROUP] = active
    const next = at + GROUP_WORDS
    this.#next = next & ((next - groups.length) >> 31) // 0 behind the last, without a branch
  }
}

const placeOf = (i: number): number => i + (i >> 2)
