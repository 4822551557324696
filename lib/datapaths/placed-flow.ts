/** What every flow does and leaves: it finds a backend, another one when a connect fails, and ends with one record. */
import type { Reason, RetryReason } from '../board/index.ts'
import type { Backend, Flow } from '../pool/index.ts'
import type { FlowRecord, Phase } from '../telemetry/index.ts'
import type { ServiceContext } from './contract.ts'
import { Dial } from './dial.ts'
import type { Wire } from './wire.ts'

/** Why no further try is made, and what an HTTP client is told of it. */
export interface Failure {
  readonly status: number
  readonly reason: Reason
  readonly detail: string
}

const NO_BACKEND: Failure = { status: 503, reason: 'no-backend', detail: 'no backend is available' }
const CONNECT_FAILED: Failure = { status: 503, reason: 'connect-failed', detail: 'no backend could be reached' }
const CONNECT_TIMEOUT: Failure = { status: 504, reason: 'connect-timeout', detail: 'no backend could be reached' }

export abstract class PlacedFlow implements Flow, FlowRecord {
  readonly #context: ServiceContext
  protected readonly begunAt = performance.now()
  protected backend: Backend | null = null
  protected over = false
  /** An idle connection died under the flow: from now on only new ones. */
  protected stale = false
  protected failure: Failure = NO_BACKEND
  #dial: Dial | null = null
  #tried: Set<Backend> | null = null
  /** When the first dial began; 0: none was needed yet. */
  #connecting = 0

  readonly startedAt = Date.now()
  readonly protocol: string
  readonly service: string
  readonly clientAddress: string
  readonly clientPort: number
  readonly id: string
  abstract readonly method: string
  abstract readonly target: string
  abstract readonly host: string
  abstract readonly version: string
  abstract readonly referer: string
  abstract readonly userAgent: string
  backendName = ''
  status = 0
  tries = 0
  queueMs = 0
  connectMs = -1
  firstByteMs = -1
  totalMs = 0
  bytesIn = 0
  bytesOut = 0
  endedBy = ''
  reason: Reason | '' = ''
  phase: Phase = 'queue'

  constructor(context: ServiceContext, clientAddress: string, clientPort: number, id: string) {
    this.#context = context
    this.protocol = context.view.protocol
    this.service = context.view.name
    this.clientAddress = clientAddress
    this.clientPort = clientPort
    this.id = id
  }

  /** Uses an idle connection to `backend`, if there is one; true: it is used. */
  protected abstract useIdle(backend: Backend): boolean
  protected abstract onDialled(backend: Backend, wire: Wire): void
  /** No backend is left to try: `failure` says why. */
  protected abstract onUnplaced(): void

  /** Looks for a backend; waits for the first probe results where there are none yet, at most for the start grace. */
  protected seekBackend(): void {
    const { pool, wheel, view } = this.#context
    if (pool.undecided()) void this.#hold(wheel.now + view.startGrace)
    else this.#place()
  }

  async #hold(until: number): Promise<void> {
    const { pool, wheel } = this.#context
    while (!this.over && pool.undecided() && wheel.now < until) await pool.changed(until - wheel.now)
    if (this.over) return
    this.queueMs = performance.now() - this.begunAt
    this.#place()
  }

  #place(): void {
    const backend = this.#context.pool.pick(this, this.#tried)
    if (backend === undefined) return this.onUnplaced()
    backend.cell.begin()
    this.backend = backend
    this.backendName = backend.name
    this.tries++
    if (!this.stale && this.useIdle(backend)) return
    this.phase = 'connect'
    const { wheel, view } = this.#context
    this.#connecting ||= performance.now()
    this.#dial = new Dial(backend, wheel, view.timeouts.connect, (wire, code) => {
      this.#dial = null
      if (wire === null) return this.#connectFailed(backend, code === 'ETIMEDOUT')
      this.connectMs = performance.now() - this.#connecting // failed tries included
      this.onDialled(backend, wire)
    })
  }

  #connectFailed(backend: Backend, late: boolean): void {
    this.failure = late ? CONNECT_TIMEOUT : CONNECT_FAILED
    if (this.spent) return this.onUnplaced()
    this.tryAnother(late ? 'connect-timeout' : 'connect-failed', backend)
  }

  /** No further try is allowed. */
  protected get spent(): boolean {
    return this.tries > this.#context.view.retries
  }

  /** Gives the backend up and looks for one again; `leave` is not picked for this flow any more. */
  protected tryAnother(reason: RetryReason, leave: Backend | null): void {
    if (leave !== null) {
      this.#tried ??= new Set()
      this.#tried.add(leave)
    }
    this.backend?.cell.end()
    this.backend = null
    this.#context.cell.retry(reason)
    this.#place()
  }

  /** Gives back what the flow holds, counts it and writes its record; false: that was done before. */
  protected conclude(by: string, reason: Reason | '', now = performance.now()): boolean {
    if (this.over) return false
    this.over = true
    const { cell, accessLog } = this.#context
    this.#dial?.cancel()
    this.backend?.cell.end()
    this.endedBy = by
    this.reason = reason
    if (reason === '') this.phase = 'done'
    this.totalMs = now - this.begunAt
    cell.request(this.status, this.totalMs)
    cell.bytes(this.bytesIn, this.bytesOut)
    if (reason !== '') cell.error(reason)
    accessLog.write(this)
    return true
  }
}
