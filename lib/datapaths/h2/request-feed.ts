/** The content of a request on its way to its exchange, framed as HTTP/1.1 has it, as fast as the backend takes it. */
import type { Exchange } from '../http/exchange.ts'
import { Stash } from '../http/stash.ts'
import type { RequestWriter } from './request-writer.ts'

const TAIL_BYTES = 64 // of a chunk beside its content
const SIZE_LINE = 8 // `4000` and two line ends
const SMALL_BYTES = 16 * 1024 // a chunk goes to its exchange in one piece, and so out in one write
const NOTHING = Buffer.alloc(0)

const chunk = Buffer.allocUnsafeSlow(SMALL_BYTES + TAIL_BYTES)

export class RequestFeed {
  /** The client has sent all of it. */
  ended: boolean
  readonly #chunked: boolean
  readonly #declared: number
  #received = 0
  /** What the exchange does not take yet. */
  #stash: Stash | null = null
  #trailers = ''
  /** The end has been fed, or there is nothing to feed. */
  #over: boolean

  constructor(head: RequestWriter, ended: boolean) {
    this.ended = ended
    this.#chunked = head.chunked
    this.#declared = head.length
    this.#over = ended || head.length === 0 || head.key !== ''
  }

  /** So many bytes came; false: more or less than the head told. */
  count(bytes: number, last: boolean): boolean {
    this.#received += bytes
    if (last) this.ended = true
    return this.#declared < 0 || (last ? this.#received === this.#declared : this.#received <= this.#declared)
  }

  /** Lines behind the content. */
  trailers(lines: string): void {
    this.#trailers = lines
  }

  keep(buf: Buffer, start: number, end: number): void {
    if (end === start) return
    if (this.#stash === null) this.#stash = new Stash(buf, start, end)
    else this.#stash.append(buf.subarray(start, end), end - start)
  }

  /** What is kept, for somebody else. */
  take(): Buffer {
    const bytes = this.#stash?.take() ?? NOTHING
    this.#stash = null
    return bytes
  }

  get empty(): boolean {
    return this.#stash === null
  }

  /** Feeds what has just come, behind what is kept; answers how many bytes went. */
  push(exchange: Exchange, buf: Buffer, start: number, end: number): number {
    if (this.#over || this.#stash !== null || !exchange.ready || exchange.requestBlocked) {
      this.keep(buf, start, end)
      return 0
    }
    const stop = this.#feed(exchange, buf, start, end)
    this.keep(buf, stop, end)
    return stop - start
  }

  /** The exchange takes more: feeds what is kept; answers how many bytes went. */
  pull(exchange: Exchange): number {
    if (this.#over || !exchange.ready || exchange.requestBlocked) return 0
    const stash = this.#stash
    if (stash === null) {
      if (this.ended) this.#feed(exchange, NOTHING, 0, 0)
      else if (exchange.unsent) exchange.feed(NOTHING, 0, 0)
      return 0
    }
    this.#stash = null
    const { length } = stash
    const stop = this.#feed(exchange, stash.bytes, 0, length)
    if (stop < length) {
      stash.drop(stop)
      this.#stash = stash
    }
    return stop
  }

  /** Gives content to the exchange as far as it takes it, and the end behind it; answers where it stopped. */
  #feed(exchange: Exchange, buf: Buffer, start: number, end: number): number {
    let p = start
    do {
      if (this.#chunked) p = this.#feedChunk(exchange, buf, p, end)
      else {
        exchange.feed(buf, p, end)
        p = end
        this.#over = this.ended
      }
    } while (p < end && exchange.ready && !exchange.requestBlocked)
    return p
  }

  /** A chunk, and behind the last one the end. */
  #feedChunk(exchange: Exchange, buf: Buffer, start: number, end: number): number {
    const stop = Math.min(end, start + SMALL_BYTES)
    let at = 0
    if (stop > start) {
      at = chunk.latin1Write(`${(stop - start).toString(16)}\r\n`, 0)
      at += buf.copy(chunk, at, start, stop)
      at += chunk.latin1Write('\r\n', at)
    }
    if (stop < end || !this.ended) exchange.feed(chunk, 0, at)
    else {
      this.#over = true
      const tail = `0\r\n${this.#trailers}\r\n`
      const fits = tail.length <= TAIL_BYTES - SIZE_LINE
      const whole = fits ? chunk : Buffer.concat([chunk.subarray(0, at), Buffer.from(tail, 'latin1')])
      exchange.feed(whole, 0, fits ? at + chunk.latin1Write(tail, at) : whole.length)
    }
    return stop
  }

  drop(): void {
    this.#stash = null
    this.#over = true
  }
}
