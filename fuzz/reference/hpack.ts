/** A second decoder of header blocks, written from RFC 7541 with lists and text: slow and plain. */
import { LENGTHS } from '../../lib/datapaths/h2/huffman.ts'
import { STATIC_ENTRIES, STATIC_NAMES, STATIC_VALUES } from '../../lib/datapaths/h2/static-table.ts'

/** Every symbol's code as text of 0 and 1: in the order of length and symbol each is the one before and one more (Appendix B). */
const CODES = new Map<string, number>()
{
  let code = 0n
  let length = 0
  for (const symbol of [...LENGTHS.keys()].sort((a, b) => (LENGTHS[a] ?? 0) - (LENGTHS[b] ?? 0) || a - b)) {
    const wanted = LENGTHS[symbol] ?? 0
    code <<= BigInt(wanted - length)
    length = wanted
    CODES.set(code.toString(2).padStart(length, '0'), symbol)
    code++
  }
}

export const encodeHuffman = (text: string): Buffer => {
  const of = new Map([...CODES].map(([code, symbol]) => [symbol, code]))
  const bits = [...Buffer.from(text, 'latin1')].map((byte) => of.get(byte) ?? '').join('')
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1')
  return Buffer.from(padded.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? [])
}

export function readHuffman(bytes: Buffer): string | null {
  let text = ''
  let code = ''
  for (const byte of bytes)
    for (const bit of byte.toString(2).padStart(8, '0')) {
      code += bit
      const symbol = CODES.get(code)
      if (symbol === undefined) continue
      if (symbol === 256) return null
      text += String.fromCharCode(symbol)
      code = ''
    }
  return code.length < 8 && !code.includes('0') ? text : null
}

export type Field = readonly [name: string, value: string]

export class ReferenceDecoder {
  #table: Field[] = []
  #max: number
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
    this.#max = limit
  }

  #evict(): void {
    const size = (): number => this.#table.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0)
    while (size() > this.#max) this.#table.pop()
  }

  #entry(index: number): Field | null {
    if (index <= STATIC_ENTRIES) return index === 0 ? null : [String(STATIC_NAMES[index]), String(STATIC_VALUES[index])]
    return this.#table[index - STATIC_ENTRIES - 1] ?? null
  }

  /** null: malformed. */
  decode(bytes: Buffer): Field[] | null {
    const fields: Field[] = []
    let at = 0
    const integer = (prefix: number): number => {
      const mask = 2 ** prefix - 1
      let value = (bytes[at++] ?? Number.NaN) & mask
      if (value < mask) return value
      for (let shift = 0; shift < 28; shift += 7) {
        const byte = bytes[at++]
        if (byte === undefined) return Number.NaN
        value += (byte & 127) * 2 ** shift
        if (byte < 128) return value
      }
      return Number.NaN
    }
    const text = (): string | null => {
      const coded = ((bytes[at] ?? 0) & 128) !== 0
      if (at >= bytes.length) return null
      const length = integer(7)
      if (!(at + length <= bytes.length)) return null
      const raw = bytes.subarray(at, at + length)
      at += length
      return coded ? readHuffman(raw) : raw.toString('latin1')
    }
    while (at < bytes.length) {
      const byte = bytes[at] ?? 0
      if (byte >= 128) {
        const field = this.#entry(integer(7))
        if (field === null) return null
        fields.push(field)
      } else if (byte >= 32 && byte < 64) {
        const max = integer(5)
        if (fields.length > 0 || !(max <= this.#limit)) return null
        this.#max = max
        this.#evict()
      } else {
        const keep = byte >= 64
        const index = integer(keep ? 6 : 4)
        if (Number.isNaN(index)) return null
        const name = index === 0 ? text() : (this.#entry(index)?.[0] ?? null)
        const value = name === null ? null : text()
        if (name === null || value === null) return null
        fields.push([name, value])
        if (keep) {
          this.#table.unshift([name, value])
          this.#evict()
        }
      }
    }
    return fields
  }
}
