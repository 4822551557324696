/**
 * One request and its answer: the phases of http/exchange.ts over node:http and the http-proxy package.
 *
 * queue → connect → request → response → done. `#end` ends it once, from any phase.
 */
import type { IncomingMessage, InformationEvent } from 'node:http'
import type { Reason } from '../../board/index.ts'
import { formatAddress, nowMs } from '../../core/index.ts'
import type { Reply } from '../../filters/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { Offer } from '../compression/compression.ts'
import { blameOf } from '../http/blame.ts'
import { BodyPace } from '../http/body-pace.ts'
import type { Filtering } from '../http/filtering.ts'
import { givenReply, reply } from '../http/replies.ts'
import { RequestFlow, type Taker } from '../http/request-flow.ts'
import { TOO_LARGE, TOO_SLOW } from '../http/upload.ts'
import { newId } from '../ids.ts'
import { formatHeader } from '../proxy-protocol/format.ts'
import type { Wire } from '../wire.ts'
import { BackendStream } from './agent.ts'
import type { Answer } from './answer.ts'
import { Attempt, BAD_RESPONSE, type Responder } from './attempt.ts'
import { type BodyOwner, RequestBody } from './body.ts'
import type { ProxyEngine } from './engine.ts'
import { type FilteredFields, filterRequest, filterResponse } from './filters.ts'
import {
  forwardedTrailers,
  headText,
  type ResponseFraming,
  type ResponseHop,
  requestFields,
  responseFields,
  withHost,
  withoutGarbling,
} from './forward.ts'
import { offerTo, type Packing, type PackingOwner, relayAnswer } from './packing.ts'
import { bytesOf, firstOf, type RequestHead, requestIdOf } from './request.ts'
import type { Requester } from './requester.ts'
import { type RawAnswer, type ResponseHead, rawAnswer, readAnswer } from './response.ts'

const INTERIM: ResponseHop = { body: 'none', connection: '', upgrade: '', trailers: false }

export class ProxyExchange extends RequestFlow implements Responder, BodyOwner, PackingOwner {
  readonly #engine: ProxyEngine
  protected readonly client: Requester
  readonly #head: RequestHead
  readonly #req: IncomingMessage
  readonly #res: Answer
  readonly #body: RequestBody
  readonly #writtenBefore: number
  /** What goes on, but for a Host that depends on the backend. */
  readonly #fields: readonly string[]
  /** What the filters made of it; null: there are none. */
  protected readonly filtered: FilteredFields | null
  /** How the answer may be compressed; null: not at all. */
  readonly #offer: Offer | null
  #packing: Packing | null = null
  #attempt: Attempt | null = null

  readonly method: string
  readonly target: string
  readonly host: string
  readonly version: string
  readonly referer: string
  readonly userAgent: string

  constructor(engine: ProxyEngine, client: Requester, head: RequestHead, req: IncomingMessage, res: Answer) {
    const { view } = engine.context
    const { hop } = client
    super(
      engine.context,
      hop.trusted ? engine.clientOf(head.fields, hop.address) : hop.address,
      client.peerPort,
      (hop.trusted && requestIdOf(head.fields)) || newId(),
      head.expectContinue,
    )
    this.#engine = engine
    this.client = client
    this.#head = head
    this.#req = req
    this.#res = res
    this.#writtenBefore = client.written
    this.#offer = engine.context.compression === null ? null : offerTo(engine.context.compression, head)
    this.method = head.method
    this.target = head.target
    this.host = head.authority
    this.version = head.minor === 0 ? '1.0' : '1.1'
    this.referer = firstOf(head.fields, 'referer')
    this.userAgent = firstOf(head.fields, 'user-agent')
    this.bytesIn = bytesOf(head)
    const { length, chunked } = head.framing
    const limit = view.http.maxBody ?? Number.MAX_SAFE_INTEGER
    this.#body = new RequestBody(req, chunked || length > 0, !chunked, limit, this)
    const whole = requestFields(head, view.http, hop, this.id)
    const fields = engine.context.affinityFields?.forwardList(whole) ?? whole
    this.filtered = this.#filter(engine.context.filtering, fields)
    this.#fields = withoutGarbling(this.filtered === null ? fields : this.filtered.fields)
    res.on('finish', () => this.#finished())
    res.on('drain', () => this.onClientFlushed())
  }

  #filter(filtering: Filtering | null, fields: readonly string[]): FilteredFields | null {
    if (filtering === null) return null
    const { method, path, authority } = this.#head
    const { clientAddress, id } = this
    const { scheme } = this.client.hop
    return filterRequest(filtering, { method, target: path, authority, scheme, clientAddress, id }, fields)
  }

  override get requestDone(): boolean {
    return this.#body.done || this.#req.complete
  }

  /** All of the answer waits for the client to read it. */
  get handedOver(): boolean {
    return this.#res.writableEnded
  }

  protected override get tooLarge(): boolean {
    const { maxBody } = this.context.view.http
    return maxBody !== undefined && this.#head.framing.length > maxBody
  }

  protected override readKeys(): void {
    const { fields, path } = this.#head
    this.hashKey = this.place.hashKey?.ofFields(fields, path) ?? ''
    const { affinityFields } = this.context
    if (affinityFields !== null) this.affinityKey = affinityFields.keyOf(affinityFields.readList(fields), this.place)
  }

  /** Answers as a filter says. */
  protected override give(given: Reply): void {
    if (given.detail !== null) return this.refuse(given.status, 'refused', given.detail)
    const keep = this.#keeps() && !this.#waits
    this.#answerOurselves(given.status, keep, givenReply(given, !keep, this.method === 'HEAD'))
  }

  protected override useIdle(backend: Backend): boolean {
    if (this.answered) return true // refused meanwhile: no connection is wanted
    if (!this.client.agentOf(backend).ready) return false
    this.connectMs = 0
    this.sentAt = nowMs()
    this.#send(backend, null)
    return true
  }

  protected override onDialled(backend: Backend, wire: Wire): void {
    if (this.answered) return wire.destroy()
    const { wheel, view } = this.context
    this.sentAt = nowMs()
    const { sendProxy } = backend
    const header = sendProxy === 'off' ? null : Buffer.from(formatHeader(sendProxy, this.client.wire), 'latin1')
    this.#send(backend, new BackendStream(wire, wheel, view.timeouts.backendIdle, header))
  }

  /** @param dialled for this request alone; null: the backend's agent has an idle connection */
  #send(backend: Backend, dialled: BackendStream | null): void {
    this.phase = 'request'
    const head = this.#head
    const attempt = new Attempt(backend, this, dialled)
    this.#attempt = attempt
    try {
      attempt.send(this.#engine.proxy, this.client.agentOf(backend), this.#req, this.#res, {
        method: head.method,
        path: this.filtered?.target ?? head.path,
        fields: withHost(this.#fields, backend),
        body: this.#body.open(),
        maxHead: this.#engine.answerBytes,
      })
    } catch {
      // node:http writes nothing that it calls malformed: what we put together was.
      this.refuse(500, 'internal', 'the request could not be sent on')
    }
  }

  onSending(): void {
    const { context } = this.#engine
    const { view, wheel } = context
    const { bodyRate } = view.limits
    const { backend } = this
    if (!this.#body.done) this.#attempt?.flush()
    if (!this.#body.done && backend !== null) this.expectation?.sent(!this.#passesExpect || context.isOld(backend))
    if (!this.#body.done && bodyRate.rate > 0) this.#body.pace ??= new BodyPace(wheel, bodyRate)
    this.#body.start()
    this.client.onProgress()
  }

  get #passesExpect(): boolean {
    return this.#fields.some((text, i) => i % 2 === 0 && text.toLowerCase() === 'expect')
  }

  /** The body comes, and too slowly. */
  protected override get slow(): boolean {
    const { bytes, pace } = this.#body
    return pace !== null && !this.answered && !this.requestDone && bytes > 0 && pace.left(bytes) <= 0
  }

  protected override get bodyDue(): boolean {
    return !this.requestDone && !this.#body.blocked
  }

  protected override get taker(): Taker | null | undefined {
    return this.answered ? this.client : this.#attempt?.stream
  }

  /** ms that the next piece of the request's body may take. */
  get patience(): number {
    const { body } = this.context.view.timeouts
    const { pace, blocked, bytes } = this.#body
    return pace === null || this.answered || blocked ? body : Math.max(1, Math.min(body, pace.left(bytes)))
  }

  onBody(): void {
    this.expectation?.rest()
    if (this.slow) return this.refuse(TOO_SLOW.status, TOO_SLOW.reason, TOO_SLOW.detail)
    this.client.onProgress()
  }

  onBodyTooLarge(): void {
    this.refuse(TOO_LARGE.status, TOO_LARGE.reason, TOO_LARGE.detail)
  }

  onBodyEnd(req: IncomingMessage): void {
    if (this.over) return
    this.wholeAt = nowMs()
    const trailers = forwardedTrailers(req)
    if (trailers === null) return this.malformed('trailers are too long')
    if (trailers.length > 0) this.#attempt?.trailers(trailers)
  }

  /** What came behind the head is not HTTP. */
  malformed(problem: string): void {
    this.refuse(400, 'bad-request', problem)
  }

  onBackendFlushed(): void {
    this.queued = Number.POSITIVE_INFINITY
    if (!this.answered) this.client.onProgress()
  }

  onClientFlushed(): void {
    this.queued = Number.POSITIVE_INFINITY
    this.progressed = true
    this.client.onProgress()
  }

  onInterim({ statusCode, statusMessage, rawHeaders }: InformationEvent): void {
    const head = this.#read({ status: statusCode, phrase: statusMessage, minor: 1, rawHeaders })
    if (head === null) return this.onBadResponse()
    // Unasked 100s are not relayed; HTTP/1.0 knows no interim answers (RFC 9110 §15.2).
    if (this.over || this.answered || this.#head.minor === 0) return
    if (statusCode === 100 && this.expectation?.tell() === true) this.onContinueDue()
    else if (statusCode === 100) return
    else this.client.writeText(headText(head.status, head.phrase, responseFields(head, INTERIM)))
  }

  #read(answer: RawAnswer): ResponseHead | null {
    return readAnswer(answer, this.context.view.http)
  }

  override onContinueDue(): void {
    this.#res.writeContinue()
  }

  onSwitch(answer: IncomingMessage, stream: BackendStream, early: Buffer): void {
    const head = this.#read(rawAnswer(answer))
    const upgrade = head === null ? '' : firstOf(head.fields, 'upgrade')
    const wanted = this.#head.upgrade
    if (head === null || wanted === '' || upgrade.toLowerCase() !== wanted.toLowerCase()) return this.onBadResponse()
    this.answering(101)
    const fields = responseFields(head, { ...INTERIM, connection: 'Upgrade', upgrade })
    const text = headText(101, head.phrase, this.#marked(fields))
    const wire = stream.detach()
    if (wire === null) return this.onTruncated()
    this.bytesOut += text.length
    this.client.onTunnel(text, wire, early)
  }

  /** The client waits for a 100: node:http then closes behind the final answer, so that nothing is left on the wire. */
  get #waits(): boolean {
    return this.expectation?.told === false
  }

  onResponse(answer: IncomingMessage): void {
    const head = this.#read(rawAnswer(answer))
    if (head === null || head.status < 200) return this.onBadResponse()
    const { status, framing } = head
    if (this.backend !== null) this.context.heard(this.backend, answer.httpVersionMinor)
    const { minor, trailers } = this.#head
    const empty = this.method === 'HEAD' || status === 204 || status === 304
    // A length that the backend does not tell becomes chunks for a client that knows them, and the connection's end for one that does not.
    const open = framing.chunked || framing.length < 0
    const body: ResponseFraming = empty ? 'none' : !open ? 'length' : minor === 1 ? 'chunked' : 'close'
    const delimited = empty || framing.chunked || framing.length >= 0
    this.#attempt?.stream?.keep(delimited && framing.persistent, firstOf(head.fields, 'keep-alive'))
    const keep = this.#keeps() && body !== 'close' && !this.#waits
    const connection = !keep ? 'close' : minor === 0 ? 'keep-alive' : ''
    const hop: ResponseHop = { body, connection, upgrade: '', trailers: body === 'chunked' && trailers }
    const fields = this.#filterAnswer(status, responseFields(head, hop))
    if (fields === null) return this.refuse(502, 'bad-response', 'a filter made an answer that can not go on')
    this.answering(status)
    this.closeAfter = !keep
    this.client.gather()
    const marked = this.#marked(fields)
    const all = { answer, head, fields: marked, empty, trailers: hop.trailers }
    this.#packing = relayAnswer(all, this.#offer, this.#res, this)
  }

  protected override onFault(): void {
    this.finish('us', 'internal')
  }

  onPackFailed(): void {
    this.finish('us', 'internal')
  }

  #filterAnswer(status: number, fields: readonly string[]): readonly string[] | null {
    const { filtering } = this.context
    const { backend } = this
    if (filtering === null || backend === null) return fields
    const view = this.filtered?.view ?? null
    return filterResponse(filtering, fields, status, view, formatAddress(backend.host, backend.port))
  }

  /** The answer's fields with what keeps the client on its backend. */
  #marked(fields: readonly string[]): readonly string[] {
    const { affinityFields } = this.context
    if (affinityFields === null || this.backend === null) return fields
    return affinityFields.answerList(fields, this.place, this.affinityKey, this.backend)
  }

  onRelayed(): void {
    this.progressed = true
    this.client.onProgress()
  }

  onTruncated(): void {
    this.judge(false)
    this.finish('backend', 'truncated-response')
  }

  /** May the connection carry another request after this one? */
  #keeps(): boolean {
    return this.#head.framing.persistent && this.requestDone && !this.client.closing
  }

  onBadResponse(): void {
    this.judge(false)
    if (this.answered) return this.finish('backend', 'bad-response')
    this.failure = BAD_RESPONSE
    this.onUnplaced()
  }

  onBackendGone(begun: boolean): void {
    if (this.answered) return // the answer's `close` tells how far it came
    const attempt = this.#attempt
    this.#attempt = null
    attempt?.end(false)
    const uses = attempt?.stream?.uses ?? 0 // 0: it was gone before it could be used
    const stale = uses !== 1 && !this.stale
    if (this.mayAgain(stale, !begun && this.#head.idempotent && this.#body.whole)) this.again(stale)
  }

  override refuse(status: number, reason: Reason, detail: string, retryAfter?: number): void {
    if (this.over) return
    const by = blameOf(reason)
    if (this.answered) return this.finish(by, reason)
    const keep = this.#keeps() && status !== 400 && status !== 413 && !this.#waits
    this.endedBy = by
    this.reason = reason
    const json = firstOf(this.#head.fields, 'accept').includes('json')
    const how = { id: this.id, json, close: !keep, headOnly: this.method === 'HEAD' }
    const text = reply({ status, detail, ...how, ...(retryAfter === undefined ? {} : { retryAfter }) })
    this.#answerOurselves(status, keep, text)
  }

  #answerOurselves(status: number, keep: boolean, text: string): void {
    this.answered = true
    this.expectation?.rest()
    this.status = status
    this.closeAfter = !keep
    this.#body.drop()
    this.#dropAttempt(false)
    this.client.gather()
    this.#res.own(status, text)
    this.client.onProgress()
  }

  #dropAttempt(reusable: boolean): void {
    const attempt = this.#attempt
    this.#attempt = null
    attempt?.end(reusable)
  }

  /** node:http has handed the last byte of the answer to the kernel. */
  #finished(): void {
    this.end(this.endedBy, this.reason, true)
  }

  protected override end(by: string, reason: Reason | '', whole: boolean): void {
    if (this.over) return
    this.expectation?.release()
    this.#packing?.destroy()
    this.#body.drop()
    this.#dropAttempt(whole && reason === '' && this.requestDone && this.#attempt?.stream?.reusable === true)
    this.bytesIn += this.#body.bytes
    this.bytesOut += this.client.written - this.#writtenBefore
    this.conclude(by, reason)
    if (whole) this.client.onFinished(!this.closeAfter)
    else this.client.onAborted()
  }
}
