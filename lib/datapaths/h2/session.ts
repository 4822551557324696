/** One client connection that speaks HTTP/2: its streams, its windows, and its end. */
import { Deadline, type DeadlineOwner } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import { breakWire } from '../break-wire.ts'
import type { Session } from '../contract.ts'
import { ConnectionCache } from '../http/backend-connection.ts'
import type { HttpContext } from '../http/context.ts'
import { Hop } from '../http/hop.ts'
import { refusedHead } from '../http/refused.ts'
import { reply } from '../http/replies.ts'
import { RequestHead } from '../http/request.ts'
import { newId } from '../ids.ts'
import { Linger } from '../linger.ts'
import type { Wire, WireSink } from '../wire.ts'
import { ClientInbound } from './client-inbound.ts'
import { ClientOutbound } from './client-outbound.ts'
import { ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM } from './errors.ts'
import { type FieldBlock, headsStart, memory } from './field-block.ts'
import { FrameBudget, RESET_WEIGHT } from './frame-budget.ts'
import type { Receiver } from './inbound.ts'
import { MAX_WINDOW, Peer } from './peer.ts'
import { RequestWriter, roomFor } from './request-writer.ts'
import { Resets } from './resets.ts'
import { H2Stream } from './stream.ts'

const DRAIN_MS = 1000 // for the answer to our PING between the two GOAWAYs (RFC 9113 §6.8)
const MAX_STREAM = 2 ** 31 - 1
const DRAIN_PING = Buffer.from('evenkeel')

const writer = new RequestWriter()
const malformed = new RequestHead()
/** Requests of the read under way, whose heads lie in the shared memory: they begin when all of it has been looked at. */
const fresh: H2Stream[] = []
let headsEnd = headsStart

/** open: takes streams. leaving: has said that it will not for long. gone: takes none. closed: over. */
type Phase = 'open' | 'leaving' | 'gone' | 'closed'

export class H2Session implements Session, Receiver, WireSink, DeadlineOwner {
  seat = -1
  context: HttpContext
  readonly wire: Wire
  readonly client: number
  hop: Hop
  readonly peerAddress: string
  readonly peerPort: number
  readonly options: HttpContext['view']['http']['http2']
  readonly streams = new Map<number, H2Stream>()
  readonly peer = new Peer()
  readonly budget: FrameBudget
  readonly outbound: ClientOutbound
  /** What the client reset. */
  readonly abandoned = new Resets()
  readonly #closed: () => void
  readonly #inbound: ClientInbound
  readonly #deadline: Deadline
  #ownCaches: Map<Backend, ConnectionCache> | null = null
  #phase: Phase = 'open'
  /** It is not read until what we have to say has gone. */
  #paused = false
  /** The last stream that is served, as the client was told; never more (RFC 9113 §6.8). */
  #told = MAX_STREAM
  /** The host that it was last found to serve. */
  #host = ''

  constructor(context: HttpContext, wire: Wire, client: number, closed: () => void) {
    this.context = context
    this.wire = wire
    this.client = client
    this.#closed = closed
    const { view, wheel } = context
    this.options = view.http.http2
    this.peerAddress = wire.remoteAddress
    this.peerPort = wire.remotePort
    const scheme = view.tls === null ? 'http' : 'https'
    const trusted = context.trusts(this.peerAddress)
    this.hop = new Hop(this.peerAddress, scheme, wire.localPort, trusted, view.http, wire.clientFields, '2.0')
    this.budget = new FrameBudget(this.options.frameBudget, wheel.now)
    this.outbound = new ClientOutbound(context.cell, wire, this.budget)
    this.#inbound = new ClientInbound(this)
    this.#deadline = new Deadline(wheel, this)
    this.#deadline.set(view.timeouts.head)
    wire.sink = this
    context.sessions.add(this)
  }

  start(): void {
    this.outbound.greet(this.context)
    this.#inbound.open()
    this.wire.resume()
  }

  get wheel(): HttpContext['wheel'] {
    return this.context.wheel
  }
  get limits(): HttpContext['limits'] {
    return this.context.limits
  }

  /** Nothing is read or said any more. */
  get over(): boolean {
    return this.#phase === 'closed'
  }

  onBytes(bytes: Buffer, length: number): void {
    this.#inbound.take(bytes, length)
    this.#dispatch()
    if (this.context.draining && this.#inbound.settled) this.drain(0)
    if (this.over || !this.outbound.overfull) return
    this.#paused = true
    this.wire.pause()
  }

  /** The requests of this read that are still wanted begin: none cost a backend anything before (CVE-2023-44487). */
  #dispatch(): void {
    for (let i = 0; i < fresh.length; i++) {
      const stream = fresh[i] as H2Stream
      if (!stream.closed) stream.begin()
    }
    fresh.length = 0
    headsEnd = headsStart
  }

  /** A header block that opens a stream. */
  onRequest(id: number, block: FieldBlock, ended: boolean): void {
    if (this.disregards(id)) {
      if (!this.budget.spend(1, this.context.wheel.now)) this.#calm()
      return
    }
    if (this.context.life.latest !== this.context) this.#renew()
    if (this.streams.size >= this.options.maxStreams) {
      this.outbound.reset(id, REFUSED_STREAM)
      if (!this.budget.spend(RESET_WEIGHT, this.context.wheel.now)) this.#calm()
      return
    }
    if (headsEnd + roomFor(block) > memory.length) this.#dispatch()
    if (block.tooLarge) writer.clear()
    else if (!writer.write(block, headsEnd, ended)) {
      this.#report(400, writer.problem)
      this.outbound.reset(id, PROTOCOL_ERROR)
      if (!this.budget.spend(RESET_WEIGHT, this.context.wheel.now)) this.#calm()
      return
    }
    const stream = new H2Stream(this, id, headsEnd, writer, ended)
    this.streams.set(id, stream)
    if (this.streams.size === 1 && this.#phase === 'open') this.#deadline.clear()
    if (block.tooLarge) return stream.refuse(431, 'the fields are too large')
    fresh.push(stream)
    headsEnd = writer.end
  }

  /** The service has another view by now: requests from this one on are served under it. */
  #renew(): void {
    const { latest } = this.context
    if (latest === null) return this.drain(0) // HTTP is not served like this any more: what has come still is
    this.context = latest
    const { hop } = this
    const trusted = latest.trusts(this.peerAddress)
    this.hop = new Hop(this.peerAddress, hop.scheme, hop.port, trusted, latest.view.http, hop.certificate, '2.0')
    for (const cache of this.#ownCaches?.values() ?? []) cache.close()
    this.#ownCaches = null
  }

  #calm(): void {
    this.fail(ENHANCE_YOUR_CALM, 'too many frames that move nothing')
  }

  onStreamClosed(stream: H2Stream): void {
    this.streams.delete(stream.id)
    if (this.streams.size > 0 || this.over) return
    if (this.#phase === 'gone') this.#close()
    else if (this.#phase === 'open') this.#deadline.set(this.context.view.timeouts.keepAlive)
  }

  /** Is a request for this authority for us? What the connection began with is; another name must be the certificate's. */
  serves(buf: Buffer, start: number, end: number): boolean {
    const host = this.hop.authority(buf, start, end)
    if (host === this.#host) return true
    if (this.#host !== '' && !this.wire.covers(host)) return false
    this.#host = host
    return true
  }

  cacheOf(backend: Backend): ConnectionCache {
    if (backend.sendProxy === 'off') return this.context.cacheOf(backend)
    this.#ownCaches ??= new Map()
    let cache = this.#ownCaches.get(backend)
    if (cache === undefined) {
      const { limits, view } = this.context
      cache = new ConnectionCache(limits, Math.min(this.options.maxStreams, view.http.maxIdleBackendConnections))
      this.#ownCaches.set(backend, cache)
    }
    return cache
  }

  /** Our answer to a request that is not forwarded; it is logged. */
  refusal(head: RequestHead, buf: Buffer, base: number, headOnly: boolean): string {
    const { error: status, problem } = head
    const id = newId()
    const text = reply({ status, id, detail: problem, json: false, close: false, headOnly })
    const reason = status === 414 || status === 431 ? 'too-large' : status === 400 ? 'bad-request' : 'refused'
    this.#log(refusedHead({ session: this, context: this.context, head, buf, base, id, reason, bytesOut: text.length }))
    return text
  }

  /** A request that was reset before it became one. */
  #report(status: number, problem: string): void {
    malformed.reset()
    malformed.error = status
    malformed.problem = problem
    const what = { session: this, context: this.context, head: malformed, buf: memory, base: 0, id: newId() }
    this.#log(refusedHead({ ...what, reason: 'bad-request', bytesOut: 0 }))
  }

  #log(record: ReturnType<typeof refusedHead>): void {
    const { cell, accessLog } = this.context
    cell.request(record.status, record.totalMs)
    cell.bytes(record.bytesIn, record.bytesOut)
    cell.error(record.reason)
    accessLog.write({ ...record, version: '2.0' })
  }

  // What the client says of the connection.

  onSettings(buf: Buffer, start: number, end: number): number {
    const before = this.peer.initialWindow
    const error = this.peer.read(buf, start, end)
    if (error !== NO_ERROR) return error
    this.outbound.acknowledge(this.peer.headerTable)
    const change = this.peer.initialWindow - before
    if (change === 0) return NO_ERROR
    // Of all streams before any sends: what one does may end others.
    for (const stream of this.streams.values()) {
      stream.answer.window += change
      if (stream.answer.window > MAX_WINDOW) return FLOW_CONTROL_ERROR
    }
    if (change > 0) for (const stream of [...this.streams.values()]) stream.answer.pump()
    return NO_ERROR
  }

  /** Both sides may begin. */
  onGreeted(): void {
    this.#deadline.set(this.context.view.timeouts.keepAlive)
  }

  onPingAnswered(): void {
    if (this.#phase === 'leaving') this.#leave()
  }

  /** The client goes; its requests are still answered. */
  onGoaway(): void {
    if (this.#phase === 'open' || this.#phase === 'leaving') this.#leave()
  }

  onResetReceived(id: number): void {
    if (this.streams.has(id)) this.abandoned.add(id)
    this.context.cell.http2Reset('client')
  }

  /** The client has been told that this stream is not looked at. */
  disregards(id: number): boolean {
    return id > this.#told
  }

  #goaway(code: number, problem: string): void {
    this.#told = Math.min(this.#told, this.#inbound.last)
    this.outbound.goaway(this.#told, code, problem)
  }

  // Its end.

  /** The client broke the protocol, or our patience: told, and cut. */
  fail(code: number, problem: string): void {
    if (this.over) return
    this.context.cell.http2Error(code)
    this.#goaway(code, problem)
    this.#abandon()
    this.#close()
  }

  /** Ends all streams: nobody reads their answers. */
  #abandon(): void {
    for (const stream of [...this.streams.values()]) {
      stream.onReset()
      this.streams.delete(stream.id)
    }
  }

  onEnd(): void {
    this.#phase = 'gone'
    this.#abandon()
    this.#close(true)
  }

  onClose(): void {
    this.#phase = 'gone'
    this.#abandon()
    this.#gone()
  }

  onDrain(): void {
    this.outbound.drained()
    if (!this.#paused || this.outbound.overfull) return
    this.#paused = false
    this.wire.resume()
  }

  onDeadline(): void {
    if (this.#phase === 'leaving') return this.#leave()
    if (this.streams.size > 0) return
    if (!this.#inbound.settled) return this.#destroy()
    this.#goaway(NO_ERROR, '')
    this.#close()
  }
  onThrown(error: unknown): void {
    breakWire(this.wire, error)
  }

  drain(graceMs: number): void {
    if (this.#phase !== 'open') return
    if (!this.#inbound.settled) {
      if (graceMs === 0) this.#destroy()
      return // it is told with its SETTINGS
    }
    this.#phase = 'leaving'
    this.outbound.goaway(MAX_STREAM, NO_ERROR, '')
    this.outbound.ping(DRAIN_PING, 0, 0)
    this.#deadline.set(DRAIN_MS)
  }

  /** What the client sent before it knew has come: no more streams. */
  #leave(): void {
    this.#phase = 'gone'
    this.#deadline.clear()
    this.#goaway(NO_ERROR, '')
    if (this.streams.size === 0) this.#close()
  }

  since(backendName: string | null): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const stream of this.streams.values()) oldest = Math.min(oldest, stream.since(backendName))
    return oldest
  }

  cut(backendName: string | null): void {
    for (const stream of [...this.streams.values()]) stream.cut(backendName)
    if (backendName !== null || this.over) return
    this.#goaway(NO_ERROR, '')
    this.#close()
  }

  /** Our last frames are on their way; reads on for a while so that no reset destroys them. */
  #close(ended = false): void {
    if (this.over) return
    this.#phase = 'closed'
    this.#deadline.release()
    this.outbound.finish()
    new Linger(this.wire, this.context.wheel, ended, () => this.#finish())
  }

  #destroy(): void {
    this.#abandon()
    this.wire.destroy()
    this.#gone()
  }

  #gone(): void {
    if (this.over) return
    this.#phase = 'closed'
    this.#deadline.release()
    this.outbound.close()
    this.#finish()
  }

  #finish(): void {
    for (const cache of this.#ownCaches?.values() ?? []) cache.close()
    this.context.sessions.delete(this)
    this.#closed()
  }
}
