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
  /** Mean of the times, as the last pick saw them, µs. */
  #mean = 1

  constructor(tools: PolicyTools) {
    this.#tools = tools
  }

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.#counts = new ActiveCounts(eligible.map(({ cell }) => cell))
    this.#ties = new Ties(eligible.length)
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const eligible = this.#eligible
    const { scores } = this.#ties
    const counts = this.#counts
    const now = this.#tools.now()
    let least = Number.POSITIVE_INFINITY
    let best = -1
    let ties = 0
    let sum = 0
    let known = 0
    for (let i = 0; i < eligible.length; i++) {
      const backend = eligible[i] as Backend
      if (avoid?.has(backend)) {
        scores[i] = Number.POSITIVE_INFINITY
        continue
      }
      const { cell, weight } = backend
      const active = counts.of(i)
      const average = cell.latency()
      const fresh = average === 0 ? 0 : cell.freshness(now)
      sum += average * fresh
      known += fresh
      const time = average * fresh + (active === 0 ? 0 : this.#mean * (1 - fresh))
      const score = (time * (1 + active)) / weight
      scores[i] = score
      if (score < least) {
        least = score
        best = i
        ties = 1
      } else if (score === least) ties++
    }
    if (known > 0.01) this.#mean = sum / known
    if (best < 0) return undefined
    return eligible[ties > 1 ? this.#ties.inTurn(eligible, least) : best]
  }
}

export const leastTime = (tools: PolicyTools): Policy => new LeastTime(tools)
