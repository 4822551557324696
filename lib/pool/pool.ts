/** The backends of a pool in one data thread: keeps the eligible snapshot and asks the policy. */
import { ACCEPTS, type PoolCell, sharedTime } from '../board/index.ts'
import type { Backend, Tier } from './backend.ts'
import type { Flow, Policy, PolicyFactory } from './contracts.ts'
import { Queue, type QueueLimits } from './queue.ts'
import { stateFromNumber } from './state.ts'

const TIERS: readonly Tier[] = ['primary', 'backup', 'sorry']

/** Every backend that could be taken has as many flows as it may. */
export const FULL = 'full'

export interface PoolOptions {
  readonly backends: readonly Backend[]
  readonly cell: PoolCell
  readonly policy: PolicyFactory
  readonly queue: QueueLimits
  /** When no backend takes new flows, all that the operator wants are used. */
  readonly panics: boolean
}

const now = (): number => sharedTime(performance.now())

export class Pool {
  readonly backends: readonly Backend[]
  readonly queue: Queue
  readonly queueTimeout: number
  readonly #cell: PoolCell
  readonly #policy: Policy
  readonly #panics: boolean
  #epoch = -1
  #eligible = 0
  /** The first probe of some has not ended, and those that take new flows would do so only in their place. */
  #undecided = false
  /** Some backend takes a limited number of flows. */
  #bounded = false

  constructor({ backends, cell, policy, queue, panics }: PoolOptions) {
    this.backends = backends
    this.queue = new Queue(cell, queue)
    this.queueTimeout = queue.timeout
    this.#cell = cell
    this.#panics = panics
    this.#policy = policy({ next: () => cell.nextInSequence() & 0x7fff_ffff, random: Math.random, now })
  }

  /**
   * A backend for a new flow, which counts as begun on it until `release`.
   * @param waited it comes from the queue: nobody is before it
   * @returns undefined when none is eligible (outside `avoid`)
   */
  take(flow: Flow, avoid: ReadonlySet<Backend> | null, waited = false): Backend | typeof FULL | undefined {
    this.#refresh()
    if (this.#eligible === 0) return undefined
    if (this.#bounded && !waited && this.#cell.active() > 0) return FULL
    const backend = this.#policy.pick(flow, avoid)
    if (backend === undefined) return undefined
    if (backend.cell.tryBegin(backend.most)) return backend
    return this.#takeNext(flow, avoid, backend)
  }

  #takeNext(flow: Flow, avoid: ReadonlySet<Backend> | null, full: Backend): Backend | typeof FULL {
    const passed = new Set(avoid)
    for (let backend: Backend | undefined = full; backend !== undefined; ) {
      passed.add(backend)
      backend = this.#policy.pick(flow, passed)
      if (backend?.cell.tryBegin(backend.most) === true) return backend
    }
    return FULL
  }

  /** The flow on `backend` has ended or goes elsewhere. */
  release(backend: Backend): void {
    backend.cell.end()
    if (this.#bounded && this.#cell.active() > 0) this.#cell.wake()
  }

  /** The first probe of those that should get it has not ended: flows are held for the start grace. */
  undecided(): boolean {
    this.#refresh()
    return this.#undecided
  }

  /** Resolves when a state or weight changed since the last pick, or after `ms`. */
  changed(ms: number): Promise<void> {
    return this.#cell.changed(this.#epoch, ms)
  }

  #refresh(): void {
    const epoch = this.#cell.epoch()
    if (epoch === this.#epoch) return
    // The epoch is read first: a change while we look raises it again, and the next pick looks once more.
    this.#epoch = epoch
    this.#bounded = false
    let unknown = TIERS.length
    for (const backend of this.backends) {
      if (stateFromNumber(backend.cell.state()) === 'unknown') unknown = Math.min(unknown, TIERS.indexOf(backend.tier))
      backend.weight = backend.cell.weight()
      backend.most = backend.cell.most()
      if (backend.most > 0) this.#bounded = true
    }
    const takers = this.#accepting(ACCEPTS.new)
    const [taker] = takers
    this.#undecided = unknown < (taker === undefined ? TIERS.length : TIERS.indexOf(taker.tier))
    const eligible = takers.length === 0 && this.#panics ? this.#accepting(ACCEPTS.panic) : takers
    this.#eligible = eligible.length
    this.#policy.rebuild(eligible)
  }

  /** Those of the first tier that has any. */
  #accepting(bit: number): readonly Backend[] {
    const found = this.backends.filter(({ weight, cell }) => weight > 0 && (cell.accepts() & bit) !== 0)
    for (const tier of TIERS) {
      const members = found.filter((backend) => backend.tier === tier)
      if (members.length > 0) return members
    }
    return []
  }
}
