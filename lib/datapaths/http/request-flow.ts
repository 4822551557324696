/** A request as both HTTP engines treat it: its admission, the begin of its answer, its next try, and what its silence means. */
import type { Reason } from '../../board/index.ts'
import { nowMs } from '../../core/index.ts'
import type { Reply } from '../../filters/index.ts'
import { type Failure, isGatewayError, PlacedFlow } from '../placed-flow.ts'
import { challengeReply } from './challenge.ts'
import type { HttpContext } from './context.ts'
import { Expectation, type Teller } from './expectation.ts'
import type { Filtered } from './filtering.ts'
import { TOO_LARGE, TOO_SLOW } from './upload.ts'

const CLOSED: Failure = {
  status: 502,
  reason: 'backend-closed',
  detail: 'the backend closed the connection without an answer',
}

/** What a flow asks of the client's connection, whichever engine reads it. */
export interface FlowClient {
  readonly hop: { readonly trusted: boolean }
  readonly peerPort: number
  /** Its entry in the table of clients. */
  readonly client: number
  /** No further request is wanted on this connection. */
  readonly closing: boolean
  /** Something moved: the time limit of the phase starts anew. */
  onProgress(): void
  /** The answer is out whole. `keep`: the connection may carry the next request. */
  onFinished(keep: boolean): void
  /** The answer can't be whole any more: the connection is to be cut. */
  onAborted(): void
}

/** A side that bytes are written to. */
export interface Taker {
  /** It has not taken all of them. */
  readonly pending: boolean
  /** Bytes that it has not. */
  readonly queued: number
}

export abstract class RequestFlow extends PlacedFlow implements Teller {
  declare protected readonly context: HttpContext
  protected abstract readonly client: FlowClient
  /** null: the client did not ask for a 100. */
  protected readonly expectation: Expectation | null
  /** When the request went out. */
  protected sentAt = this.begunAt
  /** When the last of its body did; 0: it has none, or not yet, or nobody asks. */
  protected wholeAt = 0
  /** The client's connection ends behind the answer. */
  protected closeAfter = false
  /** Bytes that a slow side had not taken when its time was last up. */
  protected queued = Number.POSITIVE_INFINITY
  /** The answer's head is out. */
  answered = false
  /** Bytes went to the client since the last look (half-closed clients are watched by it). */
  progressed = false

  /** @param expects the client waits for a 100 before it sends its body */
  constructor(context: HttpContext, clientAddress: string, clientPort: number, id: string, expects: boolean) {
    super(context, clientAddress, clientPort, id)
    this.expectation = expects ? new Expectation(context.wheel, this) : null
  }

  /** What the filters made of the request; null: there are none. */
  protected abstract get filtered(): Filtered | null
  /** The body will be longer than it may: its head says so. */
  protected abstract get tooLarge(): boolean
  /** All of the request's body is there. */
  abstract get requestDone(): boolean
  /** The client owes bytes of its body, and nothing keeps it from sending them. */
  protected abstract get bodyDue(): boolean
  /** They come slower than they may. */
  protected abstract get slow(): boolean
  /** Who is written to: the client once the answer has begun, the backend before. */
  protected abstract get taker(): Taker | null | undefined
  /** What its pool and affinity know the request by: read once its place is known. */
  protected abstract readKeys(): void
  /** The backend leaves a client waiting that asked for a 100: we say it. */
  abstract onContinueDue(): void
  /** Answers as a filter, or the pool's `sorry`, says. */
  protected abstract give(given: Reply): void
  /** Answers the request ourselves, or, when an answer is under way, breaks it off. */
  abstract refuse(status: number, reason: Reason, detail: string, retryAfter?: number): void
  /** Ends the flow; the second time nothing happens. `whole`: the client got an answer to its end. */
  protected abstract end(by: string, reason: Reason | '', whole: boolean): void

  /** Looks for a backend, unless the answer is ours. */
  start(): void {
    const { requestLimit, challenges, load } = this.context
    if (load.shedding) return this.refuse(503, 'overload', 'there is too much to do')
    const proof = challenges.http === null ? null : challengeReply(challenges.http, this.method, this.target)
    if (proof !== null) return this.give(proof)
    if (requestLimit !== null) {
      const { hop, client } = this.client
      const wait = hop.trusted
        ? requestLimit.askFor(this.clientAddress, this.begunAt)
        : requestLimit.ask(client, this.begunAt)
      if (wait > 0) return this.refuse(429, 'limit-rate', 'there are too many requests from this address', wait)
    }
    if (this.tooLarge) return this.refuse(TOO_LARGE.status, TOO_LARGE.reason, TOO_LARGE.detail)
    const { filtered } = this
    if (filtered !== null) {
      if (filtered.reply) return this.give(filtered.reply)
      const place = this.context.poolFor(filtered.view)
      if (place === null) return this.refuse(404, 'no-route', 'no route leads there')
      this.place = place
    }
    this.readKeys()
    this.seekBackend()
  }

  /** No further try: the answer is what the last one failed with. */
  protected override onUnplaced(): void {
    const { status, reason, detail, retryAfter } = this.failure
    const sorry = reason === 'no-backend' ? this.context.sorryOf(this.place) : undefined
    if (sorry !== undefined) this.give(sorry)
    else this.refuse(status, reason, detail, retryAfter)
  }

  /** The answer begins with this status; gives the time. */
  protected answering(status: number): number {
    const now = nowMs()
    this.answered = true
    this.expectation?.rest()
    this.phase = 'response'
    this.status = status
    this.firstByteMs = now - this.sentAt
    const cell = this.backend?.cell
    cell?.responded(this.firstByteMs)
    cell?.request(status)
    if (isGatewayError(status)) this.judge(false)
    if (this.place.timed) this.#timed(now, status < 500)
    return now
  }

  /** A request whose body is still coming tells nothing of the backend's pace. */
  #timed(now: number, good: boolean): void {
    if (this.requestDone) this.timeTaken(now, Math.max(this.sentAt, this.wholeAt), good)
  }

  /**
   * The connection to the backend died without an answer; false: so does the request, which is answered.
   * @param stale it died while it was idle
   * @param safe the request can be sent again, and does no harm twice
   */
  protected mayAgain(stale: boolean, safe: boolean): boolean {
    if (!stale) this.judge(false)
    this.failure = CLOSED
    if (safe && (stale || !this.spent)) return true
    this.onUnplaced()
    return false
  }

  /** The next try. A connection that died while idle says nothing of its backend: the next one dials, and may go there again. */
  protected again(stale: boolean): void {
    if (stale) {
      this.stale = true
      this.tries--
    }
    this.tryAnother(stale ? 'stale-connection' : 'backend-closed', stale ? null : this.backend)
  }

  /** Time is up: the client's or the backend's, as the phase says. A side that still takes bytes, however slowly, goes on. */
  timeout(): void {
    const { taker } = this
    if (taker?.pending === true) {
      const { queued } = taker
      if (queued < this.queued) {
        this.queued = queued
        return this.client.onProgress()
      }
    }
    if (this.answered) {
      if (taker?.pending === true) return this.finish('client', 'client-timeout')
      return this.finish('backend', 'truncated-response')
    }
    if (this.bodyDue) {
      if (this.slow) return this.refuse(TOO_SLOW.status, TOO_SLOW.reason, TOO_SLOW.detail)
      return this.refuse(408, 'client-timeout', 'the body did not come in time')
    }
    this.#timed(nowMs(), false)
    this.judge(false)
    this.refuse(504, 'backend-timeout', 'the backend did not answer in time')
  }

  /** Ends the exchange. With a reason the client's connection is cut. */
  finish(by: 'client' | 'backend' | 'us' | '', reason: Reason | ''): void {
    this.end(by, reason, reason === '')
  }

  /** The tunnel that it became has ended, `received` and `sent` bytes later. */
  finishTunnel(received: number, sent: number, by: 'client' | 'backend' | 'us' | '', reason: Reason | ''): void {
    this.bytesIn += received
    this.bytesOut += sent
    this.end(by, reason, true)
  }
}
