/** The backends of a pool in one data thread: keeps the eligible snapshot and asks the policy. */

import { ACCEPTS, type AffinityResult, type PoolCell, sharedTime } from '../board/index.ts'
import { nowMs } from '../core/index.ts'
import type { Backend, Tier } from './backend.ts'
import type { Affinity, Flow, Policy, PolicyFactory, PolicyTools } from './contracts.ts'
import { Queue, type QueueLimits } from './queue.ts'
import { stateFromNumber } from './state.ts'

const TIERS: readonly Tier[] = ['primary', 'backup', 'sorry']

/** Every backend that could be taken has as many flows as it may. */
export const FULL = 'full'

/** Picks for a flow that other threads may spoil by taking the same place; then what was seen must do. */
const RACES = 8

export interface PoolOptions {
  readonly backends: readonly Backend[]
  readonly cell: PoolCell
  readonly policy: PolicyFactory
  readonly queue: QueueLimits
  /** What this one takes the place of: the flows that wait there are its own from then on. */
  readonly before?: Pool | null
  /** When no backend takes new flows, all that the operator wants are used. */
  readonly panics: boolean
  /** null: clients are not kept on their backends. */
  readonly affinity?: Affinity | null
  /** Told what became of each look for a client's backend. */
  readonly onAffinity?: (result: AffinityResult) => void
}

/** An object and not closures: their context would be one more thing that the first pick of an idle pool waits for. */
class Tools implements PolicyTools {
  readonly #cell: PoolCell

  constructor(cell: PoolCell) {
    this.#cell = cell
  }

  next(): number {
    return this.#cell.nextInSequence() & 0x7fff_ffff
  }

  random(): number {
    return Math.random()
  }

  now(): number {
    return sharedTime(nowMs())
  }
}

export class Pool {
  // What each pick reads comes first: of a pool that is in no cache, lines of memory are what the first pick costs.
  readonly #cell: PoolCell
  readonly #policy: Policy
  #epoch = -1
  #eligible = 0
  /** Some backend takes a limited number of flows. */
  #bounded = false
  readonly #affinity: Affinity | null
  readonly backends: readonly Backend[]
  readonly queue: Queue
  readonly queueTimeout: number
  readonly #panics: boolean
  readonly #onAffinity: (result: AffinityResult) => void
  /** What a backend must accept to serve the clients that are bound to it. */
  #serving: number = ACCEPTS.bound
  /** The first probe of some has not ended, and those that take new flows would do so only in their place. */
  #undecided = false

  constructor(options: PoolOptions) {
    const { backends, cell, policy, queue, panics, affinity = null, onAffinity = () => {}, before = null } = options
    this.backends = backends
    this.queue = before?.queue ?? new Queue(cell, queue)
    this.queueTimeout = queue.timeout
    this.#cell = cell
    this.#panics = panics
    this.#affinity = affinity
    this.#onAffinity = onAffinity
    this.#policy = policy(new Tools(cell))
  }

  /**
   * A backend for a new flow, which counts as begun on it until `release`.
   * @param waited it comes from the queue: nobody is before it
   * @returns undefined when none is eligible (outside `avoid`)
   */
  take(flow: Flow, avoid: ReadonlySet<Backend> | null, waited = false): Backend | typeof FULL | undefined {
    this.#refresh()
    if (this.#affinity !== null) return this.#takeBound(this.#affinity, flow, avoid, waited)
    return this.#takeNew(flow, avoid, waited)
  }

  /** The client's own backend if it serves; else another one, which is the client's from then on. */
  #takeBound(
    affinity: Affinity,
    flow: Flow,
    avoid: ReadonlySet<Backend> | null,
    waited: boolean,
  ): Backend | typeof FULL | undefined {
    const bound = affinity.find(flow)
    if (bound !== undefined && (waited || !this.#queues()) && this.#beginBound(bound, avoid)) {
      this.#onAffinity('hit')
      return bound
    }
    const taken = this.#takeNew(flow, avoid, waited)
    if (taken === undefined || taken === FULL || taken.tier === 'sorry') return taken
    this.#onAffinity(bound === undefined ? 'miss' : 'broken')
    const other = affinity.bind(flow, taken, bound)
    if (other === taken) return taken
    // Another thread has bound the client meanwhile.
    if (this.#beginBound(other, avoid)) {
      this.release(taken)
      return other
    }
    affinity.bind(flow, taken, other)
    return taken
  }

  #beginBound(backend: Backend, avoid: ReadonlySet<Backend> | null): boolean {
    if (avoid?.has(backend) === true || (backend.cell.accepts() & this.#serving) === 0) return false
    return backend.cell.tryBegin(backend.most)
  }

  /** Others wait for room: nobody goes before them. */
  #queues(): boolean {
    return this.#bounded && this.#cell.active() > 0
  }

  #takeNew(flow: Flow, avoid: ReadonlySet<Backend> | null, waited: boolean): Backend | typeof FULL | undefined {
    if (this.#eligible === 0) return undefined
    if (!waited && this.#queues()) return FULL
    let backend = this.#policy.pick(flow, avoid)
    // What was seen of the least busy one may be over by now: threads that all saw it would make it the busiest.
    for (let race = 0; backend !== undefined && backend.seen >= 0 && race < RACES; race++) {
      if (backend.most > 0 && backend.seen >= backend.most) break
      if (backend.cell.beginAt(backend.seen)) return backend
      backend = this.#policy.pick(flow, avoid)
    }
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

  /** Clients are kept on their backends. */
  get sticky(): boolean {
    return this.#affinity !== null
  }

  /** The flow on `backend` has ended or goes elsewhere. */
  release(backend: Backend): void {
    backend.cell.end()
    if (this.#queues()) this.#cell.wake()
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
    const panicking = takers.length === 0 && this.#panics
    const eligible = panicking ? this.#accepting(ACCEPTS.panic) : takers
    this.#serving = panicking ? ACCEPTS.bound | ACCEPTS.panic : ACCEPTS.bound
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
