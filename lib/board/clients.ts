/**
 * The table of clients, one for all threads and services: who is connected how often, and how fast each asks.
 *
 * A bucket of 16 entries belongs to a keyed hash of service and client. One word of an entry rules it, and is changed by
 * compareExchange alone: its state, how many hold it, and a generation that rises with each release, so that a look at an
 * entry and its eviction are one step. Who holds an entry knows that it stays: a connection looks its client up once.
 *
 * | state   | the low bits          | becomes                                                                    |
 * |---------|-----------------------|----------------------------------------------------------------------------|
 * | free    | 0                     | claimed                                                                    |
 * | claimed | the thread, plus one  | offered, when the key is written; free, when another entry has the key     |
 * | offered | the thread, plus one  | member, when no other entry of the bucket has the key; claimed, by another  |
 * |         |                       | thread that offers the same key: one of the two gives way, never none       |
 * | member  | how often it is held  | claimed, when nobody holds it and its pace has nothing against a request   |
 *
 * The pace is one number (GCRA): when a bucket that refills steadily would be full again. An entry that is not held and
 * whose bucket is full says nothing, so evicting it forgets nothing, and no other is ever evicted.
 */
import { type ClientKey, readClientKey } from './client-key.ts'
import { type Digest, hash3 } from './keyed-hash.ts'
import { CLIENTS, clientShareOffset, clientsOffset } from './layout.ts'

/** There is no room in the client's bucket: it is not limited. */
export const UNLIMITED = -1
/** The client has as many connections as it may. */
export const REFUSED = -2
const ABSENT = -3

const COUNT = 0xffff
const STATE = 3 << 16
const FREE = 0
const CLAIMED = 1 << 16
const OFFERED = 2 << 16
const MEMBER = 3 << 16
const GENERATION = 1 << 18
const TRIES = 64 // threads that offer one key at once get in each other's way a few times, not this often

const TICKS_PER_MS = 16_384 // whole numbers of them stay exact in a double for 17 years

/** How fast a client may ask. */
export interface Pace {
  /** Ticks per request. */
  readonly each: number
  /** Ticks of a whole burst. */
  readonly depth: number
}

export function paceOf(perSecond: number, burst: number): Pace {
  const each = Math.ceil((1000 * TICKS_PER_MS) / perSecond)
  return { each, depth: each * burst }
}

// What `performance.now()` lacks: every thread's starts at another moment.
const [seconds, nanoseconds] = process.hrtime()
const OFFSET_MS = seconds * 1000 + nanoseconds / 1e6 - performance.now()
/** A moment of this thread's `performance.now()` on the clock that all threads share. */
export const sharedTime = (now: number): number => now + OFFSET_MS

const key: ClientKey = { family: 0, high: 0, low: 0 }
const digest: Digest = { low: 0, high: 0 }

export class ClientTable {
  readonly #words: Int32Array
  readonly #times: BigInt64Array
  readonly #shares: Int32Array[] = []
  readonly #key0: number
  readonly #key1: number

  constructor(buffer: SharedArrayBuffer, threads: number) {
    const start = clientsOffset(threads)
    const header = new Int32Array(buffer, start, CLIENTS.headerWords)
    this.#key0 = header[0] as number
    this.#key1 = header[1] as number
    this.#words = new Int32Array(buffer, start + CLIENTS.headerWords * 4, CLIENTS.entries * CLIENTS.words)
    this.#times = new BigInt64Array(this.#words.buffer, this.#words.byteOffset, this.#words.length / 2)
    for (let thread = 0; thread < threads; thread++)
      this.#shares.push(new Int32Array(buffer, clientShareOffset(threads, thread), CLIENTS.entries))
  }

  /**
   * Takes hold of a client's entry, for a connection.
   * @param most connections that it may have; 0: any number
   * @param now on the shared clock
   * @returns the entry, UNLIMITED or REFUSED
   */
  open(thread: number, service: number, address: string, most: number, now: number): number {
    readClientKey(address, key)
    const first = (service << 3) | key.family
    hash3(this.#key0, this.#key1, first, key.high, key.low, digest)
    const bucket = (digest.low & (CLIENTS.entries / CLIENTS.ways - 1)) * CLIENTS.ways
    for (let tries = 0; tries < TRIES; tries++) {
      const found = this.#find(bucket, first, most)
      if (found >= 0) this.#share(thread, found, 1)
      if (found !== ABSENT) return found
      const entry = this.#claim(thread, bucket, now * TICKS_PER_MS)
      if (entry === ABSENT) return UNLIMITED
      if (this.#settle(thread, bucket, entry, first)) return entry
    }
    return UNLIMITED
  }

  /** Lets go of an entry that `open` gave. */
  close(thread: number, entry: number): void {
    this.#share(thread, entry, -1)
    Atomics.add(this.#words, entry * CLIENTS.words, GENERATION - 1)
  }

  /** Connections of the client whose entry it is. */
  connections(entry: number): number {
    return Atomics.load(this.#words, entry * CLIENTS.words) & COUNT
  }

  /** One request of the client whose entry is held: 0 when it may go on, else after how many ms it may. */
  take(entry: number, { each, depth }: Pace, now: number): number {
    const ticks = Math.floor(now * TICKS_PER_MS)
    const at = entry * (CLIENTS.words / 2) + CLIENTS.time / 2
    for (;;) {
      const was = Atomics.load(this.#times, at)
      const full = Math.max(Number(was), ticks) + each
      const wait = full - ticks - depth
      if (wait > 0) return wait / TICKS_PER_MS
      if (Atomics.compareExchange(this.#times, at, was, BigInt(full)) === was) return 0
    }
  }

  /** Takes back what a dead thread held. Only after the thread has ended. */
  reclaim(thread: number): void {
    const words = this.#words
    const share = this.#shares[thread] as Int32Array
    for (let entry = 0; entry < CLIENTS.entries; entry++) {
      const at = entry * CLIENTS.words
      const control = Atomics.load(words, at)
      const state = control & STATE
      // One that it was about to make: others may only turn offered into claimed meanwhile.
      if ((state === CLAIMED || state === OFFERED) && (control & COUNT) === thread + 1) this.#release(at)
      const held = share[entry] as number
      if (held === 0) continue
      share[entry] = 0
      Atomics.add(words, at, GENERATION - held)
    }
  }

  /** Counted after the entry is held and before it is let go: a death between leaves one held too many, never too few. */
  #share(thread: number, entry: number, by: number): void {
    const share = this.#shares[thread] as Int32Array
    share[entry] = (share[entry] as number) + by
  }

  #holds(at: number, first: number): boolean {
    const words = this.#words
    return (
      words[at + CLIENTS.tag] === digest.high &&
      words[at + CLIENTS.first] === first &&
      words[at + CLIENTS.high] === key.high &&
      words[at + CLIENTS.low] === key.low
    )
  }

  /** The client's entry, now held once more; ABSENT, REFUSED or UNLIMITED. */
  #find(bucket: number, first: number, most: number): number {
    const words = this.#words
    for (let entry = bucket; entry < bucket + CLIENTS.ways; entry++) {
      const at = entry * CLIENTS.words
      for (;;) {
        const control = Atomics.load(words, at)
        if ((control & STATE) !== MEMBER || !this.#holds(at, first)) break
        const count = control & COUNT
        if (count === COUNT || (most > 0 && count >= most)) {
          // The key was read after the word: it belongs to it only if the word is still the same.
          if (Atomics.load(words, at) === control) return most > 0 ? REFUSED : UNLIMITED
        } else if (Atomics.compareExchange(words, at, control, control + 1) === control) {
          if (this.#holds(at, first)) return entry
          Atomics.add(words, at, GENERATION - 1)
        }
      }
    }
    return ABSENT
  }

  /** An entry of the bucket that is now this thread's alone; ABSENT: each of them is in use. */
  #claim(thread: number, bucket: number, ticks: number): number {
    const words = this.#words
    for (const wanted of [FREE, MEMBER])
      for (let entry = bucket; entry < bucket + CLIENTS.ways; entry++) {
        const at = entry * CLIENTS.words
        const control = Atomics.load(words, at)
        if ((control & (STATE | COUNT)) !== wanted) continue
        const time = entry * (CLIENTS.words / 2) + CLIENTS.time / 2
        if (wanted === MEMBER && Number(Atomics.load(this.#times, time)) > ticks) continue
        const claimed = (control & ~(STATE | COUNT)) | CLAIMED | (thread + 1)
        // The word is still the same: nobody has held the entry since its time was looked at.
        if (Atomics.compareExchange(words, at, control, claimed) === control) return entry
      }
    return ABSENT
  }

  /** Makes a claimed entry the client's, unless another thread does just that. True: it is, and is held. */
  #settle(thread: number, bucket: number, entry: number, first: number): boolean {
    const words = this.#words
    const own = entry * CLIENTS.words
    words[own + CLIENTS.tag] = digest.high
    words[own + CLIENTS.first] = first
    words[own + CLIENTS.high] = key.high
    words[own + CLIENTS.low] = key.low
    Atomics.store(this.#times, own / 2 + CLIENTS.time / 2, 0n)
    const offered = (Atomics.load(words, own) & ~STATE) | OFFERED
    Atomics.store(words, own, offered)
    for (let other = bucket; other < bucket + CLIENTS.ways; other++) {
      const at = other * CLIENTS.words
      for (let control = Atomics.load(words, at); at !== own; control = Atomics.load(words, at)) {
        const state = control & STATE
        if ((state !== MEMBER && state !== OFFERED) || !this.#holds(at, first)) break
        if (state === MEMBER) {
          // Of an entry that is being made anew the key may be read too late: look again unless the word stood still.
          if (Atomics.load(words, at) !== control) continue
          this.#release(own)
          return false
        }
        Atomics.compareExchange(words, at, control, (control & ~STATE) | CLAIMED)
      }
    }
    const member = (offered & ~(STATE | COUNT)) | MEMBER | 1
    if (Atomics.compareExchange(words, own, offered, member) === offered) {
      this.#share(thread, entry, 1)
      return true
    }
    this.#release(own)
    return false
  }

  /** Frees an entry that is this thread's. */
  #release(at: number): void {
    const generation = Atomics.load(this.#words, at) & ~(STATE | COUNT)
    Atomics.store(this.#words, at, (generation + GENERATION) | FREE)
  }
}

/** What a data thread does with the clients of one service. */
export class Clients {
  readonly #table: ClientTable
  readonly #thread: number
  readonly #service: number

  constructor(table: ClientTable, thread: number, serviceRow: number) {
    this.#table = table
    this.#thread = thread
    this.#service = serviceRow
  }

  /** Holds the client's entry for a connection, of which it may have `most` (0: any number): entry, UNLIMITED or REFUSED. */
  open(address: string, most: number, now: number): number {
    return this.#table.open(this.#thread, this.#service, address, most, now)
  }

  close(entry: number): void {
    this.#table.close(this.#thread, entry)
  }

  connections(entry: number): number {
    return this.#table.connections(entry)
  }

  /** 0 when one more request may go on, else after how many ms it may. */
  take(entry: number, pace: Pace, now: number): number {
    return this.#table.take(entry, pace, now)
  }
}
