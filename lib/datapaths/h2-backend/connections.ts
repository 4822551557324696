/** The connections with HTTP/2 to one backend in one thread: requests share them, and the dials that make them. */
import { formatAddress, type Logger } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import { Dial, type Dialled } from '../dial.ts'
import { BackendConnection, ConnectionCache } from '../http/backend-connection.ts'
import type { Marked } from '../http/requester.ts'
import type { Wire } from '../wire.ts'
import { BackendSession, type SessionMeans, type SessionOwner } from './session.ts'
import { BackendStream } from './stream.ts'

const NO_ALPN = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL'
const LEAST_MS = 100 // for the greeting of a backend whose handshake took nearly all the time
const TELL_MS = 60_000 // what is wrong with every connection is told once in that time

/** A request that waits for a connection. */
interface Waiter {
  readonly done: Dialled
  dial: SharedDial | null
  over: boolean
}

/** A connection that is being made, and those who wait for it. */
interface SharedDial {
  readonly waiters: Set<Waiter>
  cancel(): void
}

export interface Surroundings extends SessionMeans {
  readonly service: string
  readonly log: Logger
}

export class H2Connections extends ConnectionCache implements SessionOwner {
  override readonly multiplexed = true
  readonly #backend: Backend
  readonly #means: Surroundings
  #sessions: BackendSession[] = []
  readonly #dials = new Map<SharedDial, BackendSession | null>()
  /** Streams that a connection is expected to take: as many as the last one did. */
  #expected: number
  #closed = false
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(backend: Backend, means: Surroundings) {
    super(means.limits, 0)
    this.#backend = backend
    this.#means = means
    this.#expected = means.options.maxStreams
  }

  /** A stream on a connection that has room. */
  override take(): BackendConnection | undefined {
    const session = this.#withRoom()
    if (session === undefined) return undefined
    const { wheel, idleMs } = this.#means
    const used = session.carried > 0
    const connection = new BackendConnection(session.open(), this.#backend, this, wheel, idleMs)
    if (used) connection.uses = 1 // what happens to it may be due to what others did before
    return connection
  }

  #withRoom(): BackendSession | undefined {
    for (const session of this.#sessions) if (session.room) return session
    return undefined
  }

  override takesUpgrades(wire: Wire): boolean {
    return wire instanceof BackendStream && wire.tunnels
  }

  override marksOf(wire: Wire): Marked | null {
    return wire instanceof BackendStream ? wire : null
  }

  /** Finds a stream on another connection, which others may share; `done` is never called before this returned. */
  dial(done: Dialled): { cancel(): void } {
    const waiter: Waiter = { done, dial: null, over: false }
    // Whoever comes although there is room met a connection that ended, and that one is gone.
    if (this.#withRoom() === undefined) this.#join(waiter)
    else setImmediate(() => this.#serve(waiter))
    return { cancel: () => this.#cancel(waiter) }
  }

  #serve(waiter: Waiter): void {
    if (waiter.over) return
    const session = this.#withRoom()
    if (session === undefined) this.#join(waiter)
    else waiter.done(session.open(), '')
  }

  #join(waiter: Waiter): void {
    for (const dial of this.#dials.keys())
      if (dial.waiters.size < this.#expected) {
        waiter.dial = dial
        dial.waiters.add(waiter)
        return
      }
    const dial = this.#connect()
    waiter.dial = dial
    dial.waiters.add(waiter)
  }

  #cancel(waiter: Waiter): void {
    waiter.over = true
    const { dial } = waiter
    if (dial === null) return
    waiter.dial = null
    dial.waiters.delete(waiter)
    if (dial.waiters.size > 0) return
    const session = this.#dials.get(dial)
    this.#dials.delete(dial)
    dial.cancel()
    session?.cancel()
  }

  #connect(): SharedDial {
    const { wheel, greetingMs } = this.#means
    const begun = wheel.now
    const backend = this.#backend
    const dialling = new Dial(backend, wheel, greetingMs, (wire, code) => {
      if (!this.#dials.has(dial)) wire?.destroy()
      else if (wire === null && code !== NO_ALPN) this.#failed(dial, code)
      else if (wire === null || (backend.security !== null && wire.protocol !== 'h2')) {
        wire?.destroy()
        this.#report('it does not agree on h2 in the TLS handshake (ALPN)')
        if (wire !== null) backend.cell.connectFailure()
        this.#failed(dial, 'EPROTO')
      } else {
        const left = Math.max(LEAST_MS, greetingMs - (wheel.now - begun))
        const means = { ...this.#means, greetingMs: left }
        this.#dials.set(dial, new BackendSession(wire, means, backend.security !== null, this))
      }
    })
    const dial: SharedDial = { waiters: new Set(), cancel: () => dialling.cancel() }
    this.#dials.set(dial, null)
    return dial
  }

  #failed(dial: SharedDial, code: string): void {
    this.#dials.delete(dial)
    for (const waiter of dial.waiters) {
      waiter.dial = null
      if (!waiter.over) waiter.done(null, code)
    }
  }

  #dialOf(session: BackendSession): SharedDial | undefined {
    for (const [dial, made] of this.#dials) if (made === session) return dial
    return undefined
  }

  onOpen(session: BackendSession): void {
    const dial = this.#dialOf(session)
    if (dial === undefined) return session.retire()
    this.#dials.delete(dial)
    if (session.capacity === 0) {
      session.retire()
      this.#report('it takes no requests (SETTINGS_MAX_CONCURRENT_STREAMS is 0)')
      return this.#failed(dial, 'EPROTO')
    }
    this.#expected = session.capacity
    this.#sessions.push(session)
    for (const waiter of dial.waiters) {
      waiter.dial = null
      if (waiter.over) continue
      if (session.room) waiter.done(session.open(), '')
      else this.#join(waiter)
    }
    if (this.#closed) session.retire()
  }

  onClosed(session: BackendSession, problem: string, code: string): void {
    this.#sessions = this.#sessions.filter((each) => each !== session)
    if (problem !== '') this.#report(problem)
    const dial = this.#dialOf(session)
    if (dial === undefined) return
    this.#backend.cell.connectFailure()
    this.#failed(dial, code === 'ETIMEDOUT' ? code : 'EPROTO')
  }

  #report(problem: string): void {
    const { service, log, wheel } = this.#means
    if (wheel.now - this.#toldAt < TELL_MS) return
    this.#toldAt = wheel.now
    const at = formatAddress(this.#backend.host, this.#backend.port)
    log.warn({ service, backend: at }, `backend ${at}: ${problem}`)
  }

  override put(): boolean {
    return false
  }

  /** What is in progress goes on; nothing is kept for later. */
  override close(): void {
    this.#closed = true
    for (const session of this.#sessions) session.retire()
  }
}
