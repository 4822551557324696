/** How busy an event loop is, over a window of its own: who asks often, or twice, gets the same truth. */
import { type EventLoopUtilization, performance } from 'node:perf_hooks'

const WINDOW_MS = 5000 // shorter than any usual scrape interval, long enough to say something

export class Utilisation {
  readonly #of: Pick<typeof performance, 'eventLoopUtilization'>
  #from: EventLoopUtilization | null = null
  #since = 0
  #value = 0

  /** @param of a worker's `performance`; by default this thread's own */
  constructor(of: Pick<typeof performance, 'eventLoopUtilization'> = performance) {
    this.#of = of
  }

  /** 0..1, over the time since the last look that is at least a window ago; the first time, since the loop began. */
  read(now: number): number {
    if (this.#from !== null && now - this.#since < WINDOW_MS) return this.#value
    const seen = this.#of.eventLoopUtilization()
    this.#value = this.#from === null ? seen.utilization : this.#of.eventLoopUtilization(seen, this.#from).utilization
    this.#from = seen
    this.#since = now
    return this.#value
  }
}
