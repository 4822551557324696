/** Where everything lies on the board: the one place that knows offsets. */
import { BACKEND, LISTENER, SERVICE } from './columns.ts'

/** Room is fixed at start and generous: pages that are never touched cost nothing. */
export const MAX_ROWS = { service: 4096, listener: 8192, backend: 16_384, pool: 8192 } as const
export type RowKind = keyof typeof MAX_ROWS

/** Words (Int32) of the rows that all threads share. A row is one cache line, so that rows don't fight over one. */
export const ROW_WORDS = 16

/** Words of a service row. */
export const SERVICE_WORD = { active: 0 } as const
/** Words of a listener row. */
export const LISTENER_WORD = { active: 0 } as const
/** Words of a backend row. */
export const BACKEND_WORD = { state: 0, accepts: 1, weight: 2, most: 3, failures: 4, load: 5 } as const
/**
 * Words of a backend that picks look at. They have a row of their own, and four of them share a cache line: a pick looks at
 * each backend of its pool, and two or three lines that other threads write are fetched sooner than ten.
 * `zero` stays 0, for sums of four where there are fewer.
 */
export const SIGHT_WORD = { active: 0, latency: 1, latencyAt: 2, zero: 3 } as const
export const SIGHT_WORDS = 4
/** Words of a pool row. `active`: the flows that wait in its queue. */
export const POOL_WORD = { epoch: 0, sequence: 1, active: 2, ticket: 3, turn: 4 } as const
/** Words of the one row of the appliance. */
export const APPLIANCE_WORD = { overload: 0, delay: 1 } as const

/** Most data threads, and the words of the row that each has: written by that thread alone. */
export const MAX_THREADS = 32
export const THREAD_WORD = { beats: 0, delay: 1, faults: 2, shedding: 3, turn: 4 } as const

/** Offsets in words of the shared region. */
export const SHARED = {
  service: 0,
  listener: MAX_ROWS.service * ROW_WORDS,
  backend: (MAX_ROWS.service + MAX_ROWS.listener) * ROW_WORDS,
  pool: (MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend) * ROW_WORDS,
  appliance: (MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend + MAX_ROWS.pool) * ROW_WORDS,
  thread: (MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend + MAX_ROWS.pool + 1) * ROW_WORDS,
  sight: (MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend + MAX_ROWS.pool + 1 + MAX_THREADS) * ROW_WORDS,
  words:
    (MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend + MAX_ROWS.pool + 1 + MAX_THREADS) * ROW_WORDS +
    MAX_ROWS.backend * SIGHT_WORDS,
} as const

const ACTIVE_WORD = { service: SERVICE_WORD.active, listener: LISTENER_WORD.active, pool: POOL_WORD.active } as const

/** The word that counts the active flows of a row. */
export const activeAt = (kind: RowKind, row: number): number =>
  kind === 'backend'
    ? SHARED.sight + row * SIGHT_WORDS + SIGHT_WORD.active
    : SHARED[kind] + row * ROW_WORDS + ACTIVE_WORD[kind]

/** Offsets in words of a thread's own share of the active counts, one word per row, and of its longest waiting flow per pool. */
export const SHARE = {
  service: 0,
  listener: MAX_ROWS.service,
  backend: MAX_ROWS.service + MAX_ROWS.listener,
  pool: MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend,
  first: MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend + MAX_ROWS.pool,
  words: MAX_ROWS.service + MAX_ROWS.listener + MAX_ROWS.backend + 2 * MAX_ROWS.pool,
} as const

const WIDTH = { service: SERVICE.width, listener: LISTENER.width, backend: BACKEND.width, pool: 0 } as const

/** Offsets in cells (Float64) of a thread's own totals. */
export const TOTALS = {
  service: 0,
  listener: MAX_ROWS.service * WIDTH.service,
  backend: MAX_ROWS.service * WIDTH.service + MAX_ROWS.listener * WIDTH.listener,
  pool: 0, // has none
  cells: MAX_ROWS.service * WIDTH.service + MAX_ROWS.listener * WIDTH.listener + MAX_ROWS.backend * WIDTH.backend,
  width: WIDTH,
} as const

/**
 * The table of clients: 65,536 entries of 32 bytes in buckets of 16, and a word per entry for the share of each thread:
 * 2 MiB, and 256 KiB per thread. Words of an entry: see clients.ts; `time` is two of them.
 */
export const CLIENTS = {
  entries: 65_536,
  ways: 16,
  headerWords: 16,
  words: 8,
  control: 0,
  tag: 1,
  first: 2,
  high: 3,
  low: 4,
  time: 6,
} as const
const CLIENTS_BYTES = (CLIENTS.headerWords + CLIENTS.entries * CLIENTS.words) * 4

/** Bytes of one thread's region, and of the whole board. */
export const THREAD_BYTES = SHARE.words * 4 + TOTALS.cells * 8
export const boardBytes = (threads: number): number => clientShareOffset(threads, threads)

/** Byte offsets of a thread's share and totals. Both are multiples of 8. */
export const shareOffset = (thread: number): number => SHARED.words * 4 + thread * THREAD_BYTES
export const totalsOffset = (thread: number): number => shareOffset(thread) + SHARE.words * 4

/** Byte offsets of the table of clients, a multiple of 8, and of a thread's share of it. */
export const clientsOffset = (threads: number): number => shareOffset(threads)
export const clientShareOffset = (threads: number, thread: number): number =>
  clientsOffset(threads) + CLIENTS_BYTES + thread * CLIENTS.entries * 4
