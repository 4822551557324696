/** The beats by which control sees that a data thread's event loop turns, and how late it is. */
import type { ThreadCell } from '../board/index.ts'
import { nowMs } from '../core/index.ts'

const BEAT_MS = 100

export class Heartbeat {
  readonly #cell: ThreadCell
  #expected = 0

  constructor(cell: ThreadCell) {
    this.#cell = cell
  }

  start(): void {
    this.#expected = nowMs() + BEAT_MS
    setInterval(() => this.#beat(), BEAT_MS).unref()
    this.#cell.beat(0)
  }

  #beat(): void {
    const now = nowMs()
    this.#cell.beat(Math.max(0, Math.round(now - this.#expected)))
    this.#expected = now + BEAT_MS
  }
}
