/**
 * Least time to the first byte × (1 + active flows) / weight. The time is an average over all data threads that counts less
 * with its age, so that a slow past is forgotten.
 *
 * | flows there | what takes the place of the part that is forgotten                                     |
 * |-------------|----------------------------------------------------------------------------------------|
 * | none        | nothing: sooner or later it is the fastest, and one flow tries it                       |
 * | some        | the mean of the others: until their answers tell, it is one like any other, not the best |
 */
import { ActiveCounts } from '../board/index.ts'
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'
import { Ties } from './ties.ts'

class LeastTime implements Policy {
  readonly #tools: PolicyTools
  #eligible: readonly Backend[] = []
  #counts = new ActiveCounts([])
  #ties = new Ties(0)
  /** Time / weight of each, µs, while no flow is there, then while some are; as of a whole millisecond of the clock. */
  #times = new Float64Array(0)
  #seenAt = -1
  /** Mean of the times, µs. */
  #mean = 1

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.#counts = new ActiveCounts(eligible.map(({ cell }) => cell))
    this.#ties = new Ties(eligible.length)
    this.#seenAt = -1
    this.#times = new Float64Array(2 * eligible.length)
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const now = Math.floor(this.#tools.now())
    if (now !== this.#seenAt) this.#look(now)
    if (avoid !== null) return this.#pickOf(this.#eligible.map((backend) => !avoid.has(backend)))
    const counts = this.#counts
    const times = this.#times
    const n = this.#eligible.length
    let least = Number.POSITIVE_INFINITY
    let best = -1
    for (let i = 0; i < n; i++) {
      const active = counts.of(i)
      // Without a branch: which ones are without flows can't be foreseen.
      const score = (times[2 * i + (-active >>> 31)] as number) * (1 + active)
      if (score < least) {
        least = score
        best = i
      }
    }
    // Several may be without flows and without a time. Else the first of equals will do: it is not the least any more.
    return least > 0 ? this.#eligible[best] : this.#pickOf(null)
  }

  /** With ties in turn; `among`: null stands for all. */
  #pickOf(among: readonly boolean[] | null): Backend | undefined {
    const { scores } = this.#ties
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < scores.length; i++) {
      const active = this.#counts.of(i)
      const score = (this.#times[active === 0 ? 2 * i : 2 * i + 1] as number) * (1 + active)
      scores[i] = among === null || among[i] === true ? score : Number.POSITIVE_INFINITY
      least = Math.min(least, scores[i] as number)
    }
    return least < Number.POSITIVE_INFINITY ? this.#eligible[this.#ties.inTurn(this.#eligible, least)] : undefined
  }

  #look(now: number): void {
    this.#seenAt = now
    const eligible = this.#eligible
    const times = this.#times
    let sum = 0
    let known = 0
    for (let i = 0; i < eligible.length; i++) {
      const { cell, weight } = eligible[i] as Backend
      const average = cell.latency()
      const fresh = average === 0 ? 0 : cell.freshness(now)
      sum += average * fresh
      known += fresh
      times[2 * i] = (average * fresh) / weight
      times[2 * i + 1] = (1 - fresh) / weight
    }
    if (known > 0.01) this.#mean = sum / known
    for (let i = 0; i < times.length; i += 2)
      times[i + 1] = (times[i] as number) + this.#mean * (times[i + 1] as number)
  }
}

export const leastTime = (tools: PolicyTools): Policy => new LeastTime(tools)
