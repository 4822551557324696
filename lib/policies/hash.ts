/**
 * The same key to the same backend, by weighted rendezvous hashing: a backend that goes or comes, or whose weight changes,
 * moves its own share of the keys and no other. A backend that holds too much of all flows passes new ones on.
 */
import { ActiveCounts } from '../board/index.ts'
import { hashText, mix32 } from '../core/index.ts'
import type { Backend, Flow, Policy, PolicyTools } from '../pool/index.ts'

/** Keys fall into slots, and a slot belongs to a backend: 64 for each of the most that a service may have. */
const SLOTS = 1 << 18
/** Up to here looking at all backends costs less than missing the cache with a table of the slots' owners. */
const DIRECT = 32
const GOLDEN = 0x9e37_79b9
/** Further slots that a key is tried with; when all fail, at worst 2 in 3 backends being full, the least loaded is taken. */
const TRIES = 16
/** As many connections as a browser opens at once: fewer flows are no load, and are never passed on. */
const FEW = 6
/** Backends whose flows are counted anew with each look at the sum. */
const LOOKS = 4

export interface HashOptions {
  /** Most flows of a backend, as a multiple of its share of all; 0: no bound. */
  readonly boundedLoad: number
}

class Hash implements Policy {
  readonly #factor: number
  #eligible: readonly Backend[] = []
  /** Two numbers per backend, made of its name: one could be the same for two of a few thousand names. */
  #seeds = new Uint32Array(0)
  #weights = new Float64Array(0)
  #totalWeight = 0
  #equal = true
  /** Index + 1 of each slot's owner, 0: not looked up yet; null: the pool is small. */
  #owners: Uint16Array | null = null
  /** Active flows of each backend when last looked at, their sum, and who is next to be looked at. */
  #counts = new ActiveCounts([])
  #seen = new Int32Array(0)
  #active = 0
  #next = 0

  constructor({ boundedLoad }: HashOptions) {
    this.#factor = boundedLoad
  }

  rebuild(eligible: readonly Backend[]): void {
    if (this.#isSame(eligible)) return
    const n = eligible.length
    this.#eligible = eligible
    this.#weights = Float64Array.from(eligible, ({ weight }) => weight)
    this.#totalWeight = this.#weights.reduce((sum, weight) => sum + weight, 0)
    this.#equal = this.#weights.every((weight) => weight === this.#weights[0])
    this.#seeds = new Uint32Array(2 * n)
    for (const [i, { name }] of eligible.entries()) {
      this.#seeds[2 * i] = hashText(name)
      this.#seeds[2 * i + 1] = hashText(`${name} `)
    }
    if (n <= DIRECT) this.#owners = null
    else if (this.#owners === null) this.#owners = new Uint16Array(SLOTS)
    else this.#owners.fill(0)
    this.#counts = new ActiveCounts(eligible.map(({ cell }) => cell))
    this.#seen = new Int32Array(n)
    this.#active = 0
    this.#next = 0
    for (let i = 0; i < n; i++) this.#look(i)
  }

  #isSame(eligible: readonly Backend[]): boolean {
    if (eligible.length !== this.#eligible.length) return false
    for (const [i, backend] of eligible.entries())
      if (backend !== this.#eligible[i] || backend.weight !== this.#weights[i]) return false
    return true
  }

  pick(flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    if (this.#eligible.length === 0) return undefined
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
    if (owners === null) return this.#rendezvous(slot)
    const known = owners[slot] as number
    if (known > 0) return known - 1
    const owner = this.#rendezvous(slot)
    owners[slot] = owner + 1
    return owner
  }

  /** Whose lot is the best for this slot. A lot is drawn from slot and name alone, so no backend changes another one's. */
  #rendezvous(slot: number): number {
    const seeds = this.#seeds
    const n = this.#weights.length
    const place = mix32(slot + 1)
    let best = 0
    if (this.#equal) {
      let most = 0 // as lots are: whole numbers from 0 are compared as such
      for (let i = 0; i < n; i++) {
        const lot = mix32(Math.imul(place ^ (seeds[2 * i] as number), GOLDEN) + (seeds[2 * i + 1] as number))
        if (lot > most) {
          most = lot
          best = i
        }
      }
      return best
    }
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < n; i++) {
      const lot = mix32(Math.imul(place ^ (seeds[2 * i] as number), GOLDEN) + (seeds[2 * i + 1] as number))
      // -ln of an even chance, over the weight: the least of these is each one as often as its weight says.
      const wait = -Math.log((lot + 0.5) / 2 ** 32) / (this.#weights[i] as number)
      if (wait < least) {
        least = wait
        best = i
      }
    }
    return best
  }

  #look(i: number): number {
    const active = this.#counts.of(i)
    this.#active += active - (this.#seen[i] as number)
    this.#seen[i] = active
    return active
  }

  /** One more flow would keep the backend within its bound. */
  #hasRoom(i: number): boolean {
    const active = this.#look(i)
    if (active < FEW) return true
    const n = this.#seen.length
    for (let looks = Math.min(n, LOOKS); looks > 0; looks--) {
      this.#look(this.#next)
      this.#next = this.#next + 1 === n ? 0 : this.#next + 1
    }
    const share = (this.#weights[i] as number) / this.#totalWeight
    return active < Math.ceil(this.#factor * (this.#active + 1) * share)
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
