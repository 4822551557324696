/** Where everything lies in the memory of the table of bindings. */
import { randomBytes } from 'node:crypto'

/** Entries of a bucket. */
export const WAYS = 16

/** Words (Int32) of an entry: 32 bytes. `key` are three words, `backend` two. */
export const ENTRY = { control: 0, key: 1, backend: 4, used: 6, timeout: 7, words: 8 } as const
/** Words before the buckets: keys of the hash, and the number of buckets. A cache line. */
export const HEADER = { keys: 0, buckets: 4, words: 16 } as const

// The control word of an entry: whether it is being written or in use, its scope's number, and a count of its changes.
export const BUSY = 1
export const TAKEN = 2
export const SCOPE_SHIFT = 2
export const SCOPE_MASK = 0x3fff
export const VERSION = 1 << 16

// The word of a bucket: the thread that writes it plus one, and how many of its entries are taken.
export const OWNER = 0xff
export const COUNT_SHIFT = 8

/** Scopes that are counted apart: pools have the numbers of their rows, groups come behind. */
export const MAX_SCOPES = SCOPE_MASK + 1

/** Words of the keys of the hash. */
export const KEYS = 4

/**
 * The memory of a table for at least `entries` bindings. Pages that are never touched cost nothing.
 * @param keys of the hash: those of a table whose bindings it takes over; null: its own
 */
export function newBindings(entries: number, keys: Int32Array | null = null): SharedArrayBuffer {
  let buckets = 1
  while (buckets * WAYS < entries) buckets *= 2
  const words = entriesAt(buckets) + buckets * WAYS * ENTRY.words
  const buffer = new SharedArrayBuffer(words * 4)
  const header = new Int32Array(buffer, 0, HEADER.words)
  const secret = randomBytes(4 * KEYS)
  for (let i = 0; i < KEYS; i++) header[HEADER.keys + i] = keys?.[i] ?? secret.readInt32LE(i * 4)
  header[HEADER.buckets] = buckets
  return buffer
}

/** How many buckets a table has, by its words. */
export const bucketsOf = (words: Int32Array): number => words[HEADER.buckets] as number

/** Where the entries begin, behind the words of the buckets: on a cache line. */
export const entriesAt = (buckets: number): number => HEADER.words + Math.ceil(buckets / 16) * 16
