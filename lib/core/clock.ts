/** The clocks: monotonic for durations, wall for people. Injected where a test must own time. */
import { performance } from 'node:perf_hooks' // the global of that name is a getter: dearer than the clock itself

export interface Clock {
  /** Monotonic milliseconds with a fraction; only differences mean anything. */
  now(): number
  /** Wall-clock milliseconds since the epoch. */
  wall(): number
  /** Calls `fn` once after `ms`; the answer cancels it. Never keeps the process alive. */
  after(ms: number, fn: () => void): () => void
}

/** Monotonic milliseconds with a fraction: the data path's clock. */
export const nowMs = (): number => performance.now()

const WALL_MS = 500 // how long a change of the system's clock may go unnoticed
let wallFrom = Number.NEGATIVE_INFINITY
let ahead = 0
/** Wall-clock milliseconds since the epoch at a moment of `nowMs()`, whole; at most half a second behind a changed clock. */
export function wallAt(now: number): number {
  if (now - wallFrom > WALL_MS) {
    wallFrom = now
    ahead = Date.now() - now
  }
  return Math.floor(now + ahead)
}

export const systemClock: Clock = {
  now: nowMs,
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** A clock that stands still until `advance` is called: timers due are run in order of their time. */
export class ManualClock implements Clock {
  #now = 0
  #due: { at: number; fn: () => void }[] = []
  now(): number {
    return this.#now
  }
  wall(): number {
    return this.#now
  }
  after(ms: number, fn: () => void): () => void {
    const entry = { at: this.#now + ms, fn }
    this.#due.push(entry)
    return () => {
      this.#due = this.#due.filter((e) => e !== entry)
    }
  }
  /** Moves time on by `ms`, running what falls due; lets promises settle after each timer. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const next = this.#due.filter((e) => e.at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#due = this.#due.filter((e) => e !== next)
      this.#now = Math.max(this.#now, next.at)
      next.fn()
      await new Promise<void>((done) => setImmediate(done))
    }
    this.#now = end
  }
}
