/** How often a data thread died and of what, and how long its successor waits: a crash loop must not eat the machine. */

/** Why a thread ended: an error, its heap was full, it stopped beating, it could not begin, an operator wanted it, or it left. */
export const DEATH_CAUSES = ['error', 'memory', 'hang', 'start', 'operator', 'exit'] as const
export type DeathCause = (typeof DEATH_CAUSES)[number]

const FIRST_WAIT_MS = 100 // of the second in a row; the first successor comes at once
const MOST_WAIT_MS = 10_000
const HEALTHY_MS = 30_000 // one that lived so long begins a new row

export class Deaths {
  readonly counts: Record<DeathCause, number> = {
    error: 0,
    memory: 0,
    hang: 0,
    start: 0,
    operator: 0,
    exit: 0,
  }
  /** Deaths in a row, each soon after the start. */
  row = 0

  get total(): number {
    return Object.values(this.counts).reduce((sum, n) => sum + n, 0)
  }

  /** Counts one that lived `livedMs`; answers how many ms its successor has to wait. */
  count(cause: DeathCause, livedMs: number): number {
    this.counts[cause]++
    if (cause === 'operator') return 0
    this.row = livedMs >= HEALTHY_MS ? 1 : this.row + 1
    return this.row === 1 ? 0 : Math.min(FIRST_WAIT_MS * 2 ** (this.row - 2), MOST_WAIT_MS)
  }
}
