/**
 * One request and its answer: the phases of http/exchange.ts over node:http and the http-proxy package.
 *
 * queue → connect → request → response → done. `#end` ends it once, from any phase.
 */
import type { IncomingMessage, InformationEvent } from 'node:http'
import type { Reason, RetryReason } from '../../board/index.ts'
import type { Backend } from '../../pool/index.ts'
import { Dial } from '../dial.ts'
import { BodyPace } from '../http/body-pace.ts'
import { BY_CLIENT } from '../http/exchange.ts'
import { reply } from '../http/replies.ts'
import { formatHeader } from '../proxy-protocol/format.ts'
import type { Wire } from '../wire.ts'
import { BackendStream } from './agent.ts'
import type { Answer } from './answer.ts'
import { Attempt, type Responder } from './attempt.ts'
import { type BodyOwner, RequestBody } from './body.ts'
import type { ProxyEngine } from './engine.ts'
import { type Field, type Framing, fieldsOf, isRefusal, oversized, readFraming } from './fields.ts'
import {
  forwardedTrailers,
  type Hop,
  headText,
  type ResponseFraming,
  type ResponseHop,
  requestFields,
  responseFields,
} from './forward.ts'
import { RequestRecord } from './record.ts'
import { firstOf, type RequestHead } from './request.ts'

/** What an exchange asks of the client connection that it belongs to. */
export interface Requester {
  readonly wire: Wire
  readonly hop: Hop
  readonly peerPort: number
  /** Its entry in the table of clients. */
  readonly client: number
  /** No further request is wanted on this connection. */
  readonly closing: boolean
  /** Bytes written to the client so far. */
  readonly written: number
  /** The client has not taken everything yet; bytes of it. */
  readonly pending: boolean
  readonly queued: number
  writeText(text: string): void
  /** Several writes become one. */
  gather(): void
  /** Something moved: the time limit of the phase starts anew. */
  onProgress(): void
  /** The answer is out whole. `keep`: the connection may carry the next request. */
  onFinished(keep: boolean): void
  /** The answer can't be whole any more: the connection is to be cut. */
  onAborted(): void
  /** Behind `head` the connection is a tunnel to `backend`; bytes of either side that came early go first. */
  onTunnel(head: string, backend: Wire, early: Buffer): void
}

const INTERIM: ResponseHop = { body: 'none', connection: '', upgrade: '', trailers: false }

interface Failure {
  readonly status: number
  readonly reason: Reason
  readonly detail: string
}
const NO_BACKEND: Failure = { status: 503, reason: 'no-backend', detail: 'no backend is available' }
const BAD_RESPONSE: Failure = {
  status: 502,
  reason: 'bad-response',
  detail: 'the backend gave an answer that is not HTTP',
}
const GONE: Failure = {
  status: 502,
  reason: 'backend-closed',
  detail: 'the backend closed the connection without an answer',
}
const REASON = /^[\t\x20-\x7e\x80-\xff]{0,1024}$/ // node's parser takes any byte
const MAX_TRAILERS = 16 * 1024

export class ProxyExchange implements Responder, BodyOwner {
  readonly #engine: ProxyEngine
  readonly #client: Requester
  readonly #head: RequestHead
  readonly #req: IncomingMessage
  readonly #res: Answer
  readonly #body: RequestBody
  readonly record: RequestRecord
  readonly #begunAt = performance.now()
  readonly #writtenBefore: number
  #sentAt = this.#begunAt
  #attempt: Attempt | null = null
  #dial: Dial | null = null
  #backend: Backend | null = null
  #tried: Set<Backend> | null = null
  /** An idle connection died: from now on only new ones. */
  #stale = false
  #failure: Failure = NO_BACKEND
  #continued = false
  #closeAfter = false
  #queued = Number.POSITIVE_INFINITY
  #over = false
  /** The answer's head is out. */
  answered = false
  /** Bytes went to the client since the last look (half-closed clients are watched by it). */
  progressed = false

  constructor(engine: ProxyEngine, client: Requester, head: RequestHead, req: IncomingMessage, res: Answer) {
    const { view } = engine.context
    const { hop } = client
    this.#engine = engine
    this.#client = client
    this.#head = head
    this.#req = req
    this.#res = res
    this.#writtenBefore = client.written
    this.record = new RequestRecord(view, client, head, hop.trusted ? engine.clientOf(head.fields, hop.address) : '')
    this.record.queueMs = 0
    this.record.phase = 'queue'
    const { length, chunked } = head.framing
    const limit = view.http.maxBody ?? Number.MAX_SAFE_INTEGER
    this.#body = new RequestBody(req, chunked || length > 0, !chunked, limit, this)
    res.on('finish', () => this.#finished())
    res.on('drain', () => this.onClientFlushed())
    engine.context.active++
  }

  get requestDone(): boolean {
    return this.#body.done || this.#req.complete
  }

  start(): void {
    const { requestLimit } = this.#engine.context
    if (requestLimit !== null) {
      const { hop, client } = this.#client
      const wait = hop.trusted
        ? requestLimit.askFor(this.record.clientAddress, this.#begunAt)
        : requestLimit.ask(client, this.#begunAt)
      if (wait > 0) return this.refuse(429, 'limit-rate', 'there are too many requests from this address', wait)
    }
    const { maxBody } = this.#engine.context.view.http
    if (maxBody !== undefined && this.#head.framing.length > maxBody) return this.onBodyTooLarge()
    const { pool, wheel, view } = this.#engine.context
    if (pool.undecided()) void this.#hold(wheel.now + view.startGrace)
    else this.#place()
  }

  /** Waits for the first probe results, at most until the grace is over. */
  async #hold(until: number): Promise<void> {
    const { pool, wheel } = this.#engine.context
    while (!this.#over && pool.undecided() && wheel.now < until) await pool.changed(until - wheel.now)
    if (this.#over || this.answered) return
    this.record.queueMs = performance.now() - this.#begunAt
    this.#sentAt = this.#begunAt + this.record.queueMs
    this.#place()
  }

  #place(): void {
    const { context } = this.#engine
    const backend = context.pool.pick(this.record, this.#tried)
    if (backend === undefined) return this.#giveUp()
    backend.cell.begin()
    this.#backend = backend
    this.record.backendName = backend.name
    this.record.tries++
    if (!this.#stale && this.#engine.agentOf(backend).ready) {
      this.record.connectMs = 0
      return this.#send(backend, null)
    }
    this.record.phase = 'connect'
    const { wheel, view } = context
    const begun = performance.now()
    this.#dial = new Dial(backend, wheel, view.timeouts.connect, (wire, code) => {
      this.#dial = null
      if (wire === null) return this.#connectFailed(code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failed')
      this.record.connectMs = performance.now() - begun
      this.#sentAt = performance.now()
      if (backend.sendProxy !== 'off') wire.writeText(formatHeader(backend.sendProxy, this.#client.wire))
      this.#send(backend, new BackendStream(wire, wheel, view.timeouts.backendIdle))
    })
  }

  #connectFailed(reason: RetryReason & Reason): void {
    this.#failure = { status: reason === 'connect-timeout' ? 504 : 503, reason, detail: 'no backend could be reached' }
    if (this.record.tries > this.#engine.context.view.retries) return this.#giveUp()
    this.#leave()
    this.#again(reason)
  }

  /** No further try: the answer is what the last one failed with. */
  #giveUp(): void {
    const { status, reason, detail } = this.#failure
    this.refuse(status, reason, detail)
  }

  /** Gives the backend up and does not pick it again for this request. */
  #leave(): void {
    if (this.#backend === null) return
    this.#tried ??= new Set()
    this.#tried.add(this.#backend)
  }

  #again(reason: RetryReason): void {
    this.#backend?.cell.end()
    this.#backend = null
    this.#engine.context.cell.retry(reason)
    this.#place()
  }

  #send(backend: Backend, dialled: BackendStream | null): void {
    this.record.phase = 'request'
    const head = this.#head
    const { view } = this.#engine.context
    const attempt = new Attempt(backend, this, dialled)
    this.#attempt = attempt
    try {
      attempt.send(this.#engine.proxy, this.#engine.agentOf(backend), this.#req, this.#res, {
        method: head.method,
        path: head.path,
        fields: requestFields(head, view.http, this.#client.hop, this.record.id, backend),
        body: this.#body.open(),
        maxHead: this.#engine.answerBytes,
      })
    } catch {
      // node:http writes nothing that it calls malformed: what we put together was.
      this.refuse(500, 'internal', 'the request could not be sent on')
    }
  }

  onSending(): void {
    const { view, wheel } = this.#engine.context
    const { bodyRate } = view.limits
    if (!this.#body.done) this.#attempt?.flush()
    if (!this.#body.done && bodyRate.rate > 0) this.#body.pace ??= new BodyPace(wheel, bodyRate)
    this.#body.start()
    this.#client.onProgress()
  }

  /** ms that the next piece of the request's body may take. */
  get patience(): number {
    const { body } = this.#engine.context.view.timeouts
    const { pace, blocked, bytes } = this.#body
    return pace === null || this.answered || blocked ? body : Math.max(1, Math.min(body, pace.left(bytes)))
  }

  onBody(): void {
    this.#client.onProgress()
  }

  onBodyTooLarge(): void {
    this.refuse(413, 'too-large', 'the body is too large')
  }

  onBodyEnd(req: IncomingMessage): void {
    if (this.#over) return
    if (trailerBytes(req) > MAX_TRAILERS) return this.malformed('trailers are too long')
    const trailers = forwardedTrailers(req)
    if (trailers.length > 0) this.#attempt?.trailers(trailers)
  }

  /** What came behind the head is not HTTP. */
  malformed(problem: string): void {
    this.refuse(400, 'bad-request', problem)
  }

  onBackendFlushed(): void {
    this.#queued = Number.POSITIVE_INFINITY
    if (!this.answered) this.#client.onProgress()
  }

  onClientFlushed(): void {
    this.#queued = Number.POSITIVE_INFINITY
    this.progressed = true
    this.#client.onProgress()
  }

  onInterim({ statusCode, statusMessage, rawHeaders }: InformationEvent): void {
    const fields = fieldsOf(rawHeaders)
    const framing = readFraming(fields, 1)
    if (isRefusal(framing) || !REASON.test(statusMessage)) return this.onBadResponse()
    // Unasked 100s are not relayed; HTTP/1.0 knows no interim answers (RFC 9110 §15.2).
    if (this.#over || this.answered || this.#head.minor === 0) return
    if (statusCode === 100) {
      if (!this.#head.expectContinue || this.#continued) return
      this.#continued = true
      return this.#res.writeContinue()
    }
    this.#client.writeText(headText(statusCode, statusMessage, responseFields(statusCode, fields, framing, INTERIM)))
  }

  onSwitch(answer: IncomingMessage, stream: BackendStream, early: Buffer): void {
    const fields = fieldsOf(answer.rawHeaders)
    const framing = readFraming(fields, answer.httpVersionMinor)
    const upgrade = firstOf(fields, 'upgrade')
    const wanted = this.#head.upgrade
    if (!REASON.test(answer.statusMessage ?? '')) return this.onBadResponse()
    if (isRefusal(framing) || wanted === '' || upgrade.toLowerCase() !== wanted.toLowerCase())
      return this.onBadResponse()
    this.#answering(101)
    const hop: ResponseHop = { ...INTERIM, connection: 'Upgrade', upgrade }
    const text = headText(101, answer.statusMessage ?? '', responseFields(101, fields, framing, hop))
    const wire = stream.detach()
    if (wire === null) return this.finish('backend', 'truncated-response')
    this.record.bytesOut += text.length
    this.#client.onTunnel(text, wire, early)
  }

  onResponse(answer: IncomingMessage): void {
    const status = answer.statusCode ?? 0
    const fields = fieldsOf(answer.rawHeaders)
    const framing = readFraming(fields, answer.httpVersionMinor)
    const { maxFields, maxHead } = this.#engine.context.view.http
    if (!REASON.test(answer.statusMessage ?? '')) return this.onBadResponse()
    if (isRefusal(framing) || status < 200 || status > 599 || answer.httpVersionMajor !== 1) return this.onBadResponse()
    if (oversized(fields, maxFields, maxHead) !== null) return this.onBadResponse()
    const empty = this.record.method === 'HEAD' || status === 204 || status === 304
    // A length that the backend does not tell becomes chunks for a client that knows them, and the connection's end for one that does not.
    const open = framing.chunked || framing.length < 0
    const out: ResponseFraming = empty ? 'none' : !open ? 'length' : this.#head.minor === 1 ? 'chunked' : 'close'
    this.#keepBackend(fields, framing, empty || framing.chunked || framing.length >= 0)
    this.#answering(status)
    const waits = this.#head.expectContinue && !this.#continued // node:http then closes, so that nothing is left on the wire
    const keep = this.#keeps() && out !== 'close' && !waits
    const trailers = out === 'chunked' && this.#head.trailers && this.#head.minor === 1
    const connection = !keep ? 'close' : this.#head.minor === 0 ? 'keep-alive' : ''
    const hop: ResponseHop = { body: out, connection, upgrade: '', trailers }
    this.#closeAfter = !keep
    this.#writeHead(status, answer.statusMessage ?? '', responseFields(status, fields, framing, hop))
    this.#relay(answer, trailers)
  }

  /** May the connection to the backend carry another request, and how long does it wait for one? */
  #keepBackend(fields: readonly Field[], framing: Framing, delimited: boolean): void {
    const stream = this.#attempt?.stream
    if (stream == null) return
    stream.reusable = delimited && framing.persistent && this.#backend?.sendProxy === 'off'
    const told = /timeout=(\d{1,6})/i.exec(firstOf(fields, 'keep-alive'))
    if (told !== null) stream.idleMs = Math.min(stream.idleMs, Math.max(0, Number(told[1]) - 1) * 1000)
  }

  #relay(answer: IncomingMessage, trailers: boolean): void {
    const res = this.#res
    answer.on('data', (chunk: Buffer) => {
      if (this.#over) return
      this.progressed = true
      this.#client.onProgress()
      if (!res.write(chunk)) answer.pause()
    })
    res.on('drain', () => answer.resume())
    answer.on('close', () => {
      if (!this.#over && !answer.readableEnded) this.finish('backend', 'truncated-response')
    })
    answer.on('end', () => {
      if (this.#over) return
      if (!answer.complete) return this.finish('backend', 'truncated-response')
      if (trailerBytes(answer) > MAX_TRAILERS) return this.finish('backend', 'bad-response')
      if (trailers) res.addTrailers(forwardedTrailers(answer))
      res.end()
    })
    this.#client.gather()
    res.write('', 'latin1') // flushHeaders would write them as UTF-8
  }

  #writeHead(status: number, phrase: string, raw: string[]): void {
    const res = this.#res
    res.sendDate = false
    for (const name of ['Connection', 'Transfer-Encoding', 'Content-Length']) res.removeHeader(name) // none by itself
    res.writeHead(status, phrase, raw)
  }

  /** May the connection carry another request after this one? */
  #keeps(): boolean {
    return this.#head.framing.persistent && this.requestDone && !this.#client.closing
  }

  onBadResponse(): void {
    if (this.answered) return this.finish('backend', 'bad-response')
    this.#failure = BAD_RESPONSE
    this.#giveUp()
  }

  onBackendGone(begun: boolean): void {
    if (this.answered) return // the answer's `close` tells how far it came
    const stream = this.#attempt?.stream ?? null
    const stale = (stream === null || stream.uses > 1) && !this.#stale
    const { retries } = this.#engine.context.view
    const again = !begun && this.#head.idempotent && this.#body.whole && (stale || this.record.tries <= retries)
    this.#failure = GONE
    if (!again) return this.#giveUp()
    this.#attempt?.end(false)
    this.#attempt = null
    // A connection that died while idle says nothing of its backend: the next try dials, and may go there again.
    if (stale) {
      this.#stale = true
      this.record.tries--
    } else this.#leave()
    this.#again('stale-connection')
  }

  #answering(status: number): void {
    const now = performance.now()
    this.answered = true
    this.record.phase = 'response'
    this.record.status = status
    this.record.firstByteMs = now - this.#sentAt
    const cell = this.#backend?.cell
    cell?.responded(this.record.firstByteMs)
    cell?.request(status)
  }

  /** Time is up: the client's or the backend's, as the phase says. A side that still takes bytes, however slowly, goes on. */
  timeout(): void {
    const slow = this.answered ? this.#client : this.#attempt?.stream
    if (slow?.pending === true && slow.queued < this.#queued) {
      this.#queued = slow.queued
      return this.#client.onProgress()
    }
    if (this.answered) {
      if (this.#client.pending) return this.finish('client', 'client-timeout')
      return this.finish('backend', 'truncated-response')
    }
    if (!this.requestDone && !this.#body.blocked) {
      const { bytes, pace } = this.#body
      const slow = bytes > 0 && pace !== null && pace.left(bytes) <= 0
      if (slow) return this.refuse(408, 'limit-body-rate', 'the body came too slowly')
      return this.refuse(408, 'client-timeout', 'the body did not come in time')
    }
    this.refuse(504, 'backend-timeout', 'the backend did not answer in time')
  }

  /** Answers the request ourselves, or, when an answer is under way, breaks it off. */
  refuse(status: number, reason: Reason, detail: string, retryAfter?: number): void {
    if (this.#over) return
    const by = BY_CLIENT.has(reason) ? 'client' : reason === 'no-backend' ? 'us' : 'backend'
    if (this.answered) return this.finish(by, reason)
    const waits = this.#head.expectContinue && !this.#continued
    const keep = this.#keeps() && status !== 400 && status !== 413 && !waits
    this.answered = true
    this.record.status = status
    this.record.endedBy = by
    this.record.reason = reason
    this.#closeAfter = !keep
    this.#body.drop()
    this.#dropAttempt(false)
    const json = firstOf(this.#head.fields, 'accept').includes('json')
    const text = reply({
      status,
      id: this.record.id,
      detail,
      json,
      close: !keep,
      headOnly: this.record.method === 'HEAD',
      ...(retryAfter === undefined ? {} : { retryAfter }),
    })
    const { phrase, raw, body } = parts(text)
    this.#writeHead(status, phrase, raw)
    this.#client.gather()
    this.#res.end(body, 'latin1')
    this.#client.onProgress()
  }

  #dropAttempt(reusable: boolean): void {
    const attempt = this.#attempt
    this.#attempt = null
    this.#dial?.cancel()
    this.#dial = null
    attempt?.end(reusable)
  }

  /** node:http has handed the last byte of the answer to the kernel. */
  #finished(): void {
    this.#end(this.record.endedBy, this.record.reason, true)
  }

  /** Ends the exchange and cuts the client's connection. */
  finish(by: 'client' | 'backend' | 'us', reason: Reason): void {
    this.#end(by, reason, false)
  }

  #end(by: string, reason: Reason | '', whole: boolean): void {
    if (this.#over) return
    this.#over = true
    const { context } = this.#engine
    const { cell, accessLog } = context
    context.active--
    this.#body.drop()
    this.#dropAttempt(whole && reason === '' && this.requestDone && this.#attempt?.stream?.reusable === true)
    this.#backend?.cell.end()
    this.record.endedBy = by
    this.record.reason = reason
    if (reason === '') this.record.phase = 'done'
    this.record.bytesIn += this.#body.bytes
    this.record.bytesOut += this.#client.written - this.#writtenBefore
    this.record.totalMs = performance.now() - this.#begunAt
    cell.request(this.record.status, this.record.totalMs)
    cell.bytes(this.record.bytesIn, this.record.bytesOut)
    if (reason !== '') cell.error(reason)
    accessLog.write(this.record)
    if (whole) this.#client.onFinished(!this.#closeAfter)
    else this.#client.onAborted()
  }

  /** The tunnel that it became has ended, `received` and `sent` bytes later. */
  finishTunnel(received: number, sent: number, by: 'client' | 'backend' | 'us' | '', reason: Reason | ''): void {
    this.record.bytesIn += received
    this.record.bytesOut += sent
    this.#end(by, reason, true)
  }
}

/** As it was on the wire: each line with colon, space and CRLF. */
const trailerBytes = ({ rawTrailers }: IncomingMessage): number =>
  rawTrailers.reduce((sum, text) => sum + text.length + 2, 0)

/** One of our own answers, apart. */
function parts(text: string): { phrase: string; raw: string[]; body: string } {
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...lines] = text.slice(0, end).split('\r\n')
  const raw = lines.flatMap((field) => [field.slice(0, field.indexOf(':')), field.slice(field.indexOf(':') + 2)])
  return { phrase: line.split(' ').slice(2).join(' '), raw, body: text.slice(end + 4) }
}
