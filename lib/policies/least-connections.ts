/** Least active flows by weight, counted over all data threads; ties in turn, each as often as its weight says. */
import type { Backend, Flow, Policy } from '../pool/index.ts'
import { Ties } from './ties.ts'

class LeastConnections implements Policy {
  #eligible: readonly Backend[] = []
  #ties = new Ties(0)
  /** All weights are the same: then the one behind the last pick is next among equals, and one look at each is enough. */
  #level = true
  #last = -1

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.#ties = new Ties(eligible.length)
    this.#level = eligible.every(({ weight }) => weight === eligible[0]?.weight)
    this.#last = -1
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const eligible = this.#eligible
    if (this.#level) return this.#levelPick(avoid)
    const { scores } = this.#ties
    let least = Number.POSITIVE_INFINITY
    let best = -1
    let ties = 0
    for (let i = 0; i < eligible.length; i++) {
      const backend = eligible[i] as Backend
      backend.seen = backend.cell.active()
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

  #levelPick(avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const eligible = this.#eligible
    const n = eligible.length
    let least = Number.POSITIVE_INFINITY
    let best = -1
    for (let step = 1, i = this.#last + 1; step <= n; step++, i++) {
      if (i >= n) i -= n
      const backend = eligible[i] as Backend
      const active = backend.cell.active()
      if (active >= least || avoid?.has(backend)) continue
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
