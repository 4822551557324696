/** Least active flows by weight, counted over all data threads; ties in turn. */
import type { Backend, Flow, Policy } from '../pool/index.ts'

class LeastConnections implements Policy {
  #eligible: readonly Backend[] = []
  #turn = 0

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const eligible = this.#eligible
    const first = this.#turn++ % eligible.length // equal loads: the one after the last pick wins
    let best: Backend | undefined
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < eligible.length; i++) {
      const backend = eligible[(first + i) % eligible.length] as Backend
      if (avoid?.has(backend)) continue
      const load = (backend.cell.active() + 1) / backend.weight
      if (load >= least) continue
      best = backend
      least = load
    }
    return best
  }
}

export const leastConnections = (): Policy => new LeastConnections()
