/** One stream to a backend: to its exchange a connection to a backend with HTTP/1.1, to its session a sender of frames. */
import { Deadline, type DeadlineOwner } from '../../core/index.ts'
import { breakWire } from '../break-wire.ts'
import { Carried } from '../h2/carried.ts'
import { CANCEL, PROTOCOL_ERROR, REFUSED_STREAM } from '../h2/errors.ts'
import { fieldBlock, joined } from '../h2/field-block.ts'
import type { Incoming } from '../h2/inbound.ts'
import type { SenderOwner } from '../h2/message-sender.ts'
import { trailerLines } from '../h2/request-writer.ts'
import { MALFORMED, STREAM_RESET, UNTOUCHED } from '../http/backend-connection.ts'
import type { Marked } from '../http/requester.ts'
import type { Outbox } from '../outbox.ts'
import { idleSink, type Wire, type WireSink } from '../wire.ts'
import { AnswerFeed } from './answer-feed.ts'
import { RequestSender } from './request-sender.ts'
import { responseWriter } from './response-writer.ts'
import type { BackendSession } from './session.ts'

const NOTHING = Buffer.alloc(0)
const END_MS = 1000 // for the end of an answer whose length has come: it is on its way

export class BackendStream extends Carried implements Wire, Incoming, SenderOwner, DeadlineOwner, Marked {
  /** 0: its request has not gone out. */
  id = 0
  sink: WireSink = idleSink
  /** What the backend may send. */
  receiveWindow: number
  /** The backend has sent its last. */
  remoteEnded = false
  readonly fresh = false
  /** No frame of it is of use any more. */
  closed = false
  unindexed: ReadonlySet<string> | null = null
  readonly #session: BackendSession
  readonly #request: RequestSender
  readonly #answer = new AnswerFeed()
  /** When it was opened, and whether the head of its answer has come. */
  readonly #openedAt: number
  #answered = false
  #reading = true
  #feeding = false
  /** Its exchange is over; the backend has yet to end the answer. */
  #deadline: Deadline | null = null
  #uncredited = 0
  #endTold = false

  constructor(session: BackendSession) {
    super()
    this.#session = session
    this.#openedAt = session.wheel.now
    this.receiveWindow = session.options.streamWindow
    this.#request = new RequestSender(session.peer.initialWindow, session.outbound, this)
  }

  /** Its request goes out: answers its number. */
  enter(): number {
    this.id = this.#session.enter(this)
    this.#request.window = this.#session.peer.initialWindow // which may have changed since it was opened
    return this.id
  }

  heed(client: Marked): void {
    this.#request.origin = client
  }

  /** The backend takes tunnels (RFC 8441). */
  get tunnels(): boolean {
    return this.#session.peer.connectProtocol
  }

  // What the session hears of the backend.

  /** The header block in hand is an answer or what follows one. */
  onBlock(ended: boolean): void {
    if (this.#answered) return this.#onTrailers(ended)
    const request = this.#request
    if (!responseWriter.write(ended, request.headOnly, request.upgrade, request.key)) return this.#malformed()
    this.unindexed = fieldBlock.unindexed
    const { status, length } = responseWriter
    if (status >= 200) {
      this.#answered = true
      this.#session.budget.progress()
      const bodiless = request.headOnly || status === 204 || status === 304
      const tunnel = request.upgrade !== '' && status < 300
      this.#answer.begin(
        tunnel ? 'tunnel' : bodiless ? 'none' : length >= 0 ? 'length' : ended ? 'none' : 'chunked',
        length,
      )
      if (ended && !bodiless && length > 0) return this.#malformed()
      if (ended) {
        this.remoteEnded = true
        this.#answer.finish()
      }
    }
    this.sink.onBytes(responseWriter.bytes, responseWriter.end)
    if (ended) this.#afterEnd()
  }

  #onTrailers(ended: boolean): void {
    const lines = ended && !fieldBlock.tooLarge ? trailerLines(fieldBlock) : ''
    if (!ended || (lines === '' && fieldBlock.count > 0)) return this.#malformed()
    this.unindexed = joined(this.unindexed, fieldBlock.unindexed)
    this.#answer.trailers = lines
    this.onData(NOTHING, 0, 0, true)
  }

  onData(buf: Buffer, start: number, end: number, last: boolean): void {
    if (last) this.remoteEnded = true
    if (!this.#answered || !this.#answer.count(end - start, last)) return this.#malformed()
    this.#answer.ended = last
    if (this.#deadline !== null) {
      if (last) this.#close()
      return
    }
    if (!this.#reading || this.#feeding || !this.#answer.empty) {
      this.#answer.keep(buf, start, end)
      return
    }
    this.#feed(buf, start, end)
  }

  /** Gives content to whoever reads, as far as it is taken. */
  #feed(buf: Buffer, start: number, end: number): void {
    const answer = this.#answer
    this.#feeding = true
    let p = start
    do {
      const before = p
      p = answer.next(buf, p, end)
      this.#credit(p - before)
      if (answer.length > 0) this.sink.onBytes(answer.bytes, answer.length)
    } while (p < end && this.#reading && this.sink !== idleSink)
    this.#feeding = false
    if (p < end) answer.keep(buf, p, end)
    this.#afterEnd()
  }

  /** All that came has been given on. */
  #afterEnd(): void {
    if (!this.remoteEnded || !this.#answer.over || this.#endTold || !this.#reading) return
    this.#endTold = true
    if (this.#request.state === 'tunnel') this.sink.onEnd()
  }

  onPadding(bytes: number): void {
    this.#credit(bytes)
  }

  /** So much has gone on: the backend may send more. */
  #credit(bytes: number): void {
    this.#uncredited += bytes
    if (this.remoteEnded || this.closed || 2 * this.#uncredited < this.#session.options.streamWindow) return
    this.#session.outbound.windowUpdate(this.id, this.#uncredited)
    this.receiveWindow += this.#uncredited
    this.#uncredited = 0
  }

  widen(increment: number): boolean {
    return this.#request.widen(increment)
  }

  /** The window of all streams has changed: what may be sent is looked at later. */
  shift(change: number): number {
    this.#request.window += change
    return this.#request.window
  }

  pump(): void {
    this.#request.pump()
  }

  /** The backend ended it before its time, or after it has said all. */
  onReset(code: number): void {
    this.onGone(code === REFUSED_STREAM ? UNTOUCHED : STREAM_RESET)
  }

  /** Nothing comes any more; `code` for whoever reads. */
  onGone(code: string): void {
    if (!this.closed) this.#leave()
    // An answer that is whole and waits for its client is not lost.
    if (this.remoteEnded && !this.#answer.over) return
    this.#tell(code)
  }

  #malformed(): void {
    if (!this.closed) {
      this.#session.outbound.reset(this.id, PROTOCOL_ERROR)
      this.#close()
    }
    this.#tell(MALFORMED)
  }

  #tell(code: string): void {
    const { sink } = this
    this.sink = idleSink
    sink.onClose(code)
  }

  abort(code: number): void {
    if (this.closed) return
    if (this.id > 0) this.#session.outbound.reset(this.id, code)
    this.#close()
  }

  /** The stream is over for both sides. */
  #close(): void {
    if (this.closed) return
    this.#leave()
    this.#session.onStreamClosed(this)
  }

  #leave(): void {
    this.closed = true
    this.#deadline?.release()
    this.#request.drop()
  }

  onDeadline(): void {
    this.abort(CANCEL)
  }
  onThrown(error: unknown): void {
    breakWire(this, error)
  }

  // What an exchange, or a tunnel, does with its connection.

  writeText(text: string): boolean {
    return this.closed || this.#request.text(text)
  }
  writeOut(out: Outbox): boolean {
    return this.closed || this.#request.out(out)
  }
  write(bytes: Buffer, start: number, end: number): boolean {
    return this.closed || this.#request.write(bytes, start, end, false)
  }
  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    return this.closed || this.#request.write(bytes, start, end, true)
  }

  onSent(told: boolean): void {
    if (told) this.sink.onDrain()
  }

  /** Told later: the exchange is in the middle of its own work. */
  onUnsendable(): void {
    this.abort(CANCEL)
    setImmediate(() => this.#tell(STREAM_RESET))
  }

  pause(): void {
    this.#reading = false
  }

  resume(): void {
    if (this.#reading) return
    this.#reading = true
    if (this.#feeding) return
    const kept = this.#answer.take()
    if (kept.length > 0 || this.remoteEnded) this.#feed(kept, 0, kept.length)
  }

  end(): void {
    if (!this.closed) this.#request.end()
  }

  /** Its exchange is over. What the backend still has to say is the end of a whole answer, or unwanted. */
  destroy(): void {
    this.sink = idleSink
    if (this.closed) return
    if (!this.#request.ended || !this.#answered || !this.#answer.complete) {
      if (!this.#answered) this.#session.onSilence(this.#openedAt)
      return this.abort(CANCEL)
    }
    if (this.remoteEnded) return this.#close()
    this.#deadline = new Deadline(this.#session.wheel, this)
    this.#deadline.set(END_MS)
  }

  reset(): void {
    this.sink = idleSink
    this.abort(CANCEL)
  }

  // The rest of a wire.

  protected get carrier(): Wire {
    return this.#session.wire
  }
  get pending(): boolean {
    return !this.closed && this.#request.queued
  }
  get borrowing(): boolean {
    return this.pending
  }
  get queued(): number {
    return this.#request.length + this.#session.outbound.queued
  }
  get settled(): boolean {
    return !this.pending
  }
  get clientFields(): string {
    return ''
  }
  covers(): boolean {
    return true
  }
}
