/**
 * Bounds the further tries of a service's flows in one data thread, so that backends in trouble don't get their load
 * twice: at most a fifth of the flows under way may be on one, and three always may (Envoy's retry budget; HTTP.md 21).
 * What the worst of the backends has dropped does not count: one that dies takes all its flows at once, and the others are
 * well. A fifth is less than that where there are fewer than five of them.
 */
import type { Backend } from '../pool/index.ts'

const SHARE = 0.2
const ALWAYS = 3

export class RetryBudget {
  /** Flows on a further try, by the backend that dropped them. */
  readonly #used = new Map<Backend, number>()

  /** @param active flows under way, this one included */
  take(backend: Backend, active: number): boolean {
    const own = (this.#used.get(backend) ?? 0) + 1
    let worst = own
    let sum = own
    for (const [other, n] of this.#used) {
      if (other === backend) continue
      sum += n
      if (n > worst) worst = n
    }
    if (sum - worst > Math.max(ALWAYS, active * SHARE)) return false
    this.#used.set(backend, own)
    return true
  }

  /** A flow that took from it because of `backend` has ended. */
  give(backend: Backend): void {
    const left = (this.#used.get(backend) ?? 0) - 1
    if (left > 0) this.#used.set(backend, left)
    else this.#used.delete(backend)
  }
}
