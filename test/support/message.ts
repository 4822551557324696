/** Strict reading of HTTP/1.1 messages for both ends of a test: leniency here would hide a fault of the balancer. */

/** One field as it stood on the wire, without the white space around its value. Bytes are latin1 characters. */
export type Field = readonly [name: string, value: string]

export class MalformedMessage extends Error {}

export interface Head {
  /** Everything up to and with the empty line, as latin1. */
  readonly text: string
  readonly startLine: string
  readonly fields: readonly Field[]
}

export type Framing = 'none' | 'length' | 'chunked' | 'close'

const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*$/

function parseFields(lines: readonly string[]): Field[] {
  return lines.map((line) => {
    const match = FIELD.exec(line)
    if (match === null) throw new MalformedMessage(`not a field line: ${JSON.stringify(line)}`)
    return [match[1] ?? '', match[2] ?? ''] as const
  })
}

/** Reads a whole head from the start of `bytes`; `undefined` when its end has not arrived. */
export function readHead(bytes: Buffer): Head | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  const seen = bytes.toString('latin1', 0, end < 0 ? bytes.length : end + 4)
  const bare = /(?:^|[^\r])\n|\r(?!\n|$)/.exec(seen)
  if (bare !== null) throw new MalformedMessage(`bare CR or LF in a head: ${JSON.stringify(seen.slice(0, 300))}`)
  if (end < 0) return undefined
  const [startLine = '', ...lines] = seen.slice(0, -4).split('\r\n')
  return { text: seen, startLine, fields: parseFields(lines) }
}

/** All values of a field, in order. */
export const valuesOf = (fields: readonly Field[], name: string): string[] =>
  fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value)

/** Names in lower case, in order. */
export const namesOf = (fields: readonly Field[]): string[] => fields.map(([name]) => name.toLowerCase())

/** What the fields say about the body; throws where two readers could disagree. */
export function framingOf(fields: readonly Field[]): { framing: Framing; length: number } {
  const lengths = valuesOf(fields, 'content-length')
  const codings = valuesOf(fields, 'transfer-encoding')
  if (lengths.length + codings.length > 1) throw new MalformedMessage(`two framings: ${lengths} ${codings}`)
  if (codings.length === 1) {
    if (codings[0] !== 'chunked') throw new MalformedMessage(`Transfer-Encoding: ${codings[0]}`)
    return { framing: 'chunked', length: 0 }
  }
  const [text] = lengths
  if (text === undefined) return { framing: 'none', length: 0 }
  if (!/^(?:0|[1-9]\d{0,15})$/.test(text)) throw new MalformedMessage(`Content-Length: ${text}`)
  return { framing: 'length', length: Number(text) }
}

/** Takes the bytes of one body, by its framing, and hands back what follows it. */
export class BodyReader {
  readonly framing: Framing
  /** The size line of every chunk, to see how a body was framed. */
  readonly chunkLines: string[] = []
  trailers: readonly Field[] = []
  done: boolean
  #parts: Buffer[] = []
  #left: number
  #pending: Buffer = Buffer.alloc(0)
  #expects: 'size' | 'data' | 'data-end' | 'trailers' = 'size'

  constructor(framing: Framing, length: number) {
    this.framing = framing
    this.#left = length
    this.done = framing === 'none' || (framing === 'length' && length === 0)
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  /** @returns the bytes that are not part of this body; empty while it is not done */
  push(bytes: Buffer): Buffer {
    if (this.done) return bytes
    if (this.framing === 'close') {
      this.#parts.push(bytes)
      return Buffer.alloc(0)
    }
    if (this.framing === 'length') {
      const rest = this.#take(bytes)
      this.done = this.#left === 0
      return rest
    }
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    while (!this.done && this.#chunkStep());
    const rest = this.done ? this.#pending : Buffer.alloc(0)
    if (this.done) this.#pending = Buffer.alloc(0)
    return rest
  }

  /** The connection ended: good for a body that lasts until then, a truncation for any other. */
  end(): void {
    if (this.framing === 'close') this.done = true
    if (!this.done) throw new MalformedMessage(`body cut after ${this.bytes.length} bytes`)
  }

  #take(bytes: Buffer): Buffer {
    const n = Math.min(this.#left, bytes.length)
    if (n > 0) this.#parts.push(bytes.subarray(0, n))
    this.#left -= n
    return bytes.subarray(n)
  }

  #line(): string | undefined {
    const end = this.#pending.indexOf('\n')
    if (end < 0) return undefined
    const line = this.#pending.toString('latin1', 0, end + 1)
    this.#pending = this.#pending.subarray(end + 1)
    if (!line.endsWith('\r\n')) throw new MalformedMessage(`bare LF in a chunked body: ${JSON.stringify(line)}`)
    return line.slice(0, -2)
  }

  /** @returns whether another step may be possible */
  #chunkStep(): boolean {
    if (this.#expects === 'data') {
      this.#pending = this.#take(this.#pending)
      if (this.#left > 0) return false
      this.#expects = 'data-end'
      return true
    }
    if (this.#expects === 'trailers') return this.#readTrailers()
    const line = this.#line()
    if (line === undefined) return false
    if (this.#expects === 'data-end') {
      if (line !== '') throw new MalformedMessage(`bytes after a chunk: ${JSON.stringify(line)}`)
      this.#expects = 'size'
      return true
    }
    if (!/^[0-9A-Fa-f]{1,13}$/.test(line)) throw new MalformedMessage(`chunk size line ${JSON.stringify(line)}`)
    this.chunkLines.push(line)
    this.#left = Number.parseInt(line, 16)
    this.#expects = this.#left === 0 ? 'trailers' : 'data'
    return true
  }

  #readTrailers(): boolean {
    const whole = this.#pending.subarray(0, 2).toString('latin1') === '\r\n' ? 0 : this.#pending.indexOf('\r\n\r\n')
    if (whole < 0) return false
    const lines = this.#pending.toString('latin1', 0, whole)
    if (/(?:^|[^\r])\n|\r(?!\n)/.test(lines)) throw new MalformedMessage(`bare CR or LF in trailers: ${lines}`)
    this.trailers = whole === 0 ? [] : parseFields(lines.split('\r\n'))
    this.#pending = this.#pending.subarray(whole === 0 ? 2 : whole + 4)
    this.done = true
    return true
  }
}
