/** Whose turn it is among backends that score the same: smooth weighted round robin over those alone. */
import type { Backend } from '../pool/index.ts'

export class Ties {
  /** What each backend scores in the present pick; kept here because other threads change it meanwhile. */
  readonly scores: Float64Array
  /** What each is owed of the ties. */
  readonly #credit: Float64Array

  constructor(backends: number) {
    this.scores = new Float64Array(backends)
    this.#credit = new Float64Array(backends)
  }

  /** The index of one with this score. Without turns a light backend would never be picked at low load. */
  inTurn(eligible: readonly Backend[], score: number): number {
    const credit = this.#credit
    let best = -1
    let sum = 0
    for (let i = 0; i < credit.length; i++) {
      if (this.scores[i] !== score) continue
      const { weight } = eligible[i] as Backend
      credit[i] = (credit[i] as number) + weight
      sum += weight
      if (best < 0 || (credit[i] as number) > (credit[best] as number)) best = i
    }
    credit[best] = (credit[best] as number) - sum
    return best
  }
}
