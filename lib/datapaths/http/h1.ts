/** One client connection that speaks HTTP/1.1: finds the requests in its bytes, and gives each to an exchange in turn. */
import type { Reason } from '../../board/index.ts'
import { Deadline, type DeadlineOwner, FAULT } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import { breakWire } from '../break-wire.ts'
import type { Session } from '../contract.ts'
import { newId } from '../ids.ts'
import { Relay } from '../tcp/relay.ts'
import type { Wire, WireSink } from '../wire.ts'
import { ConnectionCache } from './backend-connection.ts'
import type { HttpContext } from './context.ts'
import { Exchange } from './exchange.ts'
import { BAD, MORE } from './head.ts'
import { Hop } from './hop.ts'
import { refusedHead } from './refused.ts'
import { reply } from './replies.ts'
import { RequestHead } from './request.ts'
import type { Requester } from './requester.ts'
import { Stash } from './stash.ts'

/** head: waiting for a request, or in its head. body: in its body. wait: all of it has come. tunnel, linger: see below. */
type Mode = 'head' | 'body' | 'wait' | 'tunnel' | 'linger' | 'closed'

const LINGER_MS = 2000 // how long we read on after the last answer, so that a reset does not destroy it on its way
const LINGER_BYTES = 1024 * 1024
const HALF_CLOSED_MS = 500 // a client that sent FIN may still read; one that is gone stops its request this soon

/** Complete heads are parsed here; only one that comes in pieces needs a head of its own. */
const sharedHead = new RequestHead()
const NOTHING = Buffer.alloc(0)

export class H1Session implements Session, WireSink, DeadlineOwner, Requester {
  seat = -1
  readonly marks = null
  readonly wire: Wire
  hop: Hop
  readonly peerAddress: string
  readonly peerPort: number
  readonly client: number
  #context: HttpContext
  readonly #closed: () => void
  readonly #deadline: Deadline
  #mode: Mode = 'head'
  #exchange: Exchange | null = null
  #relay: Relay | null = null
  #ownCaches: Map<Backend, ConnectionCache> | null = null
  /** Bytes read and not yet used: a head in part, a body whose backend is not there yet, pipelined requests. */
  #stash: Stash | null = null
  #head: RequestHead | null = null
  #advancing = false
  #ended = false
  #closing = false
  /** More requests came early than are kept: the connection closes after the answer under way. */
  #dropped = false
  #lingered = 0
  /** Nothing says yet that the client speaks HTTP/1: it may have meant HTTP/2. */
  #doubtful: boolean

  constructor(context: HttpContext, wire: Wire, client: number, closed: () => void, doubtful = false) {
    this.#context = context
    this.wire = wire
    this.client = client
    this.#closed = closed
    this.#doubtful = doubtful
    this.peerAddress = wire.remoteAddress
    this.peerPort = wire.remotePort
    this.hop = new Hop(
      this.peerAddress,
      context.view.tls === null ? 'http' : 'https',
      wire.localPort,
      context.trusts(this.peerAddress),
      context.view.http,
      wire.clientFields,
    )
    this.#deadline = new Deadline(context.wheel, this)
    this.#deadline.set(context.view.timeouts.head)
    wire.sink = this
    context.sessions.add(this)
  }

  start(): void {
    this.wire.resume()
  }

  /** No byte is of use any more. */
  get #over(): boolean {
    return this.#mode === 'closed' || this.#mode === 'linger' || this.#mode === 'tunnel'
  }

  get closing(): boolean {
    return this.#closing || this.#dropped || this.#ended || this.#context.draining
  }

  onBytes(bytes: Buffer, length: number): void {
    if (this.#stash !== null) {
      this.#stash.append(bytes, length)
      return this.#useStash()
    }
    const used = this.#advance(bytes, 0, length)
    if (used < length) this.#keep(bytes, used, length)
  }

  /** Keeps what can't be used yet. Only the rest of a head may make it longer. */
  #keep(buf: Buffer, start: number, end: number): void {
    if (this.#over) return
    this.#stash = new Stash(buf, start, end)
    this.#holdBack()
  }

  /** Can nothing be done with what is kept, until something else has happened? */
  get #held(): boolean {
    return this.#mode !== 'head' || this.wire.pending
  }

  /** Reads no more while what is kept can't be used; of further requests no more is kept than may be. */
  #holdBack(): void {
    const stash = this.#stash
    if (stash === null || !this.#held) return
    this.wire.pause()
    if (this.#mode !== 'wait' || stash.length <= this.#context.view.limits.pipelined) return
    if (this.#exchange?.upgrading === true) return
    this.#stash = null
    this.#dropped = true
  }

  #useStash(): void {
    const stash = this.#stash
    if (stash === null) return
    this.#stash = null
    const used = this.#advance(stash.bytes, 0, stash.length)
    if (used < stash.length && !this.#over) {
      stash.drop(used)
      this.#stash = stash
    }
    this.#holdBack()
  }

  /** Goes on after a pause of our own: with the stash first, then with the wire. */
  #goOn(): void {
    if (this.#advancing || this.#mode === 'closed') return
    if (this.#stash !== null) this.#useStash()
    else if (this.#exchange?.unsent === true) this.#advance(NOTHING, 0, 0)
    const exchange = this.#exchange
    const waits = this.#dropped || (this.#stash !== null && this.#held)
    if (!waits && !this.#ended && !(this.#mode === 'body' && exchange?.requestBlocked === true)) this.wire.resume()
  }

  /** Uses bytes as far as the mode allows; answers where it stopped. */
  #advance(buf: Buffer, start: number, end: number): number {
    this.#advancing = true
    let at = start
    for (;;) {
      const exchange = this.#exchange
      if (this.#mode === 'head') {
        if (at === end || this.wire.pending) break // answers that the client does not read stop its next request
        const next = this.#readHead(buf, at, end)
        if (next === at) break
        at = next
      } else if (this.#mode === 'body' && exchange?.ready === true) {
        if (at === end && !exchange.unsent) break
        if (exchange.requestBlocked) break
        at = exchange.feed(buf, at, end)
        if (this.#exchange !== exchange) continue
        this.onProgress()
        if (exchange.requestDone) this.#mode = 'wait'
      } else if (this.#mode === 'linger') {
        this.#lingered += end - at
        if (this.#lingered > LINGER_BYTES) this.#close()
        at = end
        break
      } else {
        if (this.#mode === 'closed') at = end
        break
      }
    }
    this.#advancing = false
    return at
  }

  /** Parses a head at `at`; answers where it ends, or `at` when more is needed. */
  #readHead(buf: Buffer, at: number, end: number): number {
    if (this.#context.life.latest !== this.#context) this.#renew()
    const { limits, view } = this.#context
    const head = this.#head ?? sharedHead
    if (this.#head === null) head.reset()
    let result = head.parse(buf, at, end, limits, false)
    if (result === MORE && this.#head === null) {
      // The rest comes later: from now on in a head of its own, whose bytes are the stash.
      this.#head = new RequestHead()
      result = this.#head.parse(buf, at, end, limits, false)
      this.#deadline.set(view.timeouts.head)
    }
    if (result === MORE) return at
    this.#head = null
    if (result === BAD || !head.interpret(buf, at, view.http)) {
      this.#refuse(head, buf, at)
      return end
    }
    this.#doubtful = false
    this.#mode = 'wait'
    const exchange = new Exchange(this.#context, this, head, buf, at)
    this.#exchange = exchange
    if (!exchange.requestDone) this.#mode = 'body'
    const next = at + head.pos // the shared head may be another's once the exchange starts
    this.onProgress()
    exchange.start()
    return next
  }

  /** The service has another view by now: this request is the first under it. */
  #renew(): void {
    const { latest } = this.#context
    if (latest === null) {
      this.#closing = true // HTTP is not served like this any more: this request still is
      return
    }
    this.#context = latest
    const { hop } = this
    const trusted = latest.trusts(this.peerAddress)
    this.hop = new Hop(this.peerAddress, hop.scheme, hop.port, trusted, latest.view.http, hop.certificate)
    for (const cache of this.#ownCaches?.values() ?? []) cache.close()
    this.#ownCaches = null
  }

  /** A request that is not forwarded: answered, logged, and the connection closes. A broken preface of HTTP/2 gets no text (RFC 9113 §3.4). */
  #refuse(head: RequestHead, buf: Buffer, base: number): void {
    const { status, problem } = { status: head.error, problem: head.problem }
    const id = newId()
    const mute = this.#doubtful && head.foreign
    const text = mute ? '' : reply({ status, id, detail: problem, json: false, close: true, headOnly: false })
    if (!mute) this.wire.writeText(text)
    const reason: Reason = status === 414 || status === 431 ? 'too-large' : status === 400 ? 'bad-request' : 'refused'
    this.#report(
      refusedHead({ session: this, context: this.#context, head, buf, base, id, reason, bytesOut: text.length }),
    )
    this.#linger()
  }

  #report(record: ReturnType<typeof refusedHead>): void {
    const { cell, accessLog } = this.#context
    cell.request(record.status, record.totalMs)
    cell.bytes(record.bytesIn, record.bytesOut)
    cell.error(record.reason)
    accessLog.write(record)
  }

  /** A connection that tells the backend of this client by a PROXY header carries no other's requests. */
  cacheOf(backend: Backend): ConnectionCache {
    if (backend.sendProxy === 'off') return this.#context.cacheOf(backend)
    this.#ownCaches ??= new Map()
    let cache = this.#ownCaches.get(backend)
    if (cache === undefined) {
      const { limits, view } = this.#context
      cache = new ConnectionCache(limits, Math.min(1, view.http.maxIdleBackendConnections))
      this.#ownCaches.set(backend, cache)
    }
    return cache
  }

  onBodyWanted(): void {
    this.#goOn()
  }

  onProgress(): void {
    const exchange = this.#exchange
    if (exchange === null || this.#ended) return
    this.#deadline.set(exchange.patience)
  }

  onFinished(keep: boolean): void {
    const parting = this.#exchange?.parting === true
    this.#exchange = null
    if (this.#mode === 'tunnel') return this.#close()
    if (!keep || this.#dropped) {
      if (parting && this.#stash === null && this.wire.settled) return this.#close()
      return this.#linger()
    }
    this.#mode = 'head'
    this.#deadline.set(this.#stash === null ? this.#context.view.timeouts.keepAlive : this.#context.view.timeouts.head)
    if (this.#ended && this.#stash === null) return this.#linger()
    this.#goOn()
  }

  onAborted(): void {
    this.#exchange = null
    this.wire.reset()
    this.#close()
  }

  onTunnel(backend: Wire, early: Buffer): void {
    const { wheel, view } = this.#context
    const exchange = this.#exchange as Exchange
    this.#mode = 'tunnel'
    this.#deadline.release()
    const relay = new Relay(this.wire, backend, wheel, view.timeouts.tunnel, ({ by, reason }) =>
      exchange.finishTunnel(relay.received, relay.sent, by, reason),
    )
    this.#relay = relay
    relay.inject(this.#stash?.take() ?? NOTHING, early)
    this.#stash = null
    if (this.#ended) relay.injectEnd()
    relay.start()
  }

  onEnd(): void {
    this.#ended = true
    if (this.#mode === 'linger') return this.#close()
    if (this.#mode === 'body') return this.#abandon()
    if (this.#mode === 'head') return this.#linger()
    // All of the request has come: a client that only closed its writing side still waits for the answer.
    if (this.#exchange !== null) this.#exchange.progressed = false // what went to it before says nothing of now
    this.#deadline.set(HALF_CLOSED_MS)
  }

  onDrain(): void {
    if (this.#exchange !== null) this.#exchange.onClientDrain()
    else if (this.#mode === 'head') this.#goOn()
    else if (this.#mode === 'linger' && this.#ended) this.#close()
  }

  onClose(code: string): void {
    if (code === FAULT) this.onFault()
    else this.#abandon()
  }

  onFault(): void {
    if (this.#mode === 'closed') return
    this.wire.reset()
    this.#exchange?.finish('us', 'internal')
    this.#close() // where the exchange was past its end
  }

  /** The client is gone. */
  #abandon(): void {
    const exchange = this.#exchange
    if (exchange === null) this.#close()
    else exchange.finish('client', 'client-closed')
  }

  onDeadline(): void {
    const exchange = this.#exchange
    if (exchange !== null) {
      if (!this.#ended) return exchange.timeout()
      if (!exchange.progressed) return this.#abandon()
      exchange.progressed = false
      this.#deadline.set(HALF_CLOSED_MS)
      return
    }
    if (this.#mode !== 'head' || this.#head === null) return this.#close()
    this.#head.error = 408
    this.#head.problem = 'the head did not come in time'
    this.#refuse(this.#head, this.#stash?.bytes ?? NOTHING, 0)
  }
  onThrown(error: unknown): void {
    breakWire(this.wire, error)
  }

  /** Our last answer is on its way: says so, and reads on for a while so that no reset destroys it. */
  #linger(): void {
    this.#mode = 'linger'
    this.#stash = null
    this.#head = null
    this.wire.end()
    this.#deadline.set(LINGER_MS)
    if (this.#ended && !this.wire.pending) return this.#close()
    this.wire.resume()
  }

  drain(graceMs: number): void {
    this.#closing = true
    if (this.#mode !== 'head' || this.#head !== null) return
    if (graceMs === 0) this.#linger()
    else if (graceMs < Number.POSITIVE_INFINITY) this.#deadline.set(graceMs)
  }

  since(backendName: string | null): number {
    const exchange = this.#exchange
    if (exchange === null || (backendName !== null && backendName !== exchange.backendName))
      return Number.POSITIVE_INFINITY
    return exchange.startedAt
  }

  cut(backendName: string | null): void {
    if (backendName !== null && this.#exchange?.backendName !== backendName) return
    if (this.#relay !== null) this.#relay.cut()
    else if (this.#exchange !== null) this.#exchange.finish('us', 'cut')
    else this.#close()
  }

  #close(): void {
    if (this.#mode === 'closed') return
    this.#mode = 'closed'
    this.#stash = null
    this.#deadline.release()
    this.wire.destroy()
    for (const cache of this.#ownCaches?.values() ?? []) cache.close()
    this.#context.sessions.delete(this)
    this.#closed()
  }
}
