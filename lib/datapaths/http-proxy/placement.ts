/** Finds a backend and a connection to it for one request; another backend when a connect fails. */
import type { Reason, RetryReason } from '../../board/index.ts'
import type { Backend } from '../../pool/index.ts'
import { Dial } from '../dial.ts'
import { formatHeader } from '../proxy-protocol/format.ts'
import type { Wire } from '../wire.ts'
import { BackendStream } from './agent.ts'
import type { ProxyEngine } from './engine.ts'
import type { RequestRecord } from './record.ts'

/** What the client is told when no further try is made. */
export interface Failure {
  readonly status: number
  readonly reason: Reason
  readonly detail: string
}
const NO_BACKEND: Failure = { status: 503, reason: 'no-backend', detail: 'no backend is available' }

export interface PlacementOwner {
  /** `dialled` is for this request alone; null: the backend's agent has an idle connection. */
  onPlaced(backend: Backend, dialled: BackendStream | null): void
  onUnplaced(failure: Failure): void
}

export class Placement {
  readonly #engine: ProxyEngine
  readonly #record: RequestRecord
  readonly #client: Wire
  readonly #owner: PlacementOwner
  readonly #begunAt = performance.now()
  #dial: Dial | null = null
  #tried: Set<Backend> | null = null
  /** An idle connection died: from now on only new ones. */
  #stale = false
  #failure = NO_BACKEND
  #over = false
  backend: Backend | null = null
  /** When the request could go out. */
  sentAt = this.#begunAt

  constructor(engine: ProxyEngine, record: RequestRecord, client: Wire, owner: PlacementOwner) {
    this.#engine = engine
    this.#record = record
    this.#client = client
    this.#owner = owner
  }

  start(): void {
    const { pool, wheel, view } = this.#engine.context
    if (pool.undecided()) void this.#hold(wheel.now + view.startGrace)
    else this.#place()
  }

  /** Waits for the first probe results, at most until the grace is over. */
  async #hold(until: number): Promise<void> {
    const { pool, wheel } = this.#engine.context
    while (!this.#over && pool.undecided() && wheel.now < until) await pool.changed(until - wheel.now)
    if (this.#over) return
    this.#record.queueMs = performance.now() - this.#begunAt
    this.sentAt = this.#begunAt + this.#record.queueMs
    this.#place()
  }

  #place(): void {
    const { context } = this.#engine
    const record = this.#record
    const backend = context.pool.pick(record, this.#tried)
    if (backend === undefined) return this.#owner.onUnplaced(this.#failure)
    backend.cell.begin()
    this.backend = backend
    record.backendName = backend.name
    record.tries++
    if (!this.#stale && this.#engine.agentOf(backend).ready) {
      record.connectMs = 0
      return this.#owner.onPlaced(backend, null)
    }
    record.phase = 'connect'
    const { wheel, view } = context
    const begun = performance.now()
    this.#dial = new Dial(backend, wheel, view.timeouts.connect, (wire, code) => {
      this.#dial = null
      if (wire === null) return this.#failed(code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failed')
      this.sentAt = performance.now()
      record.connectMs = this.sentAt - begun
      if (backend.sendProxy !== 'off') wire.writeText(formatHeader(backend.sendProxy, this.#client))
      this.#owner.onPlaced(backend, new BackendStream(wire, wheel, view.timeouts.backendIdle))
    })
  }

  #failed(reason: RetryReason & Reason): void {
    this.#failure = { status: reason === 'connect-timeout' ? 504 : 503, reason, detail: 'no backend could be reached' }
    if (this.#spent) return this.#owner.onUnplaced(this.#failure)
    this.#leave()
    this.#again(reason)
  }

  get #spent(): boolean {
    return this.#record.tries > this.#engine.context.view.retries
  }

  /** Gives the backend up and does not pick it again for this request. */
  #leave(): void {
    if (this.backend === null) return
    this.#tried ??= new Set()
    this.#tried.add(this.backend)
  }

  #again(reason: RetryReason): void {
    this.backend?.cell.end()
    this.backend = null
    this.#engine.context.cell.retry(reason)
    this.#place()
  }

  /** The connection ended without a byte of an answer; `uses`: requests that it carried. Tries once more, or answers false. */
  retry(uses: number, failure: Failure): boolean {
    const stale = uses !== 1 && !this.#stale
    this.#failure = failure
    if (!stale && this.#spent) return false
    // A connection that died while idle says nothing of its backend: the next try dials, and may go there again.
    if (stale) {
      this.#stale = true
      this.#record.tries--
    } else this.#leave()
    this.#again('stale-connection')
    return true
  }

  /** No connection is wanted any more. */
  stop(): void {
    this.#over = true
    this.#dial?.cancel()
    this.#dial = null
  }

  /** The request is over: gives the backend back, once. */
  end(): void {
    this.stop()
    this.backend?.cell.end()
    this.backend = null
  }
}
