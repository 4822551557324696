/** Encodes heads (RFC 7541): static names, and a dynamic table for fields that come again. */
import { DynamicTable } from './dynamic-table.ts'
import { copyShort } from './hpack-decoder.ts'
import { SENSITIVE_ENTRIES, STATIC_NAMES, STATUS_ENTRY } from './static-table.ts'

/** What we keep of it at most, whatever the client allows. */
const MAX_TABLE = 4096
const MAX_INDEXED = 256 // bytes of a field that is worth its place
const SEEN = 64 // fields whose second coming is noticed

const STATUS_NAME = 8 // the first entry with the name :status
const LOWER = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) LOWER[byte] = byte >= 65 && byte <= 90 ? byte + 32 : byte

/** FNV-1a over small letters. */
function hashOf(buf: Buffer, start: number, end: number, seed: number): number {
  let hash = seed
  for (let p = start; p < end; p++) hash = Math.imul(hash ^ (LOWER[buf[p] as number] as number), 0x01000193)
  return hash
}
/** The same with the case of letters. */
function hashExactly(buf: Buffer, start: number, end: number, seed: number): number {
  let hash = seed
  for (let p = start; p < end; p++) hash = Math.imul(hash ^ (buf[p] as number), 0x01000193)
  return hash
}
const SEED = 0x811c9dc5 | 0

const NAME_SLOTS = 512
/** Static names by hash: the number of their first entry, with those that collide behind it. */
const NAMES = ((): Uint8Array => {
  const slots = new Uint8Array(NAME_SLOTS)
  for (let i = STATIC_NAMES.length - 1; i > 0; i--) {
    const name = STATIC_NAMES[i] as Buffer
    let slot = hashOf(name, 0, name.length, SEED) & (NAME_SLOTS - 1)
    while (slots[slot] !== 0 && !(STATIC_NAMES[slots[slot] as number] as Buffer).equals(name))
      slot = (slot + 1) & (NAME_SLOTS - 1)
    slots[slot] = i
  }
  return slots
})()

/** The number of the name's first static entry; 0: it has none. */
function staticName(buf: Buffer, start: number, end: number, hash: number): number {
  let slot = hash & (NAME_SLOTS - 1)
  for (;;) {
    const entry = NAMES[slot] as number
    if (entry === 0) return 0
    const name = STATIC_NAMES[entry] as Buffer
    if (name.length === end - start && equalsLower(buf, start, name, 0, name.length)) return entry
    slot = (slot + 1) & (NAME_SLOTS - 1)
  }
}

function equalsLower(buf: Buffer, start: number, lower: Buffer, from: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (LOWER[buf[start + i] as number] !== lower[from + i]) return false
  return true
}

/** Most bytes that a field of so many bytes takes. */
export const encodedAtMost = (bytes: number, fields: number): number => bytes + fields * 12 + 16

export class HpackEncoder {
  readonly #table = new DynamicTable(MAX_TABLE)
  /** Hashes of fields that were sent as they are. */
  #seen: Int32Array | null = null
  /** Sizes that the client must be told of first; -1: none. */
  #least = -1
  #changed = false
  #out: Buffer = Buffer.alloc(0)
  /** Names of fields that no table may keep; null: none is marked so. */
  #unindexed: ReadonlySet<string> | null = null
  /** Where the next byte goes. */
  at = 0

  /** The client's SETTINGS_HEADER_TABLE_SIZE. */
  allow(size: number): void {
    const max = Math.min(size, MAX_TABLE)
    if (max === this.#table.max && !this.#changed) return
    this.#least = this.#changed ? Math.min(this.#least, max) : max
    this.#changed = true
    this.#table.resize(max)
  }

  /** Begins a block at `at`; `out` has room for it. @param unindexed names of fields that came with the mark that no table may keep them */
  begin(out: Buffer, at: number, unindexed: ReadonlySet<string> | null): void {
    this.#out = out
    this.#unindexed = unindexed
    this.at = at
    if (!this.#changed) return
    this.#changed = false
    if (this.#least < this.#table.max) this.#integer(this.#least, 31, 32)
    this.#integer(this.#table.max, 31, 32)
  }

  status(status: number): void {
    const entry = STATUS_ENTRY.get(status)
    if (entry !== undefined) this.#out[this.at++] = 128 | entry
    else {
      this.#out[this.at++] = STATUS_NAME
      this.#out[this.at++] = 3
      this.at += this.#out.latin1Write(String(status), this.at)
    }
  }

  /** An entry of the static table. */
  indexed(entry: number): void {
    this.#out[this.at++] = 128 | entry
  }

  /** A field with the name of a static entry, and a value of `buf`. */
  named(entry: number, buf: Buffer, valueStart: number, valueEnd: number): void {
    const name = STATIC_NAMES[entry] as Buffer
    const { length } = name
    this.#field(entry, hashOf(name, 0, length, SEED), name, 0, length, buf, valueStart, valueEnd)
  }

  /** A field of `buf`; its name goes out in small letters. */
  field(buf: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const hash = hashOf(buf, nameStart, nameEnd, SEED)
    const entry = staticName(buf, nameStart, nameEnd, hash)
    this.#field(entry, hash, buf, nameStart, nameEnd, buf, valueStart, valueEnd)
  }

  #field(
    entry: number,
    nameHash: number,
    names: Buffer,
    nameStart: number,
    nameEnd: number,
    buf: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void {
    const nameLength = nameEnd - nameStart
    const valueLength = valueEnd - valueStart
    if (SENSITIVE_ENTRIES.has(entry) || (this.#unindexed !== null && this.#isMarked(names, nameStart, nameEnd))) {
      this.#literal(names, buf, 16, 15, entry, nameStart, nameEnd, valueStart, valueEnd)
      return
    }
    if (nameLength + valueLength > MAX_INDEXED) {
      this.#literal(names, buf, 0, 15, entry, nameStart, nameEnd, valueStart, valueEnd)
      return
    }
    const hash = hashExactly(buf, valueStart, valueEnd, nameHash)
    const index = this.#find(hash, names, nameStart, nameLength, buf, valueStart, valueLength)
    if (index >= 0) return this.#integer(index + STATIC_NAMES.length, 127, 128)
    this.#seen ??= new Int32Array(SEEN)
    const slot = hash & (SEEN - 1)
    if (this.#seen[slot] !== hash) {
      this.#seen[slot] = hash
      this.#literal(names, buf, 0, 15, entry, nameStart, nameEnd, valueStart, valueEnd)
      return
    }
    const nameAt = this.#literal(names, buf, 64, 63, entry, nameStart, nameEnd, valueStart, valueEnd)
    const name = entry === 0 ? this.#out : (STATIC_NAMES[entry] as Buffer)
    this.#table.add(name, entry === 0 ? nameAt : 0, nameLength, buf, valueStart, valueLength, hash)
  }

  #isMarked(names: Buffer, start: number, end: number): boolean {
    return this.#unindexed?.has(names.latin1Slice(start, end).toLowerCase()) === true
  }

  /** The entry of the dynamic table that is this field; -1: there is none. */
  #find(
    hash: number,
    names: Buffer,
    nameStart: number,
    nameLength: number,
    buf: Buffer,
    valueStart: number,
    valueLength: number,
  ): number {
    const table = this.#table
    for (let i = table.find(hash, 0); i >= 0; i = table.find(hash, i + 1)) {
      if (table.nameLength(i) !== nameLength || table.valueLength(i) !== valueLength) continue
      const start = table.nameStart(i)
      if (!equalsLower(names, nameStart, table.bytes, start, nameLength)) continue
      const value = start + nameLength
      if (buf.compare(table.bytes, value, value + valueLength, valueStart, valueStart + valueLength) === 0) return i
    }
    return -1
  }

  /** Answers where the name went, if it has no static entry. */
  #literal(
    names: Buffer,
    buf: Buffer,
    kind: number,
    mask: number,
    entry: number,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
  ): number {
    const out = this.#out
    let nameAt = 0
    this.#integer(entry, mask, kind)
    if (entry === 0) {
      this.#integer(nameEnd - nameStart, 127, 0)
      nameAt = this.at
      for (let p = nameStart; p < nameEnd; p++) out[this.at++] = LOWER[names[p] as number] as number
    }
    const length = valueEnd - valueStart
    this.#integer(length, 127, 0)
    copyShort(buf, valueStart, out, this.at, length)
    this.at += length
    return nameAt
  }

  #integer(value: number, mask: number, kind: number): void {
    const out = this.#out
    if (value < mask) {
      out[this.at++] = kind | value
      return
    }
    out[this.at++] = kind | mask
    let rest = value - mask
    while (rest >= 128) {
      out[this.at++] = (rest & 127) | 128
      rest >>>= 7
    }
    out[this.at++] = rest
  }
}
