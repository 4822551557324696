/** What every flow does and leaves: it finds a backend, another one when a connect fails, and ends with one record. */
import { type Reason, type RetryReason, sharedTime } from '../board/index.ts'
import { Deadline, type DeadlineOwner, fault, formatAddress, nowMs, wallAt } from '../core/index.ts'
import { type Backend, type Flow, FULL, type Pool, type Waiter } from '../pool/index.ts'
import type { FlowRecord, Phase } from '../telemetry/index.ts'
import type { ServiceContext, ServicePool } from './contract.ts'
import { Dial, type Dialled } from './dial.ts'
import type { Wire } from './wire.ts'

/** Why no further try is made, and what an HTTP client is told of it. */
export interface Failure {
  readonly status: number
  readonly reason: Reason
  readonly detail: string
  /** Seconds after which another try makes sense; absent: nobody knows. */
  readonly retryAfter?: number
}

const NO_BACKEND: Failure = { status: 503, reason: 'no-backend', detail: 'no backend is available' }
const QUEUE_FULL: Failure = {
  status: 503,
  reason: 'queue-full',
  detail: 'every backend is busy, and too many requests wait already',
  retryAfter: 1,
}
const QUEUE_TIMEOUT: Failure = {
  status: 503,
  reason: 'queue-timeout',
  detail: 'every backend was busy for too long',
  retryAfter: 1,
}
const CONNECT_FAILED: Failure = { status: 503, reason: 'connect-failed', detail: 'no backend could be reached' }
const NOT_SPOKEN: Failure = {
  status: 502,
  reason: 'bad-response',
  detail: 'the backend does not speak the protocol that it is asked in',
}
const CONNECT_TIMEOUT: Failure = { status: 504, reason: 'connect-timeout', detail: 'no backend could be reached' }

/** The backend, or what is behind it, can't serve: 502, 503, 504. */
export const isGatewayError = (status: number): boolean => status >= 502 && status <= 504

/** What a gRPC backend says that can't serve now. */
export const UNAVAILABLE = 14

export abstract class PlacedFlow implements Flow, FlowRecord {
  protected readonly context: ServiceContext
  protected readonly begunAt = nowMs()
  protected backend: Backend | null = null
  protected over = false
  /** An idle connection died under the flow: from now on only new ones. */
  protected stale = false
  protected failure: Failure = NO_BACKEND
  /** Where its backend comes from. */
  protected place: ServicePool
  #waiting: Turn | null = null
  /** It is on a try that the budget pays, because of this backend. */
  #budgeted: Backend | null = null
  #dial: { cancel(): void } | null = null
  #tried: Set<Backend> | null = null
  /** When the first dial began; 0: none was needed yet. */
  #connecting = 0
  /** When the last one did. */
  protected dialledAt = 0

  readonly startedAt = wallAt(this.begunAt)
  readonly protocol: string
  readonly service: string
  readonly clientAddress: string
  affinityKey = ''
  readonly clientPort: number
  readonly id: string
  /** See `Flow`; set before the flow looks for a backend. */
  hashKey = ''
  abstract readonly method: string
  abstract readonly target: string
  abstract readonly host: string
  abstract readonly version: string
  abstract readonly referer: string
  abstract readonly userAgent: string
  backendName = ''
  status = 0
  /** Of a gRPC call; -1: it is none, or has none yet. */
  grpcStatus = -1
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
    this.context = context
    this.place = context.pools[0]
    this.protocol = context.view.protocol
    this.service = context.view.name
    this.clientAddress = clientAddress
    this.clientPort = clientPort
    this.id = id
    context.active++
  }

  /** Uses an idle connection to `backend`, if there is one; true: it is used. */
  protected abstract useIdle(backend: Backend): boolean
  /** Connects to `backend`; `done` is never called before this returned. */
  protected dial(backend: Backend, done: Dialled): { cancel(): void } {
    const { wheel, view, preamble } = this.context
    return new Dial(backend, wheel, view.timeouts.connect, done, preamble)
  }
  protected abstract onDialled(backend: Backend, wire: Wire): void
  /** No backend is left to try: `failure` says why. */
  protected abstract onUnplaced(): void
  /** An error that nobody expected: the flow ends. */
  protected abstract onFault(): void

  /** Looks for a backend; waits for the first probe results where there are none yet, at most for the start grace. */
  protected seekBackend(): void {
    const { pool, view } = this.place
    if (pool.undecided()) void this.#hold(this.context.wheel.now + view.startGrace)
    else this.#seek()
  }

  async #hold(until: number): Promise<void> {
    const { wheel } = this.context
    while (this.place.pool.undecided() && wheel.now < until) {
      await this.place.pool.changed(until - wheel.now)
      if (this.over) return
      this.#renew()
    }
    this.queueMs = nowMs() - this.begunAt
    this.#seek()
  }

  /** The service may have another view since the flow began: its backend is one of those that there are now. */
  #renew(): void {
    const { latest } = this.context.life
    if (latest === this.context || latest === null) return
    const { name } = this.place.view
    this.place = latest.pools.find(({ view }) => view.name === name) ?? this.place
  }

  /** @param shunned is taken only when there is no other */
  #seek(shunned: Backend | null = null): void {
    this.#renew()
    const { pool } = this.place
    const other = shunned === null ? undefined : pool.take(this, new Set(this.#tried).add(shunned))
    const taken = other ?? pool.take(this, this.#tried)
    if (taken === undefined) this.onUnplaced()
    else if (taken === FULL) this.#wait()
    else this.#use(taken)
  }

  /** Every backend is busy: waits for its turn. Those that failed may be tried again by then. */
  #wait(): void {
    const { pool } = this.place
    this.#tried = null
    this.phase = 'queue'
    const since = nowMs()
    this.#waiting = new Turn(
      pool,
      this.context.wheel,
      () => this.#onRoom(since),
      () => {
        this.#waiting = null
        this.#unplaced(QUEUE_TIMEOUT)
      },
      (error) => this.broke(error),
    )
    const turn = this.#waiting
    if (!turn.join()) this.#unplaced(QUEUE_FULL)
  }

  /** There may be room for it; true: it waits no longer. */
  #onRoom(since: number): boolean {
    this.#renew()
    const taken = this.place.pool.take(this, null, true)
    if (taken === FULL) return false
    this.#waiting?.leave()
    this.#waiting = null
    this.queueMs += nowMs() - since
    if (taken === undefined) this.#unplaced(NO_BACKEND)
    else this.#use(taken)
    return true
  }

  #unplaced(failure: Failure): void {
    this.failure = failure
    this.onUnplaced()
  }

  #use(backend: Backend): void {
    this.backend = backend
    this.backendName = backend.name
    this.tries++
    if (!this.stale && this.useIdle(backend)) return
    this.phase = 'connect'
    this.dialledAt = nowMs()
    this.#connecting ||= this.dialledAt
    this.#dial = this.dial(backend, (wire, code) => {
      this.#dial = null
      try {
        this.#onDialEnd(backend, wire, code)
      } catch (error) {
        if (this.over) throw error
        this.broke(error)
        wire?.destroy()
      }
    })
  }

  /** An error that nobody expected: tells of it, and ends the flow. */
  broke(error: unknown): void {
    fault(error, formatAddress(this.clientAddress, this.clientPort))
    this.onFault()
  }

  #onDialEnd(backend: Backend, wire: Wire | null, code: string): void {
    if (wire === null) return this.#connectFailed(backend, code)
    this.connectMs = nowMs() - this.#connecting // failed tries included
    this.onDialled(backend, wire)
  }

  /** Its backend served it well, or failed it: counted where outliers are looked for. */
  protected judge(well: boolean): void {
    const { backend } = this
    if (backend === null || !backend.watched) return
    if (well) backend.cell.succeeded()
    else backend.cell.failed()
  }

  #connectFailed(backend: Backend, code: string): void {
    const late = code === 'ETIMEDOUT'
    this.judge(false)
    this.failure = late ? CONNECT_TIMEOUT : code === 'EPROTO' ? NOT_SPOKEN : CONNECT_FAILED
    if (late) this.timeTaken(nowMs(), this.dialledAt, false)
    if (this.spent) return this.onUnplaced()
    this.tryAnother(late ? 'connect-timeout' : 'connect-failed', backend)
  }

  /** How long the backend took, for policies that go by it. Failing fast is no merit: that counts only when it was slow. */
  protected timeTaken(now: number, from: number, good: boolean): void {
    const cell = this.backend?.cell
    if (!this.place.timed || cell === undefined) return
    const ms = now - from
    if (good || ms * 1000 > cell.latency()) cell.took(ms, sharedTime(now))
  }

  /** No further try is allowed. */
  protected get spent(): boolean {
    return this.tries > this.context.view.retries
  }

  /**
   * Gives the backend up and looks for one again; `leave` is not picked for this flow any more. A connect that failed at
   * once, or an idle connection that had died, cost the backend nothing and are free; the other tries need the budget.
   */
  protected tryAnother(reason: RetryReason, leave: Backend | null): void {
    if (!this.#mayTry(reason)) return this.onUnplaced()
    if (leave !== null) {
      this.#tried ??= new Set()
      this.#tried.add(leave)
    }
    const { backend } = this
    this.#release()
    this.context.cell.retry(reason)
    // An idle connection that had died says nothing of its backend, and yet another one is the safer choice where clients are not
    // bound: many at once die with their backend, whose kernel may take connections a moment longer.
    this.#seek(leave === null && !this.place.pool.sticky ? backend : null)
  }

  #mayTry(reason: RetryReason): boolean {
    const { backend } = this
    if (reason === 'connect-failed' || reason === 'stale-connection' || this.#budgeted !== null || backend === null)
      return true
    const { retryBudget, active, cell } = this.context
    if (!retryBudget.take(backend, active)) {
      cell.retryDenied()
      return false
    }
    this.#budgeted = backend
    return true
  }

  #release(): void {
    if (this.backend !== null) this.place.pool.release(this.backend)
    this.backend = null
  }

  /** Gives back what the flow holds, counts it and writes its record; false: that was done before. */
  protected conclude(by: string, reason: Reason | '', now = nowMs()): boolean {
    if (this.over) return false
    this.over = true
    const { cell, accessLog, retryBudget } = this.context
    this.context.active--
    this.#dial?.cancel()
    this.#waiting?.leave()
    if (this.#budgeted !== null) retryBudget.give(this.#budgeted)
    if (reason === 'cut') this.backend?.cell.cut()
    if (reason === '' && !isGatewayError(this.status)) this.judge(this.grpcStatus !== UNAVAILABLE)
    this.#release()
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

/** A flow's turn in the queue of its pool, and the time that it may wait for it. */
class Turn implements Waiter, DeadlineOwner {
  readonly onRoom: () => boolean
  readonly #pool: Pool
  readonly #late: () => void
  readonly #lost: (error: unknown) => void
  readonly #deadline: Deadline

  constructor(
    pool: Pool,
    wheel: ServiceContext['wheel'],
    onRoom: () => boolean,
    late: () => void,
    lost: (error: unknown) => void,
  ) {
    this.#pool = pool
    this.onRoom = onRoom
    this.#late = late
    this.#lost = lost
    this.#deadline = new Deadline(wheel, this)
  }

  /** False: as many wait as may. */
  join(): boolean {
    this.#deadline.set(this.#pool.queueTimeout)
    if (this.#pool.queue.join(this)) return true
    this.#deadline.release()
    return false
  }

  leave(): void {
    this.#deadline.release()
    this.#pool.queue.leave(this)
  }

  onDeadline(): void {
    this.leave()
    this.#late()
  }
  onThrown(error: unknown): void {
    this.leave()
    this.#lost(error)
  }
}
