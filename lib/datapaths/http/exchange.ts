/**
 * One request and its answer: the only file that knows the order of the phases.
 *
 * queue (pick a backend, hold for the first probe results) → connect (an idle connection, or a dial) → request (head and
 * body out) → response (head and body back) → done. `finish` ends it once, from any phase.
 */
import type { Reason } from '../../board/index.ts'
import { nowMs } from '../../core/index.ts'
import type { Reply } from '../../filters/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { Dialled } from '../dial.ts'
import { newId } from '../ids.ts'
import { type Outbox, outbox } from '../outbox.ts'
import { UNAVAILABLE } from '../placed-flow.ts'
import { formatHeader } from '../proxy-protocol/format.ts'
import type { Wire } from '../wire.ts'
import { changedHead, markedHead } from './answer-head.ts'
import { Asked } from './asked.ts'
import { BackendConnection, type Responder, STREAM_RESET, UNTOUCHED } from './backend-connection.ts'
import { blameOf } from './blame.ts'
import { Body, type BodyKind } from './body.ts'
import type { HttpContext } from './context.ts'
import { firstText, requestIdOf } from './field-text.ts'
import { ID } from './fields.ts'
import type { Filtered } from './filtering.ts'
import { forwardResponse, type ResponseFraming, type ResponseHop, withHost, writeResponse } from './forward.ts'
import type { Framing } from './framing.ts'
import { callEnd, callReply, callStatus, statusInHead, statusInTrailers } from './grpc.ts'
import type { Head } from './head.ts'
import { Packing, type PackingOwner, packedHead } from './packing.ts'
import { givenReply, reply } from './replies.ts'
import type { RequestHead } from './request.ts'
import { RequestFlow, type Taker } from './request-flow.ts'
import type { Marked, Requester } from './requester.ts'
import { Upload } from './upload.ts'

const ENDED = 'the call was ended before its answer was whole'
const ANY_RATE = { rate: 0, grace: 0 }
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const MOST = Number.MAX_SAFE_INTEGER // bytes of an answer: no limit
const INTERIM: ResponseHop = { body: 'none', connection: '', upgrade: '', trailers: false }

export class Exchange extends RequestFlow implements Responder, PackingOwner {
  protected readonly client: Requester
  readonly #asked: Asked
  readonly #request: Upload
  #response: Body | null = null
  /** The answer's body on its way through a compressor, in place of `#response`. */
  #packing: Packing | null = null
  #connection: BackendConnection | null = null
  #reusable = false
  /** When the answer began, while the same read is still being worked on: then its end needs no look at the clock. */
  #now = 0

  /** `head` has been interpreted; everything needed of `buf` is read here. */
  constructor(context: HttpContext, client: Requester, head: RequestHead, buf: Buffer, base: number) {
    const { hop } = client
    super(
      context,
      hop.trusted ? context.clientOf(head, buf, base, client.peerAddress) : client.peerAddress,
      client.peerPort,
      (hop.trusted && requestIdOf(head, buf, base)) || newId(),
      head.expectContinue,
    )
    this.client = client
    this.#asked = new Asked(context, client, this.clientAddress, this.id, head, buf, base)
    this.hashKey = this.#asked.hashKey
    this.bytesIn = head.pos
    this.#request = new Upload(head.framing, context.view.http.maxBody ?? Number.MAX_SAFE_INTEGER)
  }

  get method(): string {
    return this.#asked.method
  }
  get target(): string {
    return this.#asked.target
  }
  get host(): string {
    return this.#asked.host
  }
  get version(): string {
    return this.#asked.minor === 0 ? '1.0' : this.client.hop.version
  }
  get referer(): string {
    return this.#asked.referer
  }
  get userAgent(): string {
    return this.#asked.userAgent
  }

  override get requestDone(): boolean {
    return this.#request.done
  }

  /** Its client has said that nothing follows this request, which is without a body: nothing can be on its way. */
  get parting(): boolean {
    return !this.#asked.keepAlive && this.#request.empty
  }

  /** The head waits for the first bytes of the body, to go out with them. */
  get unsent(): boolean {
    return this.#request.unsent
  }

  /** The backend is there and takes the request's body. */
  get ready(): boolean {
    return this.#connection !== null
  }

  protected override get filtered(): Filtered | null {
    return this.#asked.filtered
  }

  protected override get tooLarge(): boolean {
    return this.#request.exceeds(this.context.view.http.maxBody)
  }

  protected override readKeys(): void {
    if (this.#asked.keyValues !== null)
      this.affinityKey = this.context.affinityFields?.keyOf(this.#asked.keyValues, this.place) ?? ''
  }

  /** Answers as a filter says. */
  protected override give(given: Reply): void {
    if (given.detail !== null) return this.refuse(given.status, 'refused', given.detail)
    const keep = this.#keeps()
    this.status = given.status
    const text = givenReply(given, !keep, this.#asked.headOnly)
    this.bytesOut += text.length
    this.client.wire.writeText(text)
    this.closeAfter = !keep
    this.end('', '', true)
  }

  protected override useIdle(backend: Backend): boolean {
    const connection = this.client.cacheOf(backend).take()
    if (connection === undefined) return false
    this.connectMs = 0
    this.sentAt = this.begunAt + this.queueMs // no look at the clock: the request goes out in the tick that it came in
    this.#send(connection)
    return true
  }

  protected override dial(backend: Backend, done: Dialled): { cancel(): void } {
    return this.context.streamsOf(backend)?.dial(done) ?? super.dial(backend, done)
  }

  protected override onDialled(backend: Backend, wire: Wire): void {
    const { wheel, view } = this.context
    this.sentAt = nowMs()
    this.#send(new BackendConnection(wire, backend, this.client.cacheOf(backend), wheel, view.timeouts.backendIdle))
  }

  #send(connection: BackendConnection): void {
    this.#connection = connection
    this.phase = 'request'
    connection.assign(this)
    if (this.#asked.upgrade !== '' && !connection.takesUpgrades)
      return this.refuse(501, 'refused', 'the backend takes no upgrades on its HTTP/2 connection')
    if (this.client.marks !== null) this.#passMarks(this.client.marks, connection)
    const { backend, wire } = connection
    const { view, wheel } = this.context
    const head = this.#asked.needsHost ? withHost(this.#asked.text, backend.host, backend.port) : this.#asked.text
    const introduced = backend.sendProxy !== 'off' && connection.uses === 1
    const proxy = introduced ? formatHeader(backend.sendProxy, this.client.wire) : ''
    this.#request.begin(
      proxy + head,
      wire,
      wheel,
      this.#asked.call ? ANY_RATE : view.limits.bodyRate,
      connection.multiplexed,
    )
    if (!this.#request.done) this.expectation?.sent(this.context.isOld(backend))
    this.client.onBodyWanted()
  }

  /** Where both sides have marks for fields, each heeds those of the other. */
  #passMarks(client: Marked, { marks }: BackendConnection): void {
    if (marks === null) return
    marks.heed(client)
    client.heed(marks)
  }

  override onContinueDue(): void {
    this.client.wire.writeText(CONTINUE)
  }

  /** Sends on what belongs to the request's body; answers where it ends. Only while `ready`. */
  feed(buf: Buffer, start: number, end: number): number {
    const connection = this.#connection as BackendConnection
    const { wire } = this.client
    const stop = this.#request.feed(buf, start, end, wire, connection.wire)
    this.bytesIn += stop - start
    if (stop > start) this.expectation?.rest()
    const { refusal } = this.#request
    if (refusal !== null) {
      this.refuse(refusal.status, refusal.reason, refusal.detail)
      return end
    }
    if (this.#request.blocked) wire.pause()
    if (this.place.timed && this.#request.done) this.wholeAt = nowMs()
    return stop
  }

  /** The client's connection takes more bytes of the answer. */
  onClientDrain(): void {
    this.queued = Number.POSITIVE_INFINITY
    this.progressed = true
    this.#packing?.resume()
    if (this.#response?.blocked === true) {
      this.#response.blocked = false
      this.#connection?.wire.resume()
    }
  }

  onBackendDrain(): void {
    if (!this.#request.unblock()) return
    this.queued = Number.POSITIVE_INFINITY
    this.client.onBodyWanted()
  }

  /** The client waits for the backend to take its bytes. */
  get requestBlocked(): boolean {
    return this.#request.blocked || this.#connection === null
  }

  protected override get bodyDue(): boolean {
    return !this.#request.done && !this.requestBlocked
  }

  protected override get slow(): boolean {
    return this.#request.slow
  }

  protected override get taker(): Taker | undefined {
    return this.answered ? this.client.wire : this.#connection?.wire
  }

  /** ms until the next byte is due. A call may be silent in either direction for as long as a tunnel. */
  get patience(): number {
    const { body, firstByte, tunnel } = this.context.view.timeouts
    if (this.#asked.call) return tunnel
    if (this.#request.done) return this.answered ? body : firstByte
    return this.requestBlocked ? body : this.#request.patience(body)
  }

  /** The client wants another protocol: what comes behind its request is not another one. */
  get upgrading(): boolean {
    return this.#asked.upgrade !== ''
  }

  onInterim(head: Head, framing: Framing, buf: Buffer, base: number): void {
    // Unasked 100s are not relayed; HTTP/1.0 knows no interim answers (RFC 9110 §15.2).
    if (this.#asked.minor === 0 || (head.status === 100 && this.expectation?.tell() !== true)) return
    this.client.wire.writeText(forwardResponse(buf, base, head, framing, INTERIM))
  }

  onSwitch(head: Head, framing: Framing, buf: Buffer, base: number, end: number): void {
    const upgrade = firstText(head, buf, base, ID.upgrade)
    const asked = this.#asked
    if (asked.upgrade === '' || upgrade.toLowerCase() !== asked.upgrade.toLowerCase())
      return this.onBadResponse('an upgrade that was not asked for')
    const connection = this.#connection as BackendConnection
    this.answering(101)
    const hop = { ...INTERIM, connection: 'Upgrade', upgrade }
    const whole = forwardResponse(buf, base, head, framing, hop)
    const text = markedHead(this.context, asked, whole, this.place, this.affinityKey, connection.backend)
    this.bytesOut += text.length
    this.client.wire.writeText(text)
    connection.detach()
    this.#connection = null
    this.client.onTunnel(connection.wire, Buffer.from(buf.subarray(base + head.pos, end)))
  }

  onResponse(head: Head, framing: Framing, buf: Buffer, base: number, end: number): void {
    const connection = this.#connection as BackendConnection
    const { status } = head
    const context = this.context
    const asked = this.#asked
    context.heard(connection.backend, head.minor)
    if (asked.call) this.grpcStatus = statusInHead(head, buf, base)
    const empty = asked.headOnly || status === 204 || status === 304
    const kind: BodyKind = empty ? 'none' : framing.chunked ? 'chunked' : framing.length >= 0 ? 'length' : 'close'
    // A length that the backend does not tell becomes chunks for a client that knows them, and the connection's end for one that does not.
    const open = kind === 'chunked' || kind === 'close'
    const out: ResponseFraming = kind === 'none' ? 'none' : !open ? 'length' : asked.minor === 1 ? 'chunked' : 'close'
    this.#reusable = kind !== 'close' && framing.persistent(head.minor)
    const keep = this.#keeps() && out !== 'close'
    const trailers = out === 'chunked' && asked.trailers
    const value = !keep ? 'close' : asked.minor === 0 ? 'keep-alive' : ''
    const hop = { body: out, connection: value, upgrade: '', trailers }
    outbox.begin()
    writeResponse(outbox, buf, base, head, framing, hop)
    const plain = asked.filtered === null && asked.keyValues === null
    const filtered = plain
      ? outbox
      : changedHead(context, asked, outbox.toString(), status, this.place, this.affinityKey, connection.backend)
    if (filtered === null) return this.refuse(502, 'bad-response', 'a filter made an answer that can not go on')
    const packed = asked.offer === null ? null : packedHead(asked.offer, filtered.toString(), status, framing.length)
    const text = packed === null ? filtered : packed.text
    this.#now = this.answering(status)
    this.closeAfter = !keep
    if (kind !== 'none' && packed?.start) {
      const body = { kind, length: framing.length, trailers, nominated: framing.nominated }
      this.#packing = new Packing(packed.text, packed.start, body, connection.wire, this.client, this)
      this.#pack(this.#packing, buf, base + head.pos, end)
    } else {
      this.bytesOut += text.length
      this.#response = new Body(kind, framing.length, out === 'chunked', trailers, MOST, framing.nominated)
      this.#relay(connection, this.#response, buf, base + head.pos, end, text)
    }
    this.#now = 0
  }

  protected override answering(status: number): number {
    this.#request.forgive()
    return super.answering(status)
  }

  /** May the connection carry another request after this one? */
  #keeps(): boolean {
    return this.#asked.keepAlive && this.#request.done && !this.client.closing
  }

  onResponseBody(buf: Buffer, start: number, end: number): void {
    if (this.#packing !== null) return this.#pack(this.#packing, buf, start, end)
    this.#relay(this.#connection as BackendConnection, this.#response as Body, buf, start, end, '')
  }

  #pack(packing: Packing, buf: Buffer, start: number, end: number): void {
    if (packing.take(buf, start, end) < end) this.#reusable = false // bytes behind the answer (HTTP.md 19)
    if (packing.problem !== '') return this.#abortResponse('bad-response')
  }

  onPackedEnd(reason: Reason | ''): void {
    this.finish(reason === '' ? '' : 'us', reason)
  }

  #relay(
    connection: BackendConnection,
    body: Body,
    buf: Buffer,
    start: number,
    end: number,
    prefix: string | Outbox,
  ): void {
    const stop = body.relay(buf, start, end, connection.wire, this.client.wire, prefix)
    this.bytesOut += stop - start
    this.progressed = true
    if (body.problem !== '') return this.#abortResponse('bad-response')
    if (body.done) {
      if (stop < end) this.#reusable = false // bytes behind the answer (HTTP.md 19)
      if (this.#asked.call && this.grpcStatus < 0) this.grpcStatus = statusInTrailers(body.trailers)
      return this.finish('', '')
    }
    this.client.onProgress()
    if (body.blocked) connection.wire.pause()
  }

  onBadResponse(_problem: string): void {
    if (this.answered) return this.#abortResponse('bad-response')
    this.judge(false)
    this.refuse(502, 'bad-response', 'the backend gave an answer that is not HTTP')
  }

  onBackendGone(code: string, begun: boolean): void {
    if (this.answered) {
      if (this.#packing?.ended(code === '') === true) {
        this.#reusable = false
        return
      }
      if (code === '' && this.#response?.ended(this.client.wire) === true) return this.finish('', '')
      return this.#abortResponse('truncated-response')
    }
    const connection = this.#connection as BackendConnection
    const untouched = code === UNTOUCHED
    const stale = (untouched || (connection.uses > 1 && code !== STREAM_RESET)) && !this.stale
    const safe = (untouched || (!begun && this.#asked.idempotent)) && this.#request.repeatable
    if (!this.mayAgain(stale, safe)) return
    this.#connection = null
    connection.close()
    this.again(stale)
  }

  override onFault(): void {
    this.client.onFault()
  }

  /** The client's connection must end so that the answer does not look whole. */
  #abortResponse(reason: Reason): void {
    this.judge(false)
    this.finish('backend', reason)
  }

  override refuse(status: number, reason: Reason, detail: string, retryAfter?: number): void {
    if (this.over) return
    const { answered } = this
    if (!answered) {
      const keep = this.#keeps() && status !== 400 && status !== 413
      this.status = status
      const how = { id: this.id, json: this.#asked.json, close: !keep, headOnly: this.#asked.headOnly }
      if (this.#asked.call) this.grpcStatus = callStatus(status)
      const text = this.#asked.call
        ? callReply(status, detail, this.id)
        : reply({ status, detail, ...how, ...(retryAfter === undefined ? {} : { retryAfter }) })
      this.bytesOut += text.length
      this.client.wire.writeText(text)
      this.closeAfter = !keep
    }
    this.end(blameOf(reason), reason, !answered)
  }

  protected override end(by: string, reason: Reason | '', whole: boolean): void {
    const told = !whole && this.#asked.call && !this.over && this.#endCall(by)
    if (!this.conclude(by, reason, this.#now || undefined)) return
    this.expectation?.release()
    this.#packing?.destroy()
    const connection = this.#connection
    this.#connection = null
    if (connection !== null) {
      this.#request.release(this.client.wire)
      // A write still pending may refer to a buffer that the client's wire is about to read into.
      connection.release(this.#reusable && whole && this.#request.done && reason === '' && !connection.wire.pending)
    }
    if (whole || told) this.client.onFinished(!this.closeAfter)
    else this.client.onAborted()
  }

  /** A call that is broken off gets a status, where the client still reads and the answer can carry one. */
  #endCall(by: string): boolean {
    const open = !this.answered || (this.#asked.trailers && this.#response?.chunkOut === true)
    if (by === 'client' || !open) return false
    const text = this.answered ? callEnd(ENDED) : callReply(503, ENDED, this.id)
    this.client.wire.writeText(text)
    this.bytesOut += text.length
    if (!this.answered) this.status = 503
    this.grpcStatus = UNAVAILABLE
    return true
  }
}
