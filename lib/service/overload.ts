/** Looks whether memory, descriptors, connections or the time of data threads run short, tells threads and people. */
import { OVERLOADS, type Overload } from '../board/index.ts'
import type { Config } from '../config/index.ts'
import type { Logger } from '../core/index.ts'
import type { Means } from './means.ts'

const LOOK_MS = 250
const SLOW_LOOKS = 4 // memory and descriptors are looked at once a second
const COLLECT_LOOKS = 5 // collecting garbage stops a thread for a moment: not with each look
const RECOVERED = 0.9 // of the threshold: so that it does not flap

type Measured = Exclude<Overload, 'delay'>

/** Is it short? `before`: was it, at the last look. */
export const isShort = ({ used, most }: Means, threshold: number, before: boolean): boolean =>
  threshold < 1 && used > most * threshold * (before ? RECOVERED : 1)

export interface OverloadOptions {
  readonly limits: Config['appliance']['overload']
  readonly board: { setOverload(what: Overload, on: boolean): void; delayLimit: number }
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly means: { readonly [What in 'memory' | 'descriptors']: () => Means | Promise<Means> }
  /** Open connections of clients. */
  connections(): number
  /** Data threads that shed load by themselves, because they are late, and the longest delay, ms. */
  late(): { readonly threads: readonly number[]; readonly delay: number }
  /** Memory is short: what is not used any more should be given back. */
  collect(): void
}

const NAMES = { memory: 'memory', descriptors: 'file descriptors', connections: 'connections' } as const
const MIB = 1024 * 1024
const amount = (what: Measured, n: number): string => (what === 'memory' ? `${Math.round(n / MIB)} MiB` : String(n))

export class OverloadWatch {
  readonly #options: OverloadOptions
  readonly #short = new Set<Overload>()
  #timer: NodeJS.Timeout | null = null
  #glances = 0
  #looks = 0
  #looking = false
  #limits: OverloadOptions['limits']

  constructor(options: OverloadOptions) {
    this.#options = options
    this.#limits = options.limits
    this.limits = options.limits
  }

  /** Another configuration. */
  set limits(limits: OverloadOptions['limits']) {
    this.#limits = limits
    this.#options.board.delayLimit = limits.delay
  }

  /** What is short, in the order of the closed list. */
  get short(): readonly Overload[] {
    return OVERLOADS.filter((what) => this.#short.has(what))
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.glance()
      if (++this.#glances % SLOW_LOOKS === 0) void this.look()
    }, LOOK_MS)
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  /** One look at what costs nothing to see. */
  glance(): void {
    const { connections, late } = this.#options
    // The threshold is the limit itself: as many are open, one more is not taken.
    const most = this.#limits.connections
    const open = connections()
    const before = this.#short.has('connections')
    const full = most > 0 && (before ? open > most * RECOVERED : open >= most)
    this.#enter('connections', full, { used: open, most }, Math.floor(most * RECOVERED))
    this.#lateness(late())
  }

  /** One look at memory and descriptors. */
  async look(): Promise<void> {
    if (this.#looking) return // the last one still waits for its answer
    this.#looking = true
    const { means } = this.#options
    const limits = this.#limits
    for (const what of ['memory', 'descriptors'] as const) {
      const seen = await means[what]()
      const below = Math.floor(seen.most * limits[what] * RECOVERED)
      this.#enter(what, isShort(seen, limits[what], this.#short.has(what)), seen, below)
    }
    this.#looking = false
    if (this.#short.has('memory') && this.#looks++ % COLLECT_LOOKS === 0) this.#options.collect()
  }

  #enter(what: Measured, now: boolean, { used, most }: Means, below: number): void {
    const { board, log } = this.#options
    if (now === this.#short.has(what)) return
    board.setOverload(what, now)
    const use = `${amount(what, used)} of ${amount(what, most)} are in use`
    if (now) {
      this.#short.add(what)
      this.#looks = 0
      const until = `new connections are refused until it is ${amount(what, below)}`
      log.warn({ reason: what }, `${NAMES[what]} run short: ${use}; ${until}`)
    } else {
      this.#short.delete(what)
      log.info({ reason: what }, `${NAMES[what]} suffice again: ${use}; new connections are accepted`)
    }
  }

  /** The threads have decided already: it is only told. */
  #lateness({ threads, delay }: { readonly threads: readonly number[]; readonly delay: number }): void {
    const { log } = this.#options
    const now = threads.length > 0
    if (now === this.#short.has('delay')) return
    if (now) {
      this.#short.add('delay')
      const who = `data thread${threads.length === 1 ? '' : 's'} ${threads.join(', ')}`
      log.warn(
        { reason: 'delay', threads, delay },
        `${who} can't keep up, ${delay} ms late: what is new is refused there`,
      )
    } else {
      this.#short.delete('delay')
      log.info({ reason: 'delay' }, 'data threads keep up again: new connections and requests are accepted')
    }
  }
}
