/** The part of DNS messages (RFC 1035) that a probe needs: one question, and the records of its answer. */
import { formatIPv6 } from './ipv6.ts'

const TYPES = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33 } as const
export type DnsType = keyof typeof TYPES
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED']
const HEAD = 12
const MAX_RECORDS = 256 // of one answer; more are not looked at
const MAX_JUMPS = 32 // of a compressed name: a name has at most 127 labels, and an honest one jumps a few times

export interface DnsAnswer {
  /** `NOERROR`, or `code 9` where it has no name here. */
  readonly code: string
  readonly truncated: boolean
  /** What the records of the type that was asked for hold, as text. */
  readonly values: readonly string[]
}

export function encodeQuestion(id: number, name: string, type: DnsType): Buffer {
  const labels = name.split('.').filter((label) => label !== '')
  const head = Buffer.alloc(HEAD)
  head.writeUInt16BE(id, 0)
  head.writeUInt16BE(0x0100, 2) // recursion desired
  head.writeUInt16BE(1, 4)
  const text = labels.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')]))
  return Buffer.concat([head, ...text, Buffer.of(0, 0, TYPES[type], 0, 1)])
}

/** @returns the answer to this question, or null for anything else */
export function decodeAnswer(question: Buffer, bytes: Buffer, type: DnsType): DnsAnswer | null {
  if (bytes.length < question.length || bytes.readUInt16BE(0) !== question.readUInt16BE(0)) return null
  const flags = bytes.readUInt16BE(2)
  if ((flags & 0xf800) !== 0x8000) return null // an answer to a standard query
  const asked = (of: Buffer): string => of.toString('latin1', HEAD, question.length).toLowerCase()
  if (bytes.readUInt16BE(4) !== 1 || asked(bytes) !== asked(question)) return null
  const code = CODES[flags & 15] ?? `code ${flags & 15}`
  try {
    const values = new Reader(bytes, question.length).values(Math.min(bytes.readUInt16BE(6), MAX_RECORDS), type)
    return { code, truncated: (flags & 0x0200) !== 0, values }
  } catch (error) {
    if (error instanceof RangeError) return null // it ends within a record
    throw error
  }
}

class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  values(count: number, type: DnsType): string[] {
    const values: string[] = []
    for (let n = 0; n < count; n++) {
      this.#name()
      const found = this.#uint16()
      this.#at += 6 // class and time to live
      const length = this.#uint16()
      const end = this.#at + length
      if (end > this.#bytes.length) throw new RangeError('a record ends behind the message')
      if (found === TYPES[type]) values.push(this.#value(type, end))
      this.#at = end
    }
    return values
  }

  #value(type: DnsType, end: number): string {
    const data = this.#bytes.subarray(this.#at, end)
    switch (type) {
      case 'A':
        return [...data].join('.')
      case 'AAAA':
        return formatIPv6(data)
      case 'TXT': {
        const parts: string[] = []
        for (let i = 0; i < data.length; i += 1 + data.readUInt8(i))
          parts.push(data.toString('utf8', i + 1, i + 1 + data.readUInt8(i)))
        return parts.join('')
      }
      case 'MX':
        this.#at += 2
        return this.#name()
      case 'SRV':
        this.#at += 6
        return this.#name()
      default:
        return this.#name()
    }
  }

  #uint16(): number {
    this.#at += 2
    return this.#bytes.readUInt16BE(this.#at - 2)
  }

  /** A name without its last dot. Leaves the place behind it. */
  #name(): string {
    const labels: string[] = []
    let behind: number | undefined
    let size = 0
    for (let jumps = 0; ; ) {
      const length = this.#bytes.readUInt8(this.#at++)
      if (length === 0) break
      if (length >= 0xc0) {
        const to = ((length & 0x3f) << 8) | this.#bytes.readUInt8(this.#at)
        behind ??= this.#at + 1
        this.#at = to
        if (++jumps > MAX_JUMPS) throw new RangeError('a name that runs in circles')
        continue
      }
      size += length + 1
      if (length > 63 || size > 255) throw new RangeError('a name that is too long')
      labels.push(this.#bytes.toString('latin1', this.#at, this.#at + length))
      this.#at += length
    }
    if (behind !== undefined) this.#at = behind
    return labels.join('.')
  }
}
