/**
 * Bounds the further tries of a service's flows in one data thread, so that backends in trouble don't get their load
 * twice: at most a fifth of the flows under way may be on one, and three always may (Envoy's retry budget; HTTP.md 21).
 */
const SHARE = 0.2
const ALWAYS = 3

export class RetryBudget {
  #used = 0

  /** @param active flows under way, this one included */
  take(active: number): boolean {
    if (this.#used >= Math.max(ALWAYS, active * SHARE)) return false
    this.#used++
    return true
  }

  /** A flow that took from it has ended. */
  give(): void {
    this.#used--
  }
}
