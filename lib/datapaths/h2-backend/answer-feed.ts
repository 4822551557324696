/** The content of an answer on its way to its exchange, framed as HTTP/1.1 has it, as fast as the client takes it. */
import { Stash } from '../http/stash.ts'

export type AnswerKind = 'none' | 'length' | 'chunked' | 'tunnel'

const PIECE_BYTES = 16 * 1024 // a chunk goes to its exchange in one piece, and so out in one write
const FRAMING_BYTES = 32 // a size line, line ends, and the last chunk
const NOTHING = Buffer.alloc(0)

const chunk = Buffer.allocUnsafeSlow(PIECE_BYTES + FRAMING_BYTES)

export class AnswerFeed {
  #kind: AnswerKind = 'none'
  /** Bytes that its length announces and that have not come. */
  #left = 0
  /** What its reader does not take yet: at most what the stream's window allows. */
  #stash: Stash | null = null
  /** Lines behind the content. */
  trailers = ''
  /** The backend has sent all of it. */
  ended = false
  /** All of it has been given on. */
  over = false
  /** The piece that is to be given on. */
  bytes: Buffer = NOTHING
  length = 0

  begin(kind: AnswerKind, length: number): void {
    this.#kind = kind
    this.#left = kind === 'length' ? length : 0
    this.over = kind === 'none'
  }

  /** It ends with its head. */
  finish(): void {
    this.ended = true
    this.over = true
  }

  /** Nothing of its content is missing, whether or not the stream has ended. */
  get complete(): boolean {
    return this.#kind === 'none' || (this.#kind === 'length' && this.#left === 0) || (this.ended && this.over)
  }

  /** So many bytes came; false: more or less than the head told. */
  count(bytes: number, last: boolean): boolean {
    if (this.#kind === 'none') return bytes === 0
    if (this.#kind !== 'length') return true
    this.#left -= bytes
    return this.#left >= 0 && (!last || this.#left === 0)
  }

  get empty(): boolean {
    return this.#stash === null
  }

  keep(buf: Buffer, start: number, end: number): void {
    if (end === start) return
    if (this.#stash === null) this.#stash = new Stash(buf, start, end)
    else this.#stash.append(buf.subarray(start, end), end - start)
  }

  take(): Buffer {
    const bytes = this.#stash?.take() ?? NOTHING
    this.#stash = null
    return bytes
  }

  /** Makes the next piece of `buf[p..end)`, behind which nothing is kept; answers where it ends. */
  next(buf: Buffer, p: number, end: number): number {
    if (this.#kind !== 'chunked') {
      this.bytes = p === 0 ? buf : buf.subarray(p, end)
      this.length = end - p
      this.over = this.ended
      return end
    }
    const stop = Math.min(end, p + PIECE_BYTES)
    let at = 0
    if (stop > p) {
      at = chunk.latin1Write(`${(stop - p).toString(16)}\r\n`, 0)
      at += buf.copy(chunk, at, p, stop)
      at += chunk.latin1Write('\r\n', at)
    }
    this.bytes = chunk
    if (stop === end && this.ended && !this.over) {
      this.over = true
      if (this.trailers === '') at += chunk.latin1Write('0\r\n\r\n', at)
      else {
        this.bytes = Buffer.concat([chunk.subarray(0, at), Buffer.from(`0\r\n${this.trailers}\r\n`, 'latin1')])
        at = this.bytes.length
      }
    }
    this.length = at
    return stop
  }
}
