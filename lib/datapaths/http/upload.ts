/** A request's way to the backend: what has gone out, what could go out again, and how fast the rest must come. */
import type { Reason } from '../../board/index.ts'
import type { DeadlineWheel } from '../../core/index.ts'
import type { Wire } from '../wire.ts'
import { Body } from './body.ts'
import { BodyPace } from './body-pace.ts'
import type { Framing } from './framing.ts'

const MAX_REPLAY = 16 * 1024 // a body up to here goes out as text and is kept until the answer begins

/** Why the body can't go on. */
interface Refusal {
  readonly status: number
  readonly reason: Reason
  readonly detail: string
}
export const TOO_LARGE: Refusal = { status: 413, reason: 'too-large', detail: 'the body is too large' }
export const TOO_SLOW: Refusal = { status: 408, reason: 'limit-body-rate', detail: 'the body came too slowly' }

export class Upload {
  readonly #body: Body
  /** How fast the body comes; null: it is not looked at. */
  #pace: BodyPace | null = null
  /** The body in hand as text while it can be sent again; null when it can't. */
  #replay: string | null
  #prefix = ''
  /** A body that comes in chunks is kept too, as far as it is small: the backend may hand it back. */
  #keeps = false

  constructor(framing: Framing, maxBody: number) {
    const kind = framing.chunked ? 'chunked' : framing.length > 0 ? 'length' : 'none'
    this.#body = new Body(kind, framing.length, framing.chunked, true, maxBody, framing.nominated)
    this.#replay = this.#body.done ? '' : null
  }

  get done(): boolean {
    return this.#body.done
  }
  /** There is no body. */
  get empty(): boolean {
    return this.#body.kind === 'none'
  }
  /** The backend does not take more now. */
  get blocked(): boolean {
    return this.#body.blocked
  }
  /** The head waits for the first bytes of the body, to go out with them. */
  get unsent(): boolean {
    return this.#prefix !== ''
  }
  /** All that has gone out is in hand: another backend could be asked. */
  get repeatable(): boolean {
    return this.#replay !== null || (this.#keeps && this.unsent)
  }

  /** The length that the head tells is above the limit. */
  exceeds(limit: number | undefined): boolean {
    return limit !== undefined && this.#body.length > limit
  }

  /** Starts with `head`: at once with all that there is, or with the first bytes that `feed` brings. */
  begin(
    head: string,
    to: Wire,
    wheel: DeadlineWheel,
    bodyRate: { readonly rate: number; readonly grace: number },
    keeps: boolean,
  ): void {
    this.#body.blocked = false // of another connection, if it was
    this.#keeps = keeps
    if (this.#replay !== null) {
      to.writeText(head + this.#replay)
      return
    }
    this.#prefix = head
    if (bodyRate.rate > 0) this.#pace = new BodyPace(wheel, bodyRate)
  }

  /** Sends on what belongs to the body of `buf[start..end)`; answers where it ends. Then look at `refusal` and `blocked`. */
  feed(buf: Buffer, start: number, end: number, from: Wire, to: Wire): number {
    const body = this.#body
    const prefix = this.#prefix
    const first = prefix !== ''
    const stop = body.relay(buf, start, end, from, to, prefix)
    this.#prefix = ''
    if (first && body.done && body.kind === 'length' && stop - start <= MAX_REPLAY)
      this.#replay = buf.latin1Slice(start, stop)
    else if (this.#keeps && body.kind === 'chunked') this.#keep(first, prefix.length)
    if (body.blocked) this.#pace?.hold()
    return stop
  }

  /** Keeps what has just been written behind a prefix of so many characters. */
  #keep(first: boolean, prefix: number): void {
    const { written } = this.#body
    const before = first ? '' : this.#replay
    const kept = written === null || before === null ? null : before + written.slice(prefix)
    this.#replay = kept !== null && kept.length <= MAX_REPLAY ? kept : null
  }

  get refusal(): Refusal | null {
    const { problem, tooLarge } = this.#body
    if (problem !== '') return { status: 400, reason: 'bad-request', detail: problem }
    if (tooLarge) return TOO_LARGE
    return this.slow ? TOO_SLOW : null
  }

  /** The backend takes more again; false: it never stopped. */
  unblock(): boolean {
    if (!this.#body.blocked) return false
    this.#body.blocked = false
    this.#pace?.goOn()
    return true
  }

  /** The body comes, and too slowly. */
  get slow(): boolean {
    const { bytes, done } = this.#body
    return this.#pace !== null && !done && bytes > 0 && this.#pace.left(bytes) <= 0
  }

  /** ms that the next piece may take, at most `limit`. */
  patience(limit: number): number {
    return this.#pace === null ? limit : Math.max(1, Math.min(limit, this.#pace.left(this.#body.bytes)))
  }

  /** An answer came before the body's end: nobody waits for it any more. */
  forgive(): void {
    this.#pace = null
  }

  release(from: Wire): void {
    this.#body.release(from)
  }
}
