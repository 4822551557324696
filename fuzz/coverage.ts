/** Which blocks of lib/ have run: what an input reaches that none reached before makes it worth keeping. */
import { Session } from 'node:inspector'

interface Range {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}
interface Taken {
  readonly result: readonly {
    readonly scriptId: string
    readonly url: string
    readonly functions: readonly { readonly ranges: readonly Range[] }[]
  }[]
}

export class Coverage {
  readonly #session = new Session()
  readonly #met = new Set<string>()

  constructor() {
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: false, detailed: true })
  }

  /** Blocks that ran since the last time and never before; they count as met from now on. */
  fresh(): number {
    let taken: Taken = { result: [] }
    // Without an await: within one process the answer comes before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (_error: Error | null, answer: Taken) => {
      taken = answer
    })
    let fresh = 0
    for (const { scriptId, url, functions } of taken.result) {
      if (!url.includes('/lib/')) continue
      for (const { ranges } of functions)
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue
          const key = `${scriptId}:${startOffset}:${endOffset}`
          if (this.#met.has(key)) continue
          this.#met.add(key)
          fresh++
        }
    }
    return fresh
  }

  get size(): number {
    return this.#met.size
  }

  close(): void {
    this.#session.disconnect()
  }
}
