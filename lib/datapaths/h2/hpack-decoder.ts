/** Decodes header blocks (RFC 7541): the state of one direction of one connection, and pure otherwise. */
import { DynamicTable } from './dynamic-table.ts'
import { FIELD_OVERHEAD, type FieldBlock, memory } from './field-block.ts'
import { decodeHuffman } from './huffman.ts'
import { SENSITIVE_ENTRIES, STATIC_ENTRIES, STATIC_NAMES, STATIC_VALUES } from './static-table.ts'

const NEVER_INDEXED = 0x10
const MAX_INTEGER_BYTES = 4 // beyond the prefix: 2^28 is more than any length or index means

export class HpackDecoder {
  readonly #table: DynamicTable
  /** What the peer may make the table. */
  #maxTable: number
  /** It knows of a smaller table, and must say so before anything else (RFC 9113 §4.3.1). */
  #owing = false
  #buf: Buffer = memory
  #p = 0
  #end = 0
  #broken = false
  /** Changes of the table's size in the last block. */
  sizeChanges = 0

  constructor(maxTable: number) {
    this.#maxTable = maxTable
    this.#table = new DynamicTable(maxTable)
  }

  /** Our SETTINGS_HEADER_TABLE_SIZE is on its way: which size the peer's next blocks go by is not known. */
  offer(maxTable: number): void {
    this.#maxTable = Math.max(this.#maxTable, maxTable)
  }

  /** The peer has acknowledged it. */
  settle(maxTable: number): void {
    this.#maxTable = maxTable
    if (this.#table.max > maxTable) this.#owing = true
  }

  /** Decodes a whole block into `block`, which has begun; false: it is no such block, and the connection is lost. */
  decode(buf: Buffer, start: number, end: number, block: FieldBlock): boolean {
    this.#buf = buf
    this.#p = start
    this.#end = end
    this.#broken = false
    this.sizeChanges = 0
    if (this.#owing) {
      if (start === end || ((buf[start] as number) & 0xe0) !== 0x20) return false
      this.#owing = false
    }
    let fields = 0
    while (this.#p < end && !this.#broken) {
      const byte = buf[this.#p] as number
      if (byte >= 128) this.#indexed(block)
      else if (byte >= 64) this.#literal(block, 63)
      else if (byte >= 32) {
        if (fields > 0) return false // a change of size stands at the beginning (§4.2)
        this.#resize()
        continue
      } else this.#literal(block, 15)
      fields++
    }
    return !this.#broken
  }

  #resize(): void {
    const max = this.#integer(31)
    if (max > this.#maxTable) this.#broken = true
    if (this.#broken) return
    this.sizeChanges++
    this.#table.resize(max)
  }

  /** An integer with a prefix of this mask (§5.1). */
  #integer(mask: number): number {
    const buf = this.#buf
    let value = (buf[this.#p++] as number) & mask
    if (value < mask) return value
    for (let i = 0; i < MAX_INTEGER_BYTES; i++) {
      if (this.#p >= this.#end) break
      const byte = buf[this.#p++] as number
      value += (byte & 127) * 2 ** (7 * i)
      if (byte < 128) return value
    }
    this.#broken = true
    return 0
  }

  #indexed(block: FieldBlock): void {
    const index = this.#integer(127)
    if (index === 0 || this.#broken) {
      this.#broken = true
      return
    }
    const table = this.#table
    const dynamic = index - STATIC_ENTRIES - 1
    if (dynamic >= table.count) {
      this.#broken = true
      return
    }
    const { at } = block
    if (dynamic < 0) {
      const name = STATIC_NAMES[index] as Buffer
      const value = STATIC_VALUES[index] as Buffer
      memory.set(name, at)
      const valueStart = at + name.length + 2
      memory.set(value, valueStart)
      return block.add(valueStart, valueStart + value.length)
    }
    const start = table.nameStart(dynamic)
    const nameLength = table.nameLength(dynamic)
    const valueLength = table.valueLength(dynamic)
    const valueStart = at + nameLength + 2
    if (block.size + nameLength + valueLength + FIELD_OVERHEAD <= block.maxSize) {
      copyShort(table.bytes, start, memory, at, nameLength)
      copyShort(table.bytes, start + nameLength, memory, valueStart, valueLength)
    }
    block.add(valueStart, valueStart + valueLength)
  }

  /** With a prefix of six bits it goes into the table (§6.2). */
  #literal(block: FieldBlock, mask: 63 | 15): void {
    const { at } = block
    const never = mask === 15 && ((this.#buf[this.#p] as number) & NEVER_INDEXED) !== 0
    const index = this.#integer(mask)
    if (this.#broken) return
    const nameEnd = index === 0 ? this.#string(at) : this.#name(index, at)
    if (nameEnd < 0) return
    const valueStart = nameEnd + 2
    const valueEnd = this.#string(valueStart)
    if (valueEnd < 0) return
    if (mask === 63) this.#table.add(memory, at, nameEnd - at, memory, valueStart, valueEnd - valueStart, 0)
    block.add(valueStart, valueEnd)
    if (never && !SENSITIVE_ENTRIES.has(index)) block.mark() // those are never kept anyway
  }

  /** Copies an entry's name to `at`; answers where it ends. */
  #name(index: number, at: number): number {
    if (index <= STATIC_ENTRIES) {
      const name = STATIC_NAMES[index] as Buffer
      memory.set(name, at)
      return at + name.length
    }
    const dynamic = index - STATIC_ENTRIES - 1
    if (dynamic >= this.#table.count) {
      this.#broken = true
      return -1
    }
    const length = this.#table.nameLength(dynamic)
    copyShort(this.#table.bytes, this.#table.nameStart(dynamic), memory, at, length)
    return at + length
  }

  /** Reads a string to `at`; answers where it ends, -1: it is broken. */
  #string(at: number): number {
    if (this.#p >= this.#end) {
      this.#broken = true
      return -1
    }
    const coded = (this.#buf[this.#p] as number) >= 128
    const length = this.#integer(127)
    const start = this.#p
    if (this.#broken || length > this.#end - start) {
      this.#broken = true
      return -1
    }
    this.#p = start + length
    if (!coded) {
      copyShort(this.#buf, start, memory, at, length)
      return at + length
    }
    const end = decodeHuffman(this.#buf, start, start + length, memory, at)
    if (end < 0) this.#broken = true
    return end
  }
}

const SHORT = 24 // bytes: beyond it the call of the built-in copy pays

export function copyShort(from: Buffer, start: number, to: Buffer, at: number, length: number): void {
  if (length > SHORT) from.copy(to, at, start, start + length)
  else for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number
}
