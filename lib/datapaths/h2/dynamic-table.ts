/** The dynamic table of HPACK (RFC 7541 §2.3.2, §4): entries in the order of their coming, the oldest leave first. */

const OVERHEAD = 32 // what an entry counts beside its bytes (RFC 7541 §4.1)
const SLOT_INTS = 4 // start, bytes of the name, bytes of the value, hash
const FIRST_BYTES = 512
const FIRST_SLOTS = 16

export class DynamicTable {
  /** Most that it may hold, and what it holds now, as RFC 7541 §4.1 counts. */
  max: number
  size = 0
  count = 0
  /** Names and values of the entries, each behind the other; the newest ends at `#end`. */
  bytes = Buffer.alloc(0)
  #slots = new Int32Array(0)
  #first = 0
  #end = 0

  constructor(max: number) {
    this.max = max
  }

  #slot(index: number): number {
    return ((this.#first + this.count - 1 - index) % (this.#slots.length / SLOT_INTS)) * SLOT_INTS
  }

  /** Entry 0 is the newest. */
  nameStart(index: number): number {
    return this.#slots[this.#slot(index)] as number
  }
  nameLength(index: number): number {
    return this.#slots[this.#slot(index) + 1] as number
  }
  valueLength(index: number): number {
    return this.#slots[this.#slot(index) + 2] as number
  }

  /** The newest entry with this hash from `from` on; -1: there is none. */
  find(hash: number, from: number): number {
    for (let index = from; index < this.count; index++) if (this.#slots[this.#slot(index) + 3] === hash) return index
    return -1
  }

  resize(max: number): void {
    this.max = max
    this.#evict(0)
  }

  #evict(room: number): void {
    while (this.count > 0 && this.size + room > this.max) {
      const slot = this.#slot(this.count - 1)
      this.size -= (this.#slots[slot + 1] as number) + (this.#slots[slot + 2] as number) + OVERHEAD
      this.#first = (this.#first + 1) % (this.#slots.length / SLOT_INTS)
      this.count--
    }
    if (this.count === 0) this.#end = 0
  }

  /** Adds a field. One that is larger than all of the table empties it (§4.4). */
  add(
    name: Buffer,
    nameStart: number,
    nameLength: number,
    value: Buffer,
    valueStart: number,
    valueLength: number,
    hash: number,
  ): void {
    const length = nameLength + valueLength
    this.#evict(length + OVERHEAD)
    if (length + OVERHEAD > this.max) return
    this.#reserve(length)
    const at = this.#end
    name.copy(this.bytes, at, nameStart, nameStart + nameLength)
    value.copy(this.bytes, at + nameLength, valueStart, valueStart + valueLength)
    this.#end = at + length
    this.size += length + OVERHEAD
    if (this.count * SLOT_INTS === this.#slots.length) this.#grow()
    this.count++
    const slot = this.#slot(0)
    this.#slots[slot] = at
    this.#slots[slot + 1] = nameLength
    this.#slots[slot + 2] = valueLength
    this.#slots[slot + 3] = hash
  }

  /** Room behind the newest entry: by moving all to the front, or in more memory. Never more than twice `max`. */
  #reserve(length: number): void {
    if (this.#end + length <= this.bytes.length) return
    const start = this.count === 0 ? 0 : this.nameStart(this.count - 1)
    const used = this.#end - start
    if (2 * (used + length) <= this.bytes.length) this.bytes.copyWithin(0, start, this.#end)
    else {
      const grown = Buffer.alloc(Math.max(FIRST_BYTES, 2 * (used + length)))
      this.bytes.copy(grown, 0, start, this.#end)
      this.bytes = grown
    }
    for (let index = 0; index < this.count; index++) {
      const slot = this.#slot(index)
      this.#slots[slot] = (this.#slots[slot] as number) - start
    }
    this.#end = used
  }

  #grow(): void {
    const slots = new Int32Array(Math.max(FIRST_SLOTS * SLOT_INTS, 2 * this.#slots.length))
    for (let index = 0; index < this.count; index++) {
      const from = this.#slot(index)
      slots.set(this.#slots.subarray(from, from + SLOT_INTS), (this.count - 1 - index) * SLOT_INTS)
    }
    this.#slots = slots
    this.#first = 0
  }
}
