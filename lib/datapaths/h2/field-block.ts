/** The fields of one decoded header block, as lines in memory that the heads made of them share. */

/** A field counts so much beside its bytes (RFC 9113 §6.5.2). */
export const FIELD_OVERHEAD = 32

const LINES_BYTES = 256 * 1024 // lines of the largest head that may be configured, and one string of the largest block
const HEADS_BYTES = 256 * 1024 // heads of one read; with more they are dispatched earlier
const MOST_FIELDS = 1005 // most that http.maxFields allows, and the pseudo-fields

/**
 * Lines (`name: value CRLF`) and, behind `headsStart`, the heads that are made of them: a line goes from one to the other by a
 * move within one memory. Shared by all connections of a thread: nothing outlasts a read.
 */
export const memory = Buffer.allocUnsafeSlow(LINES_BYTES + HEADS_BYTES)
export const headsStart = LINES_BYTES

/** One for all connections of a thread: filled by the decoder, used up before anything else happens. */
export class FieldBlock {
  count = 0
  /** Where the next line begins. */
  at = 0
  /** Size of the list by RFC 9113 §6.5.2; beyond a limit fields are not kept. */
  size = 0
  tooLarge = false
  maxSize = 0
  maxFields = 0
  /** Names of fields that came with the mark that no table on any hop may keep them (RFC 7541 §6.2.3); null: none did. */
  unindexed: Set<string> | null = null
  /** Of each field: where its name and its value begin, and where its value ends. */
  readonly #places = new Int32Array(3 * MOST_FIELDS)

  begin(maxSize: number, maxFields: number): void {
    this.count = 0
    this.at = 0
    this.size = 0
    this.tooLarge = false
    this.maxSize = maxSize
    this.maxFields = maxFields
    this.unindexed = null
  }

  nameStart(i: number): number {
    return this.#places[i * 3] as number
  }
  nameEnd(i: number): number {
    return (this.#places[i * 3 + 1] as number) - 2
  }
  valueStart(i: number): number {
    return this.#places[i * 3 + 1] as number
  }
  valueEnd(i: number): number {
    return this.#places[i * 3 + 2] as number
  }
  /** Where the line after this one begins. */
  lineEnd(i: number): number {
    return (this.#places[i * 3 + 2] as number) + 2
  }

  /** The bytes at `at` up to `valueEnd` are a field, with a gap of two bytes in front of its value. */
  add(valueStart: number, valueEnd: number): void {
    const { at } = this
    this.size += valueEnd - at - 2 + FIELD_OVERHEAD
    if (this.tooLarge || this.size > this.maxSize || this.count === this.maxFields) {
      this.tooLarge = true
      return
    }
    const place = this.count * 3
    this.#places[place] = at
    this.#places[place + 1] = valueStart
    this.#places[place + 2] = valueEnd
    memory[valueStart - 2] = 58
    memory[valueStart - 1] = 32
    memory[valueEnd] = 13
    memory[valueEnd + 1] = 10
    this.count++
    this.at = valueEnd + 2
  }

  /** The last field came with the mark. */
  mark(): void {
    if (this.tooLarge) return
    const last = this.count - 1
    this.unindexed ??= new Set()
    this.unindexed.add(memory.latin1Slice(this.nameStart(last), this.nameEnd(last)))
  }
}

export const fieldBlock = new FieldBlock()

/** The names of a head, and those of its trailers. */
export function joined(some: ReadonlySet<string> | null, more: ReadonlySet<string> | null): ReadonlySet<string> | null {
  return some === null || more === null ? (some ?? more) : new Set([...some, ...more])
}
