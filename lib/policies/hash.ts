/**
 * The same key to the same backend, by weighted rendezvous hashing: a backend that goes or comes, or whose weight changes,
 * moves its own share of the keys and no other. A backend that holds too much of all flows passes new ones on.
 */
import { ActiveSum } from '../board/index.ts'
import { hashText, mix32 } from '../core/index.ts'
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'
import { Lots } from './lots.ts'

/** Keys fall into slots, and a slot belongs to a backend: 64 for each of the most that a service may have. */
const SLOTS = 1 << 18
/** Up to here looking at all backends costs less than missing the cache with a table of the slots' owners. */
const DIRECT = 32
const GOLDEN = 0x9e37_79b9
/** Further slots that a key is tried with; when all fail, at worst 2 in 3 backends being full, the least loaded is taken. */
const TRIES = 16
/** As many connections as a browser opens at once: fewer flows are no load, and are never passed on. */
const FEW = 6

export interface HashOptions {
  /** Most flows of a backend, as a multiple of its share of all; 0: no bound. */
  readonly boundedLoad: number
}

class Hash implements Policy {
  readonly #factor: number
  #lots = new Lots([], [])
  #flows = new ActiveSum([])
  /** Index + 1 of each slot's owner, 0: not looked up yet; null: the pool is small. */
  #owners: Uint16Array | null = null
  /** In the order of their names. */
  #eligible: readonly Backend[] = []
  #level = true
  /** Part of all flows that one may have: each, when all weights are the same, else for each unit of its weight. */
  #bound = 0
  #weights: readonly number[] = []

  constructor({ boundedLoad }: HashOptions) {
    this.#factor = boundedLoad
  }

  rebuild(eligible: readonly Backend[]): void {
    const sorted = eligible.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    if (this.#isSame(sorted)) return
    const weights = sorted.map(({ weight }) => weight)
    this.#eligible = sorted
    this.#weights = weights
    this.#level = weights.every((weight) => weight === weights[0])
    this.#bound = this.#factor / (this.#level ? weights.length : weights.reduce((sum, weight) => sum + weight, 0))
    this.#lots = new Lots(
      sorted.map(({ name }) => name),
      weights,
    )
    if (sorted.length <= DIRECT) this.#owners = null
    else if (this.#owners === null) this.#owners = new Uint16Array(SLOTS)
    else this.#owners.fill(0)
    this.#flows = new ActiveSum(sorted.map(({ cell }) => cell))
  }

  #isSame(eligible: readonly Backend[]): boolean {
    if (eligible.length !== this.#eligible.length) return false
    for (const [i, backend] of eligible.entries())
      if (backend !== this.#eligible[i] || backend.weight !== this.#weights[i]) return false
    return true
  }

  pick(flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    if (this.#eligible.length === 0) return undefined
    if (this.#factor > 0) this.#flows.look()
    let hash = hashText(flow.hashKey === '' ? flow.clientAddress : flow.hashKey)
    for (let tries = 0; tries <= TRIES; tries++) {
      const i = this.#ownerOf(hash & (SLOTS - 1))
      const backend = this.#eligible[i] as Backend
      if ((avoid === null || !avoid.has(backend)) && (this.#factor === 0 || this.#hasRoom(i))) return backend
      hash = mix32(hash + GOLDEN)
    }
    return this.#leastLoaded(avoid)
  }

  #ownerOf(slot: number): number {
    const owners = this.#owners
    if (owners === null) return this.#lots.best(mix32(slot + 1))
    const known = owners[slot] as number
    if (known > 0) return known - 1
    const owner = this.#lots.best(mix32(slot + 1))
    owners[slot] = owner + 1
    return owner
  }

  /** One more flow would keep the backend within its bound. */
  #hasRoom(i: number): boolean {
    const bound = this.#bound * (this.#flows.total + 1)
    return this.#flows.of(i) < Math.max(FEW, this.#level ? bound : bound * (this.#weights[i] as number))
  }

  #leastLoaded(avoid: ReadonlySet<Backend> | null): Backend | undefined {
    let least = Number.POSITIVE_INFINITY
    let best: Backend | undefined
    for (const backend of this.#eligible) {
      const load = backend.cell.active() / backend.weight
      if (load >= least || avoid?.has(backend)) continue
      least = load
      best = backend
    }
    return best
  }
}

export const hash = (_tools: PolicyTools, options: HashOptions): Policy => new Hash(options)
