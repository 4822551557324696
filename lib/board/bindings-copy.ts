/** Takes the bindings of one table over into another of the same size, which need not be of the same process. */
import {
  BUSY,
  bucketsOf,
  COUNT_SHIFT,
  ENTRY,
  entriesAt,
  HEADER,
  KEYS,
  SCOPE_MASK,
  SCOPE_SHIFT,
  TAKEN,
  VERSION,
  WAYS,
} from './bindings-layout.ts'

/** Words of a binding on its way: bucket, scope, and what the entry holds behind its control word. */
const PACKED = ENTRY.words + 1
const FIRST_ROOM = 1024 // bindings; doubled as often as that is too little

/** What a table is told by: only one of the same size and keys finds clients where they were. */
export interface TableFacts {
  readonly keys: Int32Array
  readonly buckets: number
}

export function factsOf(table: SharedArrayBuffer): TableFacts {
  const words = new Int32Array(table)
  return { keys: words.slice(HEADER.keys, HEADER.keys + KEYS), buckets: bucketsOf(words) }
}

/** Every binding. One that is just being written is missing. */
export function packBindings(table: SharedArrayBuffer): Int32Array {
  const words = new Int32Array(table)
  const buckets = bucketsOf(words)
  const entries = entriesAt(buckets)
  let packed = new Int32Array(PACKED * FIRST_ROOM)
  let length = 0
  for (let bucket = 0; bucket < buckets; bucket++) {
    if ((words[HEADER.words + bucket] as number) >>> COUNT_SHIFT === 0) continue
    for (let way = 0; way < WAYS; way++) {
      const at = entries + (bucket * WAYS + way) * ENTRY.words
      const control = Atomics.load(words, at)
      if ((control & (TAKEN | BUSY)) !== TAKEN) continue
      if (length + PACKED > packed.length) {
        const larger = new Int32Array(2 * packed.length)
        larger.set(packed)
        packed = larger
      }
      packed[length] = bucket
      packed[length + 1] = (control >>> SCOPE_SHIFT) & SCOPE_MASK
      for (let word = ENTRY.key; word < ENTRY.words; word++) packed[length + 1 + word] = Atomics.load(words, at + word)
      if (Atomics.load(words, at) === control) length += PACKED
    }
  }
  return packed.slice(0, length)
}

/**
 * Takes packed bindings in, before any thread uses the table; answers how many. A bucket that is full takes no more.
 * @param scopes numbers here by those there; bindings of others are not wanted
 */
export function unpackBindings(
  table: SharedArrayBuffer,
  packed: Int32Array,
  scopes: ReadonlyMap<number, number>,
): number {
  const words = new Int32Array(table)
  const buckets = bucketsOf(words)
  const entries = entriesAt(buckets)
  let taken = 0
  for (let i = 0; i + PACKED <= packed.length; i += PACKED) {
    const bucket = packed[i] as number
    const scope = scopes.get(packed[i + 1] as number)
    if (scope === undefined || bucket < 0 || bucket >= buckets) continue
    const lock = HEADER.words + bucket
    const count = (words[lock] as number) >>> COUNT_SHIFT
    if (count >= WAYS) continue
    const at = entries + (bucket * WAYS + count) * ENTRY.words
    for (let word = ENTRY.key; word < ENTRY.words; word++) words[at + word] = packed[i + 1 + word] as number
    words[at] = VERSION | (scope << SCOPE_SHIFT) | TAKEN
    words[lock] = (count + 1) << COUNT_SHIFT
    taken++
  }
  return taken
}
