/** Watches the bytes of a head for what node's parser lets pass: spaces, empty lines, other protocols, a head without end. */
import { type Refusal, refusal } from './fields.ts'

// RFC 9112 §2.2 and §3: one empty line may come first; then exactly three parts.
const START_LINE = /^(?:\r\n)?[^ \r\n]+ [^ \r\n]+ HTTP\/\d\.\d\r\n$/
const AROUND_TARGET = 64 // method, spaces, version and an empty line in front

export class HeadWatch {
  readonly #maxTarget: number
  readonly #maxHead: number
  #line = ''
  /** Bytes of the head so far; those of its start line. */
  #bytes = 0
  #lineBytes = 0

  constructor(maxTarget: number, maxHead: number) {
    this.#maxTarget = maxTarget
    this.#maxHead = maxHead
  }

  /** A head begins with the next byte. */
  begin(): void {
    this.#line = ''
    this.#bytes = 0
    this.#lineBytes = 0
  }

  /** `bytes[0..length)` are of the head, or behind it. */
  take(bytes: Buffer, length: number): Refusal | null {
    this.#bytes += length
    if (this.#lineBytes > 0) return null
    const most = this.#maxTarget + AROUND_TARGET
    this.#line += bytes.toString('latin1', 0, Math.min(length, most))
    let end = this.#line.indexOf('\n') + 1
    if (this.#line.startsWith('\r\n')) end = this.#line.indexOf('\n', 2) + 1
    if (end === 0) return this.#line.length >= most ? refusal(414, 'the target is too long') : null
    this.#lineBytes = end
    const line = this.#line.slice(0, end)
    this.#line = ''
    return START_LINE.test(line) ? null : refusal(400, 'the request line is malformed')
  }

  /** All bytes so far were of the head, and it is not whole: is it too large by now? */
  get overlong(): boolean {
    return this.#lineBytes > 0 && this.#bytes - this.#lineBytes > this.#maxHead
  }
}
