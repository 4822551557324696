/** Least active flows by weight, counted over all data threads; ties in turn, each as often as its weight says. */
import type { Backend, Flow, Policy } from '../pool/index.ts'

class LeastConnections implements Policy {
  #eligible: readonly Backend[] = []
  /** Load of each as this pick sees it: other threads change it meanwhile. */
  #loads = new Float64Array(0)
  /** What each is owed of the ties. */
  #credit = new Float64Array(0)

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.#loads = new Float64Array(eligible.length)
    this.#credit = new Float64Array(eligible.length)
  }

  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    const eligible = this.#eligible
    const loads = this.#loads
    let least = Number.POSITIVE_INFINITY
    let best = -1
    let ties = 0
    for (let i = 0; i < eligible.length; i++) {
      const backend = eligible[i] as Backend
      const load = avoid?.has(backend) ? Number.POSITIVE_INFINITY : backend.cell.active() / backend.weight
      loads[i] = load
      if (load < least) {
        least = load
        best = i
        ties = 1
      } else if (load === least) ties++
    }
    if (best < 0) return undefined
    return eligible[ties > 1 ? this.#inTurn(least) : best]
  }

  /** One of those with this load, by smooth weighted round robin: without it a light backend would never be picked at low load. */
  #inTurn(load: number): number {
    const credit = this.#credit
    let best = -1
    let sum = 0
    for (let i = 0; i < credit.length; i++) {
      if (this.#loads[i] !== load) continue
      const { weight } = this.#eligible[i] as Backend
      credit[i] = (credit[i] as number) + weight
      sum += weight
      if (best < 0 || (credit[i] as number) > (credit[best] as number)) best = i
    }
    credit[best] = (credit[best] as number) - sum
    return best
  }
}

export const leastConnections = (): Policy => new LeastConnections()
