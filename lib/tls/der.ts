/** The little of DER (X.690) that we need: reads what others wrote, bounded, and writes OCSP requests, certificates and requests for them. */

export interface Element {
  readonly tag: number
  /** Content alone. */
  readonly body: Buffer
  /** With tag and length: what a signature is over. */
  readonly whole: Buffer
}

export const TAG = {
  integer: 2,
  bits: 3,
  octets: 4,
  null: 5,
  oid: 6,
  enumerated: 10,
  utcTime: 23,
  time: 24,
  sequence: 48,
} as const

/** Of a tagged element, `[n]` constructed. */
export const context = (n: number): number => 0xa0 | n

/** Reads elements one after the other; throws where they don't fit. */
export class DerReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): boolean {
    return this.#at < this.#bytes.length
  }

  /** The tag of what comes next; -1 at the end. */
  get tag(): number {
    return this.#bytes[this.#at] ?? -1
  }

  next(tag?: number): Element {
    const start = this.#at
    const found = this.#bytes[start]
    const first = this.#bytes[start + 1]
    if (found === undefined || first === undefined) throw new Error('DER is cut off')
    if (tag !== undefined && found !== tag) throw new Error(`DER has ${found} where ${tag} belongs`)
    let at = start + 2
    let length = first
    if (first >= 0x80) {
      const bytes = first & 0x7f
      if (bytes === 0 || bytes > 3 || at + bytes > this.#bytes.length)
        throw new Error('DER has a length that is not allowed')
      length = this.#bytes.readUIntBE(at, bytes)
      at += bytes
    }
    if (at + length > this.#bytes.length) throw new Error('DER is cut off')
    this.#at = at + length
    return { tag: found, body: this.#bytes.subarray(at, at + length), whole: this.#bytes.subarray(start, at + length) }
  }

  /** What is inside of the next element. */
  inside(tag: number = TAG.sequence): DerReader {
    return new DerReader(this.next(tag).body)
  }
}

export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const { length } = body
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(head), body])
}

/** GeneralizedTime in UTC, as RFC 5280 §4.1.2.5.2 has it; NaN for anything else. */
export function timeOf(body: Buffer): number {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(body.toString('latin1'))
  if (match === null) return Number.NaN
  const [, year, month, day, hour, minute, second] = match.map(Number)
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second)
}
