/**
 * Text that is put together as bytes, for the access log. Per request it costs less than half of what strings do, which
 * are built as trees, flattened, measured and encoded (docs/performance.md).
 */

const WORD = 8 // bytes
const MAX_ESCAPED = 6 // bytes of one character in JSON: \u00ff

/**
 * ASCII text that is used again and again, copied a word at a time. A word is kept as a double, because only these are
 * moved without an object: ASCII is never a NaN, whose bits the engine may change.
 */
export class Literal {
  readonly words: Float64Array
  readonly length: number

  constructor(text: string) {
    const { length } = text
    const bytes = new Uint8Array(Math.ceil(length / WORD) * WORD)
    for (let i = 0; i < length; i++) bytes[i] = text.charCodeAt(i) & 127
    this.words = new Float64Array(bytes.buffer)
    this.length = length
  }
}

const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

export class LineBuffer {
  readonly #size: number
  #bytes: Buffer
  #view: DataView
  #at = 0

  /** @param size bytes that it holds; a single line may be longer */
  constructor(size: number) {
    this.#size = size
    this.#bytes = Buffer.allocUnsafeSlow(size + WORD)
    this.#view = new DataView(this.#bytes.buffer)
  }

  get length(): number {
    return this.#at
  }

  /** Is there room for a line of `ascii` bytes and `chars` characters that may need escapes? */
  fits(ascii: number, chars: number): boolean {
    return this.#at + ascii + chars * MAX_ESCAPED + WORD <= this.#bytes.length
  }

  /** What was written, for good: the next line goes into other memory, with room for at least `ascii` and `chars`. */
  take(ascii = 0, chars = 0): Buffer {
    const taken = this.#bytes.subarray(0, this.#at)
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(this.#size, ascii + chars * MAX_ESCAPED) + WORD)
    this.#view = new DataView(this.#bytes.buffer)
    this.#at = 0
    return taken
  }

  /** The last word may reach over its end: what comes next covers that, and `fits` has room for it. */
  literal({ words, length }: Literal): void {
    const view = this.#view
    const at = this.#at
    for (let i = 0; i < words.length; i++) view.setFloat64(at + i * WORD, words[i] as number, LITTLE)
    this.#at = at + length
  }

  /** Text of our own making: ASCII, nothing to escape. */
  ascii(text: string): void {
    const { length } = text
    const at = this.#at
    const to = this.#bytes
    for (let i = 0; i < length; i++) to[at + i] = text.charCodeAt(i)
    this.#at = at + length
  }

  /** A JSON string, with its quotes. */
  quoted(text: string): void {
    const { length } = text
    const start = this.#at
    const to = this.#bytes
    to[start] = 34
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code < 0x20 || code > 0x7e || code === 34 || code === 92) {
        this.#at = start + to.write(JSON.stringify(text), start)
        return
      }
      to[start + 1 + i] = code
    }
    to[start + 1 + length] = 34
    this.#at = start + length + 2
  }

  /** A whole number from 0 up. */
  integer(value: number): void {
    if (value < 10) {
      this.#bytes[this.#at++] = 48 + value
      return
    }
    if (value > 0x7fff_ffff) return this.ascii(String(value))
    let digits = 2
    for (let bound = 100; value >= bound && digits < 10; bound *= 10) digits++
    let at = this.#at + digits
    this.#at = at
    for (let left = value; left > 0; ) {
      const rest = (left / 10) | 0
      this.#bytes[--at] = 48 + left - rest * 10
      left = rest
    }
  }

  /** Exactly three digits. */
  three(value: number): void {
    const tens = (value / 10) | 0
    const hundreds = (value / 100) | 0
    this.#bytes[this.#at++] = 48 + hundreds
    this.#bytes[this.#at++] = 48 + tens - hundreds * 10
    this.#bytes[this.#at++] = 48 + value - tens * 10
  }

  /** Any text, as UTF-8. */
  text(text: string): void {
    this.#at += this.#bytes.write(text, this.#at)
  }
}
