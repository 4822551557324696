/**
 * The flows of a pool that wait for room, in one data thread. First come, first served over all threads: each flow draws
 * a number, and a thread serves its first one only while no other thread's has waited longer.
 */
import type { PoolCell } from '../board/index.ts'

export interface Waiter {
  /** There may be room: take it. True: it waits no longer. */
  onRoom(): boolean
}

export interface QueueLimits {
  /** Flows that may wait, over all threads. */
  readonly max: number
  /** ms that one waits at most. */
  readonly timeout: number
}

export class Queue {
  readonly #cell: PoolCell
  #max: number
  /** With their numbers, in the order of them. */
  readonly #waiting = new Map<Waiter, number>()
  #watching = false
  #serving = false

  constructor(cell: PoolCell, { max }: QueueLimits) {
    this.#cell = cell
    this.#max = max
  }

  /** Another view of the pool lets another number wait. Those that wait do so on. */
  limit({ max }: QueueLimits): void {
    this.#max = max
  }

  /** False: as many wait as may. `onRoom` may be called before it returns. */
  join(waiter: Waiter): boolean {
    if (this.#cell.begin() >= this.#max) {
      this.#cell.end()
      return false
    }
    this.#waiting.set(waiter, this.#cell.draw())
    this.#tellFirst()
    if (!this.#watching) void this.#watch()
    return true
  }

  /** It waits no longer, served or not. */
  leave(waiter: Waiter): void {
    if (!this.#waiting.delete(waiter)) return
    this.#cell.end()
    this.#tellFirst()
    if (!this.#serving) this.#wakeOthers()
  }

  async #watch(): Promise<void> {
    this.#watching = true
    while (this.#waiting.size > 0) {
      const seen = this.#cell.turn() // before the look: room that comes meanwhile changes it
      this.#serve()
      if (this.#waiting.size > 0) await this.#cell.turned(seen)
    }
    this.#watching = false
  }

  #serve(): void {
    this.#serving = true
    let served = false
    for (const [waiter, ticket] of this.#waiting) {
      if (!this.#cell.isFirst(ticket) || !waiter.onRoom()) break
      this.leave(waiter)
      served = true
    }
    this.#serving = false
    if (served) this.#wakeOthers()
  }

  /** The next in line may be in another thread, and have looked while ours was before it. */
  #wakeOthers(): void {
    if (this.#cell.active() > 0) this.#cell.wake()
  }

  #tellFirst(): void {
    const next = this.#waiting.values().next()
    this.#cell.first = next.done === true ? 0 : next.value
  }
}
