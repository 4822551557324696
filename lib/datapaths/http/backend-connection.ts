/** A connection to an HTTP backend: parses its answers, and waits idle for reuse between two requests. */
import { Deadline, type DeadlineOwner, type DeadlineWheel, FAULT } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import { breakWire } from '../break-wire.ts'
import type { Wire, WireSink } from '../wire.ts'
import { ID } from './fields.ts'
import { Framing } from './framing.ts'
import { BAD, Head, type HeadLimits, MORE } from './head.ts'
import type { Marked } from './requester.ts'
import { Stash } from './stash.ts'

/** What an exchange hears of its backend connection. */
export interface Responder {
  /** 1xx but 101. */
  onInterim(head: Head, framing: Framing, buf: Buffer, base: number): void
  /** The switch to another protocol; `rest` are bytes that followed the head. */
  onSwitch(head: Head, framing: Framing, buf: Buffer, base: number, end: number): void
  /** A final head at `base`, and what followed it up to `end`. */
  onResponse(head: Head, framing: Framing, buf: Buffer, base: number, end: number): void
  onResponseBody(buf: Buffer, start: number, end: number): void
  /** The answer is broken: `problem` for the log. */
  onBadResponse(problem: string): void
  /** FIN (`code` '') or a broken connection. `begun`: a part of an answer had come. */
  onBackendGone(code: string, begun: boolean): void
  /** What was read from the backend made us throw: everything ends. */
  onFault(): void
  /** The backend takes more bytes of the request. */
  onBackendDrain(): void
}

/** Codes of `onClose` beside the system's. The backend says that it has not looked at the request: it may go elsewhere (RFC 9113 §8.7). */
export const UNTOUCHED = 'UNTOUCHED'
/** The backend gave up this request, and only this one. */
export const STREAM_RESET = 'STREAM_RESET'
/** What came is no answer. */
export const MALFORMED = 'MALFORMED'

const MAX_INTERIM = 32 // 1xx answers to one request; more is a backend gone mad

/** Complete heads are parsed here; only one that comes in pieces needs a head of its own. */
const sharedHead = new Head()
const framing = new Framing()

export class BackendConnection implements WireSink, DeadlineOwner {
  readonly wire: Wire
  readonly backend: Backend
  readonly #cache: ConnectionCache
  readonly #idle: Deadline
  #exchange: Responder | null = null
  #head: Head | null = null
  #stash: Stash | null = null
  #inBody = false
  #interims = 0
  /** Requests that it carried. */
  uses = 0
  /** How long it may wait idle, ms. */
  idleMs: number

  constructor(wire: Wire, backend: Backend, cache: ConnectionCache, wheel: DeadlineWheel, idleMs: number) {
    this.wire = wire
    this.backend = backend
    this.#cache = cache
    this.idleMs = idleMs
    this.#idle = new Deadline(wheel, this)
    wire.sink = this
    wire.resume()
  }

  /** Others share what carries it: the backend may hand a request back. */
  get multiplexed(): boolean {
    return this.#cache.multiplexed
  }
  /** Its messages, where what it speaks has marks for fields; null: it has none. */
  get marks(): Marked | null {
    return this.#cache.marksOf(this.wire)
  }
  /** The backend may be asked for another protocol. */
  get takesUpgrades(): boolean {
    return this.#cache.takesUpgrades(this.wire)
  }

  /** Carries one request from now on. */
  assign(exchange: Responder): void {
    this.#idle.clear()
    this.#exchange = exchange
    this.#inBody = false
    this.#interims = 0
    this.uses++
  }

  /** The request is over. `reusable`: both messages were whole, nothing followed, and the backend keeps the connection. */
  release(reusable: boolean): void {
    this.#exchange = null
    if (!reusable || !this.#cache.put(this)) this.close()
    else this.#idle.set(this.idleMs)
  }

  /** Ends it at once; the exchange, if any, hears nothing. */
  close(): void {
    this.#exchange = null
    this.#idle.release()
    this.wire.destroy()
  }

  /** The tunnel has taken the wire. */
  detach(): void {
    this.#exchange = null
    this.#idle.release()
  }

  onDeadline(): void {
    this.#cache.remove(this)
    this.close()
  }
  onThrown(error: unknown): void {
    breakWire(this.wire, error)
  }

  onBytes(bytes: Buffer, length: number): void {
    const exchange = this.#exchange
    if (exchange === null) {
      // Bytes that nobody asked for would be the next client's answer (HTTP.md 19).
      this.#cache.remove(this)
      return this.close()
    }
    if (this.#inBody) return exchange.onResponseBody(bytes, 0, length)
    if (this.#stash === null) return this.#heads(exchange, bytes, 0, length)
    const stash = this.#stash
    stash.append(bytes, length)
    this.#heads(exchange, stash.bytes, 0, stash.length)
  }

  onEnd(): void {
    this.#gone('')
  }

  onClose(code: string): void {
    if (code === FAULT) this.#fault()
    else this.#gone(code === '' ? 'ECONNRESET' : code)
  }

  /** What was read made us throw. @throws Error when no exchange is there to end */
  #fault(): void {
    const exchange = this.#exchange
    if (exchange === null) throw new Error('an error befell a connection to a backend, behind its request')
    exchange.onFault()
    this.close()
  }

  onDrain(): void {
    this.#exchange?.onBackendDrain()
  }

  #gone(code: string): void {
    const exchange = this.#exchange
    if (exchange !== null && code === MALFORMED) return exchange.onBadResponse('the answer is malformed')
    if (exchange !== null) return exchange.onBackendGone(code, this.#stash !== null || this.#interims > 0)
    this.#cache.remove(this)
    this.close()
  }

  #heads(exchange: Responder, buf: Buffer, start: number, end: number): void {
    let base = start
    for (;;) {
      const head = this.#head ?? sharedHead
      if (this.#head === null) head.reset()
      const result = head.parse(buf, base, end, this.#cache.limits, true)
      if (result === BAD) return exchange.onBadResponse(head.problem)
      if (result === MORE) return this.#wait(buf, base, end)
      this.#head = null
      this.#stash = null
      if (!framing.read(head, buf, base)) return exchange.onBadResponse(framing.problem)
      if (head.status === 101) return exchange.onSwitch(head, framing, buf, base, end)
      if (head.status >= 200) {
        this.#inBody = true
        this.#keepAlive(head, buf, base)
        return exchange.onResponse(head, framing, buf, base, end)
      }
      if (++this.#interims > MAX_INTERIM) return exchange.onBadResponse('too many interim answers')
      exchange.onInterim(head, framing, buf, base)
      if (this.#exchange !== exchange) return
      base += head.pos
      if (base === end) return
    }
  }

  /** A head came in part: keeps its bytes, and parses on in a head of its own. */
  #wait(buf: Buffer, base: number, end: number): void {
    if (this.#head === null) {
      this.#head = new Head()
      this.#head.parse(buf, base, end, this.#cache.limits, true)
    }
    if (this.#stash === null || base > 0) this.#stash = new Stash(buf, base, end)
  }

  /** `Keep-Alive: timeout=5`: leave a second before the backend does. */
  #keepAlive(head: Head, buf: Buffer, base: number): void {
    for (let i = 0; i < head.count; i++) {
      if (head.id(i) !== ID['keep-alive']) continue
      const match = /timeout=(\d{1,6})/i.exec(buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i)))
      if (match !== null) this.idleMs = Math.min(this.idleMs, Math.max(0, Number(match[1]) - 1) * 1000)
    }
  }
}

/** The idle connections to one backend in one thread: last in, first out. */
export class ConnectionCache {
  readonly limits: HeadLimits
  readonly multiplexed: boolean = false
  readonly #most: number
  readonly #idle: BackendConnection[] = []
  #closed = false

  constructor(limits: HeadLimits, most: number) {
    this.limits = limits
    this.#most = most
  }

  takesUpgrades(_wire: Wire): boolean {
    return true
  }

  marksOf(_wire: Wire): Marked | null {
    return null
  }

  take(): BackendConnection | undefined {
    return this.#idle.pop()
  }

  /** False: full, or the connection may not wait at all. */
  put(connection: BackendConnection): boolean {
    if (this.#idle.length >= this.#most || connection.idleMs === 0 || this.#closed) return false
    this.#idle.push(connection)
    return true
  }

  remove(connection: BackendConnection): void {
    const at = this.#idle.lastIndexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  /** Ends those that are idle; those in use end with their request. */
  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.close()
  }
}
