/** Hands out rows of the board by key, and takes back those that nobody needs once nothing on them has moved for a while. */
import { BalancerError } from '../core/index.ts'
import type { Board } from './board.ts'
import { MAX_ROWS, type RowKind } from './layout.ts'

/** `service`, `service/backend`, `service address:port`, `service pool`. */
export interface RowKey {
  readonly kind: RowKind
  readonly key: string
}

const QUIET_MS = 10_000 // a flow between two tries is on no backend, for less than that

interface Retired extends RowKey {
  readonly row: number
  /** Since when nothing is under way on it; null: something is. */
  since: number | null
}

export class RowBook {
  readonly #rows: Record<RowKind, Map<string, number>> = {
    service: new Map(),
    listener: new Map(),
    backend: new Map(),
    pool: new Map(),
  }
  readonly #free: Record<RowKind, number[]> = { service: [], listener: [], backend: [], pool: [] }
  readonly #used: Record<RowKind, number> = { service: 0, listener: 0, backend: 0, pool: 0 }
  readonly #retired = new Map<string, Retired>()
  /** Given since the last `settle`. */
  #fresh: RowKey[] = []

  /** The same key has the same row as long as it is in use. @throws BalancerError BOARD_FULL */
  row(kind: RowKind, key: string): number {
    const rows = this.#rows[kind]
    const known = rows.get(key)
    if (known !== undefined) return known
    const row = this.#free[kind].pop() ?? this.#used[kind]
    if (row >= MAX_ROWS[kind])
      throw new BalancerError('BOARD_FULL', `no room for ${kind} ${key}: ${MAX_ROWS[kind]} are in use`)
    if (row === this.#used[kind]) this.#used[kind]++
    rows.set(key, row)
    this.#fresh.push({ kind, key })
    return row
  }

  /** The rows that were given stay so. */
  settle(): void {
    this.#fresh = []
  }

  /** Takes back those that were given since the last `settle`: nobody has used them. */
  undo(): void {
    for (const { kind, key } of this.#fresh) {
      const row = this.#rows[kind].get(key)
      if (row !== undefined) this.#free[kind].push(row)
      this.#rows[kind].delete(key)
    }
    this.#fresh = []
  }

  /** It is needed, again or still. */
  keep({ kind, key }: RowKey): void {
    this.#retired.delete(`${kind} ${key}`)
  }

  /** It is not needed any more: another key may have it once it has been quiet for a while. */
  retire({ kind, key }: RowKey): void {
    const row = this.#rows[kind].get(key)
    if (row !== undefined) this.#retired.set(`${kind} ${key}`, { kind, key, row, since: null })
  }

  /**
   * Takes back what has been quiet for long enough. Called a few times a second.
   * @param bound of each pool's row, how many clients the table keeps there: asked for only when one could be taken back
   */
  tick(board: Board, now: number, bound: () => Int32Array): void {
    let counts: Int32Array | null = null
    for (const [id, retired] of this.#retired) {
      const { kind, key, row } = retired
      if (board.active(kind, row) > 0) retired.since = null
      else retired.since ??= now
      if (retired.since === null || now - retired.since < QUIET_MS) continue
      if (kind === 'pool') {
        counts ??= bound()
        retired.since = now // what is bound there is looked at as rarely
        if ((counts[row] ?? 0) > 0) continue
      }
      board.clear(kind, row)
      this.#retired.delete(id)
      this.#rows[kind].delete(key)
      this.#free[kind].push(row)
    }
  }
}
