/** One client connection of node:http: gives its requests to exchanges, one after the other. */
import type { IncomingMessage } from 'node:http'
import { codeOf, Deadline, type DeadlineOwner } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import { breakWire } from '../break-wire.ts'
import type { Session } from '../contract.ts'
import { reply } from '../http/replies.ts'
import { newId } from '../ids.ts'
import { Linger } from '../linger.ts'
import { Relay } from '../tcp/relay.ts'
import type { Wire } from '../wire.ts'
import { BackendAgent } from './agent.ts'
import { Answer } from './answer.ts'
import type { ProxyEngine } from './engine.ts'
import { ProxyExchange } from './exchange.ts'
import { fieldsOf, isRefusal, type Refusal, refusal } from './fields.ts'
import type { Hop } from './forward.ts'
import { HeadWatch } from './head-watch.ts'
import { refusedHead } from './refused.ts'
import { bytesOf, interpret } from './request.ts'
import type { Requester } from './requester.ts'
import { type StreamOwner, WireStream } from './wire-stream.ts'

/** open: requests come and are answered. The others: see `#linger` and `onTunnel`. */
type Mode = 'open' | 'tunnel' | 'linger' | 'closed'

const HALF_CLOSED_MS = 500 // a client that sent FIN may still read; one that is gone stops its request this soon
const NOTHING = Buffer.alloc(0)
const EMPTY_LINE = '\r\n\r\n' // what a head, or a chunked body, ends with and the beginning of a head does not

/** What node:http found in the client's bytes: a request, or what is not one. */
type Arrival = { readonly req: IncomingMessage; readonly res: Answer } | Upgrade | Refusal

/** A request that asks for another protocol: node:http has left the connection, `early` is what it had read behind the head. */
interface Upgrade {
  readonly req: IncomingMessage
  readonly early: Buffer
}

export class ProxySession implements Session, StreamOwner, DeadlineOwner, Requester {
  seat = -1
  readonly wire: Wire
  hop: Hop
  readonly peerPort: number
  readonly client: number
  #engine: ProxyEngine
  readonly #closed: () => void
  readonly #deadline: Deadline
  readonly #arrivals: Arrival[] = []
  readonly #watch: HeadWatch
  #stream: WireStream
  #mode: Mode = 'open'
  #exchange: ProxyExchange | null = null
  #relay: Relay | null = null
  #ownAgents: Map<Backend, BackendAgent> | null = null
  #lingering: Linger | null = null
  /** Bytes behind the request being served, which may upgrade: node:http has left the connection. */
  #early: Buffer | null = null
  /** A head has begun and is not whole; it is watched from its first byte. */
  #inHead = false
  #watched = false
  /** The last bytes that came. '': none yet, or none that matter. */
  #tail = ''
  /** The last request had a body of a known length: its last bytes can be any. */
  #opaque = false
  #ended = false
  #closing = false
  #sentBefore = 0
  /** Bytes that came behind the request being served. */
  #kept = 0
  /** More came than are kept: the connection closes after the answer under way. */
  #dropped = false

  constructor(engine: ProxyEngine, wire: Wire, client: number, closed: () => void) {
    const { context } = engine
    this.#engine = engine
    this.client = client
    this.wire = wire
    this.#closed = closed
    this.peerPort = wire.remotePort
    this.hop = {
      address: wire.remoteAddress,
      scheme: context.view.tls === null ? 'http' : 'https',
      port: wire.localPort,
      trusted: context.trusts(wire.remoteAddress),
      certificate: wire.clientFields,
    }
    this.#watch = new HeadWatch(context.view.http.maxTarget, context.view.http.maxHead)
    this.#deadline = new Deadline(context.wheel, this)
    this.#deadline.set(context.view.timeouts.head)
    this.#stream = new WireStream(wire, this)
    context.sessions.add(this)
  }

  start(): void {
    this.#engine.connect(this.#stream, this)
  }

  get closing(): boolean {
    return this.#closing || this.#dropped || this.#ended || this.#engine.context.draining
  }
  get written(): number {
    return this.#sentBefore + this.#stream.sent
  }
  get pending(): boolean {
    return this.#stream.pending
  }
  get queued(): number {
    return this.#stream.queued
  }

  onArrival(bytes: Buffer, length: number): boolean {
    if (this.#mode !== 'open' || this.#dropped) return false
    if (this.#exchange?.requestDone === true) this.#kept += length
    const between = this.#exchange === null && !this.#inHead
    if (between) this.#headBegins(this.#tail === '' || this.#tail === EMPTY_LINE)
    this.#tail = (this.#tail + bytes.toString('latin1', Math.max(0, length - 4), length)).slice(-4)
    if (this.#exchange !== null || !this.#watched) return true
    const refused = this.#watch.take(bytes, length)
    if (refused !== null) this.#refuse(refused, null)
    return refused === null
  }

  /** @param watched its first byte is the next one; else it began in the read that ended the request before */
  #headBegins(watched: boolean): void {
    this.#inHead = true
    this.#watched = watched
    this.#watch.begin()
    this.#deadline.set(this.#engine.context.view.timeouts.head)
  }

  onRead(): void {
    const exchange = this.#exchange
    if (exchange?.requestDone === true) this.#limitKept(exchange)
    if (this.#inHead && this.#watched && this.#watch.overlong)
      this.#refuse(refusal(431, 'the fields are too large'), null)
  }

  /**
   * Of further requests no more is kept than may be. What came in one read with the end of the request before is counted as
   * node:http has parsed it, what came later as it came; more than one read of that does not come.
   */
  #limitKept(exchange: ProxyExchange): void {
    if (this.#kept > 0) this.#stream.hold(true)
    if (exchange.handedOver) return // only the client's reading is waited for: no more is read, and nothing is lost
    const parsed = this.#arrivals.reduce((sum, arrival) => sum + sizeOf(arrival), 0)
    if ((this.#kept || parsed) <= this.#engine.context.view.limits.pipelined) return
    this.#dropped = true
    this.#arrivals.length = 0
    this.#stream.hold(true)
  }

  onRequest(req: IncomingMessage, res: Answer): void {
    this.#arrived({ req, res })
  }

  onUpgrade(req: IncomingMessage, early: Buffer): void {
    this.#stream.hold(true)
    this.#arrived({ req, early })
  }

  /** What came is not HTTP as node:http reads it. */
  onMalformed(error: Error & { rawPacket?: unknown }): void {
    if (this.#mode !== 'open') return
    const head = Buffer.isBuffer(error.rawPacket) ? error.rawPacket.toString('latin1', 0, 64 * 1024) : ''
    const what =
      codeOf(error) === 'HPE_HEADER_OVERFLOW'
        ? refusal(431, 'the fields are too large')
        : codeOf(error) === 'HPE_INVALID_VERSION' && / HTTP\/[2-9]\.\d\r\n/.test(head.slice(0, head.indexOf('\n') + 1))
          ? refusal(505, 'this is not HTTP/1')
          : refusal(400, 'the request is malformed')
    if (this.#arrivals.length === 0 && this.#exchange?.requestDone === false) this.#exchange.malformed(what.problem)
    else this.#arrived(what)
  }

  #arrived(arrival: Arrival): void {
    if (this.#mode !== 'open' || this.#dropped) return
    if ('req' in arrival) arrival.req.on('error', () => {}) // the connection's end is told by the stream
    this.#inHead = false
    this.#arrivals.push(arrival)
    if (this.#exchange === null) this.#next()
    else this.#stream.hold(true)
  }

  /** Serves the next request that is there, or waits for one. */
  #next(): void {
    const arrival = this.#arrivals.shift()
    const left = arrival !== undefined && 'early' in arrival
    if (this.#arrivals.length === 0 && !left) {
      this.#kept = 0
      this.#stream.hold(false)
    }
    if (arrival === undefined) return this.#wait()
    if (!('req' in arrival)) return this.#refuse(arrival, null)
    const { req } = arrival
    if (this.#engine.latest !== this.#engine) this.#renew()
    const head = interpret(req, this.#engine.context.view.http)
    if (isRefusal(head)) return this.#refuse(head, req)
    if (left && head.upgrade === '') return this.#reopen(withoutUpgrade(req), arrival.early)
    const res = left ? this.#answerTo(arrival) : arrival.res
    const exchange = new ProxyExchange(this.#engine, this, head, req, res)
    this.#exchange = exchange
    this.#opaque = head.framing.length > 0
    this.onProgress()
    exchange.start()
    const [behind] = this.#arrivals
    if (behind !== undefined && !('req' in behind) && !exchange.requestDone) exchange.malformed(behind.problem)
  }

  /** The service has another view by now: this request is the first under it. */
  #renew(): void {
    const { latest } = this.#engine
    if (latest === null) {
      this.#closing = true // HTTP is not served like this any more: this request still is
      return
    }
    this.#engine = latest
    this.hop = { ...this.hop, trusted: latest.context.trusts(this.hop.address) }
    for (const agent of this.#ownAgents?.values() ?? []) agent.retire()
    this.#ownAgents = null
  }

  /** node:http has made no answer for a request that may upgrade. */
  #answerTo({ req, early }: Upgrade): Answer {
    const res = new Answer(req)
    res.assignSocket(this.#engine.asSocket(this.#stream))
    this.#early = early
    return res
  }

  /** Between two requests. */
  #wait(): void {
    if (this.closing) return this.#linger()
    if (this.#tail !== EMPTY_LINE && !this.#opaque) return this.#headBegins(false)
    this.#deadline.set(this.#engine.context.view.timeouts.keepAlive)
  }

  /** A request that is not forwarded: answered, logged, and the connection closes. */
  #refuse({ status, problem }: Refusal, req: IncomingMessage | null): void {
    const { cell, accessLog, view } = this.#engine.context
    const { hop, peerPort } = this
    const id = newId()
    const text = reply({ status, id, detail: problem, json: false, close: true, headOnly: false })
    const record = refusedHead({ view, hop, peerPort, req, id, status, bytesOut: text.length })
    cell.request(status, 0)
    cell.bytes(record.bytesIn, record.bytesOut)
    cell.error(record.reason)
    accessLog.write(record)
    this.#linger(text)
  }

  /** A connection that tells the backend of this client by a PROXY header carries no other's requests. */
  agentOf(backend: Backend): BackendAgent {
    if (backend.sendProxy === 'off') return this.#engine.agentOf(backend)
    this.#ownAgents ??= new Map()
    let agent = this.#ownAgents.get(backend)
    if (agent === undefined) {
      agent = new BackendAgent(Math.min(1, this.#engine.context.view.http.maxIdleBackendConnections))
      this.#ownAgents.set(backend, agent)
    }
    return agent
  }

  writeText(text: string): void {
    this.#stream.write(text, 'latin1')
  }

  gather(): void {
    const stream = this.#stream
    stream.cork()
    process.nextTick(() => stream.uncork())
  }

  onProgress(): void {
    const exchange = this.#exchange
    if (exchange === null || this.#ended || this.#mode !== 'open') return
    const { timeouts } = this.#engine.context.view
    if (!exchange.requestDone) this.#deadline.set(exchange.patience)
    else this.#deadline.set(exchange.answered ? timeouts.body : timeouts.firstByte)
  }

  onFinished(keep: boolean): void {
    this.#exchange = null
    if (this.#mode === 'tunnel') return this.#close()
    if (this.#mode !== 'open') return
    if (!keep || this.closing) return this.#linger()
    if (this.#early === null) return this.#next()
    this.#tail = EMPTY_LINE
    this.#reopen('', this.#early)
    if (this.#exchange === null && !this.#inHead) this.#wait()
  }

  /**
   * Gives the connection to node:http again: behind a request that was not upgraded, or, with its head, in front of one that
   * will not be. (Told not to upgrade it would read on, but keep silent about what is malformed from there on.)
   */
  #reopen(head: string, early: Buffer): void {
    this.#early = null
    this.#sentBefore += this.#stream.sent
    this.#stream.detach()
    this.#stream = new WireStream(this.wire, this)
    this.#engine.connect(this.#stream, this)
    if (head !== '') this.#headBegins(false)
    else if (early.length === 0 || !this.onArrival(early, early.length)) return
    this.#stream.inject(Buffer.concat([Buffer.from(head, 'latin1'), early]))
  }

  onAborted(): void {
    this.#exchange = null
    this.#stream.detach()?.reset()
    this.#close()
  }

  onTunnel(head: string, backend: Wire, early: Buffer): void {
    const { wheel, view } = this.#engine.context
    const exchange = this.#exchange as ProxyExchange
    this.#mode = 'tunnel'
    this.#deadline.release()
    this.#stream.detach()
    this.wire.writeText(head)
    const relay = new Relay(this.wire, backend, wheel, view.timeouts.tunnel, ({ by, reason }) =>
      exchange.finishTunnel(relay.received, relay.sent, by, reason),
    )
    this.#relay = relay
    relay.inject(this.#early ?? NOTHING, early)
    if (this.#ended) relay.injectEnd()
    relay.start()
  }

  onPeerEnd(): void {
    this.#ended = true
    const exchange = this.#exchange
    if (exchange === null) return this.#linger()
    // What was read may still be on its way through node:http: then the time limit decides.
    if (!exchange.requestDone && this.#stream.readableLength === 0) return exchange.finish('client', 'client-closed')
    this.#deadline.set(HALF_CLOSED_MS)
  }

  onFlushed(): void {
    this.#exchange?.onClientFlushed()
  }

  onLastWrite(): void {
    if (this.#exchange === null) this.#linger()
  }

  onGone(): void {
    if (this.#mode !== 'open') return
    if (this.#exchange === null) this.#close()
    else this.#exchange.finish('client', 'client-closed')
  }

  onDeadline(): void {
    const exchange = this.#exchange
    if (exchange !== null) {
      if (!this.#ended) return exchange.timeout()
      if (!exchange.progressed) return exchange.finish('client', 'client-closed')
      exchange.progressed = false
      return this.#deadline.set(HALF_CLOSED_MS)
    }
    if (this.#inHead) this.#refuse(refusal(408, 'the head did not come in time'), null)
    else this.#close()
  }
  onThrown(error: unknown): void {
    breakWire(this.wire, error)
  }

  /** Our last answer is on its way: says `text` and that nothing follows, and reads on for a while. */
  #linger(text = ''): void {
    if (this.#mode !== 'open') return
    this.#mode = 'linger'
    this.#arrivals.length = 0
    this.#deadline.release()
    const wire = this.#stream.detach()
    if (wire === null) return this.#close()
    if (text !== '') wire.writeText(text)
    const lingering = new Linger(wire, this.#engine.context.wheel, this.#ended, () => this.#close())
    this.#lingering = lingering
  }

  drain(graceMs: number): void {
    this.#closing = true
    if (this.#mode !== 'open' || this.#exchange !== null || this.#inHead) return
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
    else if (this.#lingering !== null) this.#lingering.end()
    else this.#close()
  }

  #close(): void {
    if (this.#mode === 'closed') return
    this.#mode = 'closed'
    this.#arrivals.length = 0
    this.#deadline.release()
    this.#stream.detach()?.destroy()
    for (const agent of this.#ownAgents?.values() ?? []) agent.destroy()
    this.#engine.context.sessions.delete(this)
    this.#closed()
  }
}

/** What a request takes that waits its turn. */
function sizeOf(arrival: Arrival): number {
  if (!('req' in arrival)) return 0
  const { method = '', url = '', rawHeaders, readableLength } = arrival.req
  const early = 'early' in arrival ? arrival.early.length : 0
  return bytesOf({ method, target: url, fields: fieldsOf(rawHeaders) }) + readableLength + early
}

/** The head of a request, without its Upgrade. */
function withoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const fields = fieldsOf(rawHeaders).filter(({ key }) => key !== 'upgrade')
  return `${method} ${url} HTTP/${httpVersion}\r\n${fields.map(({ name, value }) => `${name}: ${value}\r\n`).join('')}\r\n`
}
