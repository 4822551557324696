/** Looks once a second whether memory or descriptors run short, and tells all threads by one word on the board. */
import { OVERLOADS, type Overload } from '../board/index.ts'
import type { Config } from '../config/index.ts'
import type { Logger } from '../core/index.ts'
import type { Means } from './means.ts'

const LOOK_MS = 1000
const COLLECT_LOOKS = 5 // collecting garbage stops a thread for a moment: not with each look
const RECOVERED = 0.9 // of the threshold: so that it does not flap

/** Is it short? `before`: was it, at the last look. */
export const isShort = ({ used, most }: Means, threshold: number, before: boolean): boolean =>
  threshold < 1 && used > most * threshold * (before ? RECOVERED : 1)

export interface OverloadOptions {
  readonly limits: Config['appliance']['overload']
  readonly board: { setOverload(what: Overload, on: boolean): void }
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly means: { readonly [What in Overload]: () => Means | Promise<Means> }
  /** Memory is short: what is not used any more should be given back. */
  collect(): void
}

const NAMES = { memory: 'memory', descriptors: 'file descriptors' } as const
const MIB = 1024 * 1024
const amount = (what: Overload, n: number): string => (what === 'memory' ? `${Math.round(n / MIB)} MiB` : String(n))

export class OverloadWatch {
  readonly #options: OverloadOptions
  /** Above which share each is short; may change. */
  limits: OverloadOptions['limits']
  readonly #short = new Set<Overload>()
  #timer: NodeJS.Timeout | null = null
  #looks = 0
  #looking = false

  constructor(options: OverloadOptions) {
    this.#options = options
    this.limits = options.limits
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_MS)
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  /** One look at everything. */
  async look(): Promise<void> {
    if (this.#looking) return // the last one still waits for its answer
    this.#looking = true
    for (const what of OVERLOADS) this.#judge(what, await this.#options.means[what]())
    this.#looking = false
    if (this.#short.has('memory') && this.#looks++ % COLLECT_LOOKS === 0) this.#options.collect()
  }

  #judge(what: Overload, means: Means): void {
    const { board, log } = this.#options
    const { limits } = this
    const before = this.#short.has(what)
    const now = isShort(means, limits[what], before)
    if (now === before) return
    board.setOverload(what, now)
    const use = `${amount(what, means.used)} of ${amount(what, means.most)} are in use`
    if (now) {
      this.#short.add(what)
      this.#looks = 0
      const below = amount(what, Math.floor(means.most * limits[what] * RECOVERED))
      log.warn({ reason: what }, `${NAMES[what]} run short: ${use}; new connections are refused until it is ${below}`)
    } else {
      this.#short.delete(what)
      log.info({ reason: what }, `${NAMES[what]} suffice again: ${use}; new connections are accepted`)
    }
  }
}
