/** Least active flows by weight, counted over all data threads; ties in turn, each as often as its weight says. */
import { ActiveCounts } from '../board/index.ts'
import type { Backend, Flow, Policy } from '../pool/index.ts'
import { Ties } from './ties.ts'

class LeastConnections implements Policy {
  #eligible: readonly Backend[] = []
  #counts = new ActiveCounts([])
  #ties = new Ties(0)
  /** All weights are the same: then the one behind the last pick is next among equals, and one look at each is enough. */
  #level = true
  #last = -1

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.#counts = new ActiveCounts(eligible.map(({ cell }) => cell))
    this.#ties = new Ties(eligible.length)
    this.#level = eligible.every(({ weight }) => weight === eligible[0]?.weight)
    this.#last = -1
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const eligible = this.#eligible
    if (eligible.length === 0) return undefined
    if (this.#level) return avoid === null ? this.#levelPick() : this.#levelPickOutside(avoid)
    const counts = this.#counts
    const { scores } = this.#ties
    let least = Number.POSITIVE_INFINITY
    let best = -1
    let ties = 0
    for (let i = 0; i < eligible.length; i++) {
      const backend = eligible[i] as Backend
      backend.seen = counts.of(i)
      const load = avoid?.has(backend) ? Number.POSITIVE_INFINITY : backend.seen / backend.weight
      scores[i] = load
      if (load < least) {
        least = load
        best = i
        ties = 1
      } else if (load === least) ties++
    }
    if (best < 0) return undefined
    return eligible[ties > 1 ? this.#ties.inTurn(eligible, least) : best]
  }

  #levelPick(): Backend {
    const best = this.#counts.leastBehind(this.#last)
    this.#last = best
    const picked = this.#eligible[best] as Backend
    picked.seen = this.#counts.least
    return picked
  }

  #levelPickOutside(avoid: ReadonlySet<Backend>): Backend | undefined {
    const eligible = this.#eligible
    const n = eligible.length
    let least = Number.POSITIVE_INFINITY
    let best = -1
    for (let step = 1, i = this.#last + 1; step <= n; step++, i++) {
      if (i >= n) i -= n
      const backend = eligible[i] as Backend
      const active = backend.cell.active()
      if (active >= least || avoid.has(backend)) continue
      least = active
      best = i
    }
    if (best < 0) return undefined
    this.#last = best
    const picked = eligible[best] as Backend
    picked.seen = least
    return picked
  }
}

export const leastConnections = (): Policy => new LeastConnections()
