/** Keeps clients by the shared table: what of a flow is the key, the kinds say. */
import { Bindings, type Digest } from '../board/index.ts'
import type { Affinity, Backend, Flow } from '../pool/index.ts'
import type { AffinityTools, AffinityView } from './contract.ts'
import { Identities } from './identity.ts'

/** Keeps what looks alike apart. The numbers are part of the keys. */
export const KIND = { ipv4: 1, ipv6: 2, header: 3, cookie: 4, tls: 5, rdp: 6 } as const

const TRIES = 3 // another thread may bind the client between two of them

export abstract class BoundAffinity implements Affinity {
  protected readonly bindings: Bindings
  readonly #identities: Identities
  readonly #tools: AffinityTools

  constructor(view: AffinityView, tools: AffinityTools) {
    this.bindings = new Bindings(tools.table, tools.thread, view.scope, view.timeout)
    this.#identities = new Identities(this.bindings, tools.backends, view.grouped)
    this.#tools = tools
  }

  /** Tells the table whom the next call is about. False: nothing is known of this client. */
  protected abstract know(flow: Flow): boolean

  find(flow: Flow): Backend | undefined {
    if (!this.know(flow) || !this.bindings.find(this.#tools.now())) return undefined
    return this.#identities.backendOf(this.bindings.met)
  }

  bind(flow: Flow, backend: Backend, instead: Backend | undefined): Backend {
    return this.know(flow) ? this.claim(backend, instead) : backend
  }

  /** The same for the client that the table was told of. */
  protected claim(backend: Backend, instead: Backend | undefined): Backend {
    const own = this.#identities.digestOf(backend)
    let old: Digest | null = instead === undefined ? null : this.#identities.digestOf(instead)
    for (let tries = 0; tries < TRIES; tries++) {
      const claim = this.bindings.claim(own, old, this.#tools.now())
      if (claim === 'evicted') this.#tools.onEvicted()
      if (claim !== 'taken') break
      const other = this.#identities.backendOf(this.bindings.met)
      if (other !== undefined) return other
      const { low, high } = this.bindings.met
      old = { low, high } // a backend that is gone
    }
    return backend
  }

  /** Binds whomever the table was told of, whatever was said of it before. */
  protected overwrite(backend: Backend): void {
    const other = this.claim(backend, undefined)
    if (other !== backend) this.claim(backend, other)
  }
}

/** By a text that was read from the client's bytes. */
export class KeyedAffinity extends BoundAffinity {
  readonly #kind: number

  constructor(kind: number, view: AffinityView, tools: AffinityTools) {
    super(view, tools)
    this.#kind = kind
  }

  protected override know(flow: Flow): boolean {
    if (flow.affinityKey === '') return false
    this.bindings.text(this.#kind, flow.affinityKey)
    return true
  }

  /** Binds a key that comes from the backend itself, so that its word counts. */
  protected learnt(key: string, backend: Backend): void {
    this.bindings.text(this.#kind, key)
    this.overwrite(backend)
  }
}
