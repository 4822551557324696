/** The shared memory that control thread and data threads read and write; see docs/architecture.md for who writes what. */
import { randomBytes } from 'node:crypto'
import { BindingTable } from './bindings.ts'
import { newBindings } from './bindings-layout.ts'
import { ClientTable } from './clients.ts'
import { OVERLOADS, type Overload } from './columns.ts'
import {
  APPLIANCE_WORD,
  activeAt,
  BACKEND_WORD,
  boardBytes,
  clientsOffset,
  MAX_ROWS,
  POOL_WORD,
  ROW_WORDS,
  type RowKind,
  SHARE,
  SHARED,
  SIGHT_WORDS,
  shareOffset,
  THREAD_WORD,
  TOTALS,
  totalsOffset,
} from './layout.ts'

const FEW_BINDINGS = 1024 // where no size is given

/** What control decided of a backend. */
export interface Decision {
  /** Index into the list of states; see pool/state.ts. */
  readonly state: number
  /** Bits of ACCEPTS. */
  readonly accepts: number
  /** Effective weight in hundredths. */
  readonly weight: number
  /** The most flows that it may have at once; 0: no limit. */
  readonly most: number
}

/** What a data thread tells of itself. */
export interface Pulse {
  readonly beats: number
  readonly delay: number
  /** The longest turn of its event loop in the last minute, ms. */
  readonly turn: number
  readonly faults: number
  /** It can't keep up, and refuses what is new. */
  readonly shedding: boolean
}

export class Board {
  readonly buffer: SharedArrayBuffer
  readonly threads: number
  /** The rows that all threads share. */
  readonly words: Int32Array
  readonly clients: ClientTable
  /** In a memory of its own, whose size is configured. */
  readonly bindings: BindingTable
  readonly #shares: Int32Array[] = []
  readonly #totals: Float64Array[] = []

  /** Attaches to `buffer` and `bindings`, or makes a board for `threads` data threads. */
  constructor(threads: number, buffer = newBuffer(threads), bindings = newBindings(FEW_BINDINGS)) {
    this.buffer = buffer
    this.threads = threads
    this.words = new Int32Array(buffer, 0, SHARED.words)
    this.clients = new ClientTable(buffer, threads)
    this.bindings = new BindingTable(bindings)
    for (let thread = 0; thread < threads; thread++) {
      this.#shares.push(new Int32Array(buffer, shareOffset(thread), SHARE.words))
      this.#totals.push(new Float64Array(buffer, totalsOffset(thread), TOTALS.cells))
    }
  }

  /** A thread's own share of the active counts: written by that thread alone. */
  share(thread: number): Int32Array {
    return this.#shares[thread] as Int32Array
  }

  /** A thread's own totals: written by that thread alone. */
  totals(thread: number): Float64Array {
    return this.#totals[thread] as Float64Array
  }

  /** The sum over all threads of one total of a row. */
  sum(kind: RowKind, row: number, column: number): number {
    const at = TOTALS[kind] + row * TOTALS.width[kind] + column
    let sum = 0
    for (const totals of this.#totals) sum += totals[at] as number
    return sum
  }

  /** Active flows of a row over all threads. */
  active(kind: RowKind, row: number): number {
    return Atomics.load(this.words, activeAt(kind, row))
  }

  /** Takes back what a dead thread still held of the active counts. Only after the thread has ended. */
  reclaim(thread: number): void {
    this.clients.reclaim(thread)
    this.bindings.reclaim(thread)
    const share = this.share(thread)
    for (let row = 0; row < MAX_ROWS.pool; row++) Atomics.store(share, SHARE.first + row, 0)
    for (const kind of ['service', 'listener', 'backend', 'pool'] as const) {
      for (let row = 0; row < MAX_ROWS[kind]; row++) {
        const held = share[SHARE[kind] + row] as number
        if (held === 0) continue
        Atomics.sub(this.words, activeAt(kind, row), held)
        share[SHARE[kind] + row] = 0
      }
    }
    for (let row = 0; row < MAX_ROWS.pool; row++) if (this.active('pool', row) > 0) this.#wake(row)
  }

  /** What a data thread tells of itself: how often it has beaten, how late it last was (ms), how many flows it lost to faults. */
  pulse(thread: number): Pulse {
    const at = SHARED.thread + thread * ROW_WORDS
    return {
      beats: Atomics.load(this.words, at + THREAD_WORD.beats),
      delay: Atomics.load(this.words, at + THREAD_WORD.delay),
      turn: Atomics.load(this.words, at + THREAD_WORD.turn),
      faults: Atomics.load(this.words, at + THREAD_WORD.faults),
      shedding: Atomics.load(this.words, at + THREAD_WORD.shedding) === 1,
    }
  }

  /** What is short: a bit for each of OVERLOADS; 0: nothing, and connections are accepted. */
  get overload(): number {
    return Atomics.load(this.words, SHARED.appliance + APPLIANCE_WORD.overload)
  }

  /** By how much (ms) a data thread may be late before it sheds load; 0: never mind. */
  get delayLimit(): number {
    return Atomics.load(this.words, SHARED.appliance + APPLIANCE_WORD.delay)
  }
  set delayLimit(ms: number) {
    Atomics.store(this.words, SHARED.appliance + APPLIANCE_WORD.delay, ms)
  }

  /** Says that something is short, or is no longer. */
  setOverload(what: Overload, on: boolean): void {
    const bit = 1 << OVERLOADS.indexOf(what)
    const at = SHARED.appliance + APPLIANCE_WORD.overload
    if (on) Atomics.or(this.words, at, bit)
    else Atomics.and(this.words, at, ~bit)
  }

  /** Tells what a backend reported of its load, 0..100; -1: nothing of late. Raises the epoch where that is new. */
  setLoad(backendRow: number, poolRow: number, load: number): void {
    const word = load < 0 ? 0 : 1 + Math.round(load * 256)
    if (Atomics.exchange(this.words, SHARED.backend + backendRow * ROW_WORDS + BACKEND_WORD.load, word) === word) return
    const epoch = SHARED.pool + poolRow * ROW_WORDS + POOL_WORD.epoch
    Atomics.add(this.words, epoch, 1)
    Atomics.notify(this.words, epoch)
  }

  /** Publishes what control decided of a backend, then wakes every flow that waits for a change of its pool. */
  publish(backendRow: number, poolRow: number, { state, accepts, weight, most }: Decision): void {
    const at = SHARED.backend + backendRow * ROW_WORDS
    Atomics.store(this.words, at + BACKEND_WORD.state, state)
    Atomics.store(this.words, at + BACKEND_WORD.accepts, accepts)
    Atomics.store(this.words, at + BACKEND_WORD.weight, weight)
    Atomics.store(this.words, at + BACKEND_WORD.most, most)
    this.touch(poolRow)
  }

  /** Everybody who waits for a change of a pool looks again. */
  touch(poolRow: number): void {
    const epoch = SHARED.pool + poolRow * ROW_WORDS + POOL_WORD.epoch
    Atomics.add(this.words, epoch, 1)
    Atomics.notify(this.words, epoch)
    this.#wake(poolRow)
  }

  /** Makes a row as new, for another key. Only when nothing is under way on it. */
  clear(kind: RowKind, row: number): void {
    if (kind === 'backend') this.words.fill(0, SHARED.sight + row * SIGHT_WORDS, SHARED.sight + (row + 1) * SIGHT_WORDS)
    // What a pool counts goes on: threads compare it with what they saw last.
    if (kind !== 'pool') this.words.fill(0, SHARED[kind] + row * ROW_WORDS, SHARED[kind] + (row + 1) * ROW_WORDS)
    const width = TOTALS.width[kind]
    for (const totals of this.#totals) totals.fill(0, TOTALS[kind] + row * width, TOTALS[kind] + (row + 1) * width)
  }

  /** Failures of a backend's flows in a row, since the last success. */
  failures(backendRow: number): number {
    return Atomics.load(this.words, SHARED.backend + backendRow * ROW_WORDS + BACKEND_WORD.failures)
  }

  /** Forgets them. */
  forgive(backendRow: number): void {
    Atomics.store(this.words, SHARED.backend + backendRow * ROW_WORDS + BACKEND_WORD.failures, 0)
  }

  /** The flows in a pool's queue look again. */
  #wake(poolRow: number): void {
    const turn = SHARED.pool + poolRow * ROW_WORDS + POOL_WORD.turn
    Atomics.add(this.words, turn, 1)
    Atomics.notify(this.words, turn)
  }
}

function newBuffer(threads: number): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(boardBytes(threads))
  // The key of the hash behind the table of clients.
  const secret = randomBytes(8)
  new Int32Array(buffer, clientsOffset(threads), 2).set([secret.readInt32LE(0), secret.readInt32LE(4)])
  return buffer
}
