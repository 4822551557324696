/**
 * One HTTP/2 stream: to its exchange it is a client connection that speaks HTTP/1.1, to its connection a sender of frames.
 * RFC 9113 §5.1 with §5.2: which side has ended, and what either may still send.
 */
import { Deadline, type DeadlineOwner, fault, formatAddress } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { ConnectionCache } from '../http/backend-connection.ts'
import { Exchange } from '../http/exchange.ts'
import { BAD } from '../http/head.ts'
import type { Hop } from '../http/hop.ts'
import { RequestHead } from '../http/request.ts'
import type { Marked, Requester } from '../http/requester.ts'
import type { Outbox } from '../outbox.ts'
import { Relay } from '../tcp/relay.ts'
import { idleSink, type Wire, type WireSink } from '../wire.ts'
import { AnswerSender } from './answer-sender.ts'
import { Carried } from './carried.ts'
import { CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR } from './errors.ts'
import { fieldBlock, joined, memory } from './field-block.ts'
import type { Incoming } from './inbound.ts'
import type { SenderOwner } from './message-sender.ts'
import { RequestFeed } from './request-feed.ts'
import type { RequestWriter } from './request-writer.ts'
import type { H2Session } from './session.ts'

const NOTHING = Buffer.alloc(0)
// For the rest of a request that has its answer: curl 7.88 drops the answer when a reset comes with it.
const LATE_MS = 500

const sharedHead = new RequestHead()

export class H2Stream extends Carried implements Wire, Incoming, Requester, DeadlineOwner, SenderOwner, Marked {
  readonly id: number
  sink: WireSink = idleSink
  readonly answer: AnswerSender
  /** What the client may send. */
  receiveWindow: number
  closed = false
  unindexed: ReadonlySet<string> | null
  readonly #session: H2Session
  readonly #feed: RequestFeed
  readonly #deadline: Deadline
  #exchange: Exchange | null = null
  #relay: Relay | null = null
  /** Where its head lies until it begins; afterwards 0. */
  #headStart: number
  readonly #headEnd: number
  /** It asks for a tunnel. */
  readonly #tunnel: boolean
  #uncredited = 0
  /** Of a tunnel: content is wanted now; its end has been told. */
  #reading = true
  #endTold = false

  /** @param head of a request that has just been written at `headStart`, of the block in hand */
  constructor(session: H2Session, id: number, headStart: number, head: RequestWriter, ended: boolean) {
    super()
    this.#session = session
    this.id = id
    this.answer = new AnswerSender(id, session.peer.initialWindow, session.outbound, this, head.key)
    this.receiveWindow = session.options.streamWindow
    this.unindexed = fieldBlock.unindexed
    this.#feed = new RequestFeed(head, ended)
    this.#headStart = headStart
    this.#headEnd = head.end
    this.#tunnel = head.key !== ''
    this.#deadline = new Deadline(session.context.wheel, this)
  }

  /** The client has sent all of its request. */
  get remoteEnded(): boolean {
    return this.#feed.ended
  }

  get fresh(): boolean {
    return this.#headStart > 0
  }

  // What an exchange asks of its client.

  get wire(): Wire {
    return this
  }
  get marks(): Marked {
    return this
  }
  heed(backend: Marked): void {
    this.answer.origin = backend
  }
  get hop(): Hop {
    return this.#session.hop
  }
  get peerAddress(): string {
    return this.#session.peerAddress
  }
  get peerPort(): number {
    return this.#session.peerPort
  }
  get client(): number {
    return this.#session.client
  }
  /** The connection goes on whatever one answer says. */
  get closing(): boolean {
    return false
  }
  cacheOf(backend: Backend): ConnectionCache {
    return this.#session.cacheOf(backend)
  }

  /** Gives its request to an exchange: the head still lies where it was written. */
  begin(): void {
    const { context } = this.#session
    const head = sharedHead
    const base = this.#headStart
    this.#headStart = 0
    head.reset()
    const result = head.parse(memory, base, this.#headEnd, context.limits, false)
    const understood = result !== BAD && head.interpret(memory, base, context.view.http)
    this.answer.headOnly = head.method === 'HEAD'
    if (understood && !this.#session.serves(memory, base + head.hostStart, base + head.hostEnd)) {
      head.error = 421
      head.problem = 'this connection is not for that host'
    } else if (understood && this.#tunnel && head.upgrade === '') {
      head.error = 501
      head.problem = 'that protocol is not served'
    }
    if (head.error !== 0) return this.#refuse(head, base)
    const exchange = new Exchange(context, this, head, memory, base)
    this.#exchange = exchange
    this.onProgress()
    exchange.start()
  }

  /** A request that is not forwarded: answered and logged. */
  #refuse(head: RequestHead, base: number): void {
    this.writeText(this.#session.refusal(head, memory, base, this.answer.headOnly))
    this.onFinished()
  }

  /** The same of a request without a head. */
  refuse(status: number, problem: string): void {
    const head = sharedHead
    head.reset()
    head.error = status
    head.problem = problem
    this.#headStart = 0
    this.#refuse(head, 0)
  }

  onBodyWanted(): void {
    const exchange = this.#exchange
    if (exchange === null) return
    const bytes = this.#feed.pull(exchange)
    if (bytes === 0) return
    this.#credit(bytes)
    this.onProgress()
  }

  onProgress(): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#deadline.set(exchange.patience)
  }

  onFinished(): void {
    this.#exchange = null
    if (this.closed) return
    if (this.answer.state === 'tunnel') return this.#release()
    if (this.answer.state !== 'whole') return this.abort(INTERNAL_ERROR)
    this.#session.budget.progress()
    if (!this.answer.ended) this.#deadline.set(this.#session.context.view.timeouts.body)
    this.#closeIfOver()
  }

  onAborted(): void {
    this.#exchange = null
    if (!this.closed) this.abort(this.answer.state === 'none' ? CANCEL : INTERNAL_ERROR)
  }

  onFault(): void {
    this.#exchange?.finish('us', 'internal')
    if (!this.closed) this.abort(INTERNAL_ERROR)
  }

  onTunnel(backend: Wire, early: Buffer): void {
    const { wheel, view } = this.#session.context
    const exchange = this.#exchange as Exchange
    this.#deadline.release()
    this.#reading = false
    const relay = new Relay(this, backend, wheel, view.timeouts.tunnel, ({ by, reason }) =>
      exchange.finishTunnel(relay.received, relay.sent, by, reason),
    )
    this.#relay = relay
    const first = this.#feed.take()
    relay.inject(first, early)
    this.#credit(first.length)
    relay.start()
    if (this.answer.forged) relay.cut()
  }

  // What its connection hears of the client.

  /** A piece of content. `last`: there is no more. */
  onData(buf: Buffer, start: number, end: number, last: boolean): void {
    if (!this.#feed.count(end - start, last)) return this.#malformed()
    const exchange = this.#exchange
    if (this.#relay !== null) return this.#tunnelled(buf, start, end)
    if (exchange !== null && !this.#tunnel) {
      this.#credit(this.#feed.push(exchange, buf, start, end))
      this.onProgress()
    } else if (exchange !== null || this.#headStart > 0) this.#feed.keep(buf, start, end)
    else if (last) this.#closeIfOver() // it has been answered: nobody wants the rest
  }

  widen(increment: number): boolean {
    return this.answer.widen(increment)
  }

  /** Lines behind the content. */
  onTrailers(lines: string): void {
    this.unindexed = joined(this.unindexed, fieldBlock.unindexed)
    this.#feed.trailers(lines)
    this.onData(NOTHING, 0, 0, true)
  }

  /** The request is not what it said: nothing of it counts. */
  #malformed(): void {
    const exchange = this.#exchange
    this.abort(PROTOCOL_ERROR)
    exchange?.finish('client', 'bad-request')
  }

  /** The client gave it up, or the connection is gone. */
  onReset(): void {
    this.#leave()
    if (this.#relay !== null) return this.sink.onClose('ECONNRESET')
    this.#exchange?.finish('client', 'client-closed')
  }

  /** So much of the content has gone on: the client may send more. */
  #credit(bytes: number): void {
    this.#uncredited += bytes
    if (this.remoteEnded || this.closed || 2 * this.#uncredited < this.#session.options.streamWindow) return
    this.#session.outbound.windowUpdate(this.id, this.#uncredited)
    this.receiveWindow += this.#uncredited
    this.#uncredited = 0
  }

  /** Bytes that took a part of the window and are no content. */
  onPadding(bytes: number): void {
    this.#credit(bytes)
  }

  onDeadline(): void {
    const exchange = this.#exchange
    if (exchange !== null) return exchange.timeout()
    this.abort(this.answer.ended ? NO_ERROR : CANCEL) // RFC 9113 §8.1
  }
  onThrown(error: unknown): void {
    fault(error, formatAddress(this.remoteAddress, this.remotePort))
    this.onFault()
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
    else this.abort(this.answer.ended ? NO_ERROR : CANCEL)
  }

  // The answer, as the exchange writes it for HTTP/1.1.

  writeText(text: string): boolean {
    return this.closed || this.answer.text(text)
  }
  writeOut(out: Outbox): boolean {
    return this.closed || this.answer.out(out)
  }
  write(bytes: Buffer, start: number, end: number): boolean {
    return this.closed || this.answer.write(bytes, start, end, false)
  }
  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    return this.closed || this.answer.write(bytes, start, end, true)
  }

  onUnsendable(): void {
    this.abort(INTERNAL_ERROR)
  }

  onSent(told: boolean): void {
    if (this.#exchange === null && this.#relay === null) this.#deadline.set(this.#session.context.view.timeouts.body)
    if (told && this.#relay !== null) this.sink.onDrain()
    else if (told) this.#exchange?.onClientDrain()
    this.#closeIfOver()
  }

  /** Everything has been said: the stream is over, or soon is: what is left of the request is not wanted. */
  #closeIfOver(): void {
    if (this.closed || !this.answer.ended || this.#exchange !== null) return
    if (this.remoteEnded) this.#release()
    else if (this.#relay !== null) this.abort(NO_ERROR)
    else this.#deadline.set(LATE_MS)
  }

  /** Ends the stream at once. The exchange hears nothing. */
  abort(code: number): void {
    if (this.closed) return
    this.#session.outbound.reset(this.id, code)
    this.#release()
  }

  #release(): void {
    if (this.closed) return
    this.#leave()
    this.#session.onStreamClosed(this)
  }

  #leave(): void {
    this.closed = true
    this.#deadline.release()
    this.answer.drop()
    this.#feed.drop()
  }

  // The rest of a wire, which tunnels use.

  protected get carrier(): Wire {
    return this.#session.wire
  }
  get pending(): boolean {
    return this.answer.queued
  }
  get borrowing(): boolean {
    return this.answer.queued
  }
  get queued(): number {
    return this.answer.length + this.#session.outbound.queued
  }
  get clientFields(): string {
    return this.#session.wire.clientFields
  }
  covers(authority: string): boolean {
    return this.#session.wire.covers(authority)
  }
  /** What ends a stream takes nothing from what has been sent, but there may be more. */
  get settled(): boolean {
    return !this.answer.queued
  }

  /** Content of a tunnel. */
  #tunnelled(buf: Buffer, start: number, end: number): void {
    if (!this.#reading) this.#feed.keep(buf, start, end)
    else {
      if (end > start) this.sink.onBytes(buf.subarray(start, end), end - start)
      this.#credit(end - start)
    }
    this.#tellEnd()
  }

  #tellEnd(): void {
    if (!this.remoteEnded || this.#endTold || !this.#reading || !this.#feed.empty || this.closed) return
    this.#endTold = true
    this.sink.onEnd()
  }

  pause(): void {
    this.#reading = false
  }

  resume(): void {
    if (this.#relay === null || this.closed) return
    this.#reading = true
    const kept = this.#feed.take()
    if (kept.length > 0) this.sink.onBytes(kept, kept.length)
    this.#credit(kept.length)
    this.#tellEnd()
  }

  end(): void {
    if (!this.closed) this.answer.end()
  }

  destroy(): void {
    this.sink = idleSink
    if (this.closed) return
    if (this.answer.ended && this.remoteEnded) this.#release()
    else this.abort(CANCEL)
  }

  /** What is a reset of TCP is a CANCEL here (RFC 8441 §5). */
  reset(): void {
    this.sink = idleSink
    this.abort(CANCEL)
  }
}
