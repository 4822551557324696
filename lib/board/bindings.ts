/**
 * The table of bindings, one for all threads and services: which client is kept on which backend, and since when it was idle.
 *
 * A bucket of 16 entries belongs to a keyed hash of scope (a service or a group of them), kind and value of what the client
 * is known by. Of the 128 bits 32 choose the bucket and 96 are kept, so the table holds no address, cookie or header.
 * Who looks up takes no lock: an entry's control word changes before and after each change of it. Who writes holds the
 * bucket, whose word names the thread: a thread that dies in the middle is known by it, and `reclaim` mends its bucket.
 *
 * Where a bucket is full, what has expired gives way, then what was idle longest.
 */
import {
  BUSY,
  bucketsOf,
  COUNT_SHIFT,
  ENTRY,
  entriesAt,
  HEADER,
  MAX_SCOPES,
  OWNER,
  SCOPE_MASK,
  SCOPE_SHIFT,
  TAKEN,
  VERSION,
  WAYS,
} from './bindings-layout.ts'
import { absorb, absorbText, begin, type Digest, finish } from './keyed-hash.ts'

const TICK_MS = 100
const SPINS = 200 // a writer is done after a fraction of that, unless it was descheduled
const WAITS = 5 // of a millisecond each: then it died, or the machine stands still
const SWEEPS = 50 // calls of `sweep` until each bucket was looked at

/** What `claim` did. */
export type Claim = 'bound' | 'evicted' | 'taken' | 'missed'

/** What a client is known by: 128 bits. Filled by `keyOf…`, one for all. */
const key = { bucket: 0, a: 0, b: 0, c: 0 }
const low: Digest = { low: 0, high: 0 }
const high: Digest = { low: 0, high: 0 }

/** A moment of the clock that all threads share, as the table counts it: it wraps around, only differences mean anything. */
const tickOf = (now: number): number => Math.floor(now / TICK_MS) | 0
const ticksSince = (tick: number, used: number): number => (tick - used) | 0

export class BindingTable {
  readonly buffer: SharedArrayBuffer
  /** Bindings that it has room for. */
  readonly capacity: number
  /** The backend that the last `find` or `claim` met. */
  readonly met: Digest = { low: 0, high: 0 }
  readonly #words: Int32Array
  readonly #buckets: number
  readonly #locks = HEADER.words
  readonly #entries: number
  /** Where the next sweep begins. */
  #cursor = 0

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer)
    this.#buckets = bucketsOf(this.#words)
    this.#entries = entriesAt(this.#buckets)
    this.capacity = this.#buckets * WAYS
  }

  /** Stands for a text wherever the table is attached: for scopes and backends, once each. */
  digest(text: string, out: Digest): void {
    const words = this.#words
    begin(words[HEADER.keys] as number, words[HEADER.keys + 1] as number)
    absorbText(text)
    finish(text.length, out)
  }

  /** The next call is about the client that is known by `text`. */
  keyOfText(scope: Digest, kind: number, text: string): void {
    const words = this.#words
    for (let half = 0; half < 2; half++) {
      begin(words[HEADER.keys + 2 * half] as number, words[HEADER.keys + 2 * half + 1] as number)
      absorb(scope.low)
      absorb(scope.high ^ kind)
      absorbText(text)
      finish(text.length, half === 0 ? low : high)
    }
    this.#keyed()
  }

  /** The next call is about the client that is known by four words. */
  keyOfWords(scope: Digest, kind: number, a: number, b: number, c: number, d: number): void {
    const words = this.#words
    for (let half = 0; half < 2; half++) {
      begin(words[HEADER.keys + 2 * half] as number, words[HEADER.keys + 2 * half + 1] as number)
      absorb(scope.low)
      absorb(scope.high ^ kind)
      absorb(a)
      absorb(b)
      absorb(c)
      absorb(d)
      finish(16, half === 0 ? low : high)
    }
    this.#keyed()
  }

  #keyed(): void {
    key.bucket = low.low & (this.#buckets - 1)
    key.a = low.high
    key.b = high.low
    key.c = high.high
  }

  /** Is there a binding? Its backend is in `met`, and it was used now. */
  find(now: number): boolean {
    const words = this.#words
    const tick = tickOf(now)
    const first = this.#entryOf(key.bucket, 0)
    for (let at = first; at < first + WAYS * ENTRY.words; at += ENTRY.words) {
      // A few tries: an entry that changes each time we look is another client's by now.
      for (let tries = 0; tries < 4; tries++) {
        const control = Atomics.load(words, at)
        if ((control & (TAKEN | BUSY)) !== TAKEN || !this.#holds(at)) break
        this.met.low = Atomics.load(words, at + ENTRY.backend)
        this.met.high = Atomics.load(words, at + ENTRY.backend + 1)
        const used = Atomics.load(words, at + ENTRY.used)
        const timeout = Atomics.load(words, at + ENTRY.timeout)
        if (Atomics.load(words, at) !== control) continue
        const age = ticksSince(tick, used)
        if (age > timeout) return false
        if (age > 0) Atomics.store(words, at + ENTRY.used, tick)
        return true
      }
    }
    return false
  }

  /**
   * Binds the client to `backend`, unless it is bound to another one already ('taken', and `met` says to whom); a binding
   * to `instead` is replaced. 'evicted': another one gave way before its time. 'missed': the bucket can't be had now.
   */
  claim(thread: number, scope: number, backend: Digest, instead: Digest | null, timeoutMs: number, now: number): Claim {
    const { bucket } = key
    if (!this.#lock(bucket, thread + 1)) return 'missed'
    const tick = tickOf(now)
    const words = this.#words
    let count = Atomics.load(words, this.#locks + bucket) >>> COUNT_SHIFT
    let place = -1
    let oldest = -1
    let idle = Number.NEGATIVE_INFINITY // another thread may have used an entry after our look at the clock
    let result: Claim = 'bound'
    const first = this.#entryOf(bucket, 0)
    for (let at = first; at < first + WAYS * ENTRY.words; at += ENTRY.words) {
      if (((words[at] as number) & TAKEN) === 0) {
        if (place < 0) place = at
        continue
      }
      const age = ticksSince(tick, words[at + ENTRY.used] as number)
      const expired = age > (words[at + ENTRY.timeout] as number)
      if (this.#holds(at)) {
        this.met.low = words[at + ENTRY.backend] as number
        this.met.high = words[at + ENTRY.backend + 1] as number
        if (!expired && !same(this.met, backend) && (instead === null || !same(this.met, instead))) {
          Atomics.store(words, at + ENTRY.used, tick)
          this.#unlock(bucket, count)
          return 'taken'
        }
        this.#write(at, scope, backend, timeoutMs, tick)
        this.#unlock(bucket, count)
        return 'bound'
      }
      const weight = expired ? Number.MAX_SAFE_INTEGER : age
      if (weight > idle) {
        idle = weight
        oldest = at
      }
    }
    if (place >= 0) count++
    else {
      place = oldest
      if (idle < Number.MAX_SAFE_INTEGER) result = 'evicted'
    }
    this.#write(place, scope, backend, timeoutMs, tick)
    this.#unlock(bucket, count)
    return result
  }

  /** Bindings by the number of their scope. Reads every entry in use: for people and scrapes. */
  entriesByScope(): Int32Array {
    const words = this.#words
    const counts = new Int32Array(MAX_SCOPES)
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      if ((words[this.#locks + bucket] as number) >>> COUNT_SHIFT === 0) continue
      for (let way = 0; way < WAYS; way++) {
        const control = words[this.#entryOf(bucket, way)] as number
        if ((control & TAKEN) === 0) continue
        const scope = (control >>> SCOPE_SHIFT) & SCOPE_MASK
        counts[scope] = (counts[scope] as number) + 1
      }
    }
    return counts
  }

  /** Frees what has expired in a part of the table; after 50 calls it has been everywhere. For the control thread alone. */
  sweep(now: number): void {
    const tick = tickOf(now)
    const end = Math.min(this.#cursor + Math.ceil(this.#buckets / SWEEPS), this.#buckets)
    for (let bucket = this.#cursor; bucket < end; bucket++) {
      if ((this.#words[this.#locks + bucket] as number) >>> COUNT_SHIFT === 0 || !this.#hasExpired(bucket, tick))
        continue
      if (!this.#lock(bucket, OWNER)) continue
      for (let way = 0; way < WAYS; way++) {
        const at = this.#entryOf(bucket, way)
        if (this.#expired(at, tick)) this.#free(at)
      }
      this.#unlock(bucket, this.#count(bucket))
    }
    this.#cursor = end < this.#buckets ? end : 0
  }

  /** Mends the bucket that a dead thread was writing. Only after the thread has ended. */
  reclaim(thread: number): void {
    const words = this.#words
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      if ((Atomics.load(words, this.#locks + bucket) & OWNER) !== thread + 1) continue
      for (let way = 0; way < WAYS; way++) {
        const at = this.#entryOf(bucket, way)
        if (((words[at] as number) & BUSY) !== 0) this.#free(at)
      }
      this.#unlock(bucket, this.#count(bucket))
    }
  }

  #entryOf(bucket: number, way: number): number {
    return this.#entries + (bucket * WAYS + way) * ENTRY.words
  }

  #holds(at: number): boolean {
    const words = this.#words
    return (
      Atomics.load(words, at + ENTRY.key) === key.a &&
      Atomics.load(words, at + ENTRY.key + 1) === key.b &&
      Atomics.load(words, at + ENTRY.key + 2) === key.c
    )
  }

  #expired(at: number, tick: number): boolean {
    const words = this.#words
    if (((words[at] as number) & TAKEN) === 0) return false
    return ticksSince(tick, words[at + ENTRY.used] as number) > (words[at + ENTRY.timeout] as number)
  }

  #hasExpired(bucket: number, tick: number): boolean {
    for (let way = 0; way < WAYS; way++) if (this.#expired(this.#entryOf(bucket, way), tick)) return true
    return false
  }

  #count(bucket: number): number {
    let count = 0
    for (let way = 0; way < WAYS; way++)
      if (((this.#words[this.#entryOf(bucket, way)] as number) & TAKEN) !== 0) count++
    return count
  }

  /** Only by who holds the bucket. Readers see the entry before or after, never between. */
  #write(at: number, scope: number, backend: Digest, timeoutMs: number, tick: number): void {
    const words = this.#words
    const control = Atomics.load(words, at)
    Atomics.store(words, at, control | BUSY)
    Atomics.store(words, at + ENTRY.key, key.a)
    Atomics.store(words, at + ENTRY.key + 1, key.b)
    Atomics.store(words, at + ENTRY.key + 2, key.c)
    Atomics.store(words, at + ENTRY.backend, backend.low)
    Atomics.store(words, at + ENTRY.backend + 1, backend.high)
    Atomics.store(words, at + ENTRY.used, tick)
    Atomics.store(words, at + ENTRY.timeout, Math.ceil(timeoutMs / TICK_MS))
    Atomics.store(words, at, ((control & -VERSION) + VERSION) | (scope << SCOPE_SHIFT) | TAKEN)
  }

  /** Its count of changes goes on: who is just reading it must notice. */
  #free(at: number): void {
    Atomics.store(this.#words, at, ((this.#words[at] as number) & -VERSION) + VERSION)
  }

  #lock(bucket: number, owner: number): boolean {
    const words = this.#words
    const at = this.#locks + bucket
    for (let waits = 0; waits <= WAITS; waits++) {
      let word = 0
      for (let spins = 0; spins < SPINS; spins++) {
        word = Atomics.load(words, at)
        if ((word & OWNER) === 0 && Atomics.compareExchange(words, at, word, word | owner) === word) return true
      }
      if (waits < WAITS) Atomics.wait(words, at, word, 1)
    }
    return false
  }

  #unlock(bucket: number, count: number): void {
    Atomics.store(this.#words, this.#locks + bucket, count << COUNT_SHIFT)
  }
}

const same = (a: Digest, b: Digest): boolean => a.low === b.low && a.high === b.high

/** What a data thread does with the bindings of one scope: a service, or a group of services that share theirs. */
export class Bindings {
  readonly #table: BindingTable
  readonly #thread: number
  readonly #number: number
  readonly #scope: Digest = { low: 0, high: 0 }
  readonly #timeoutMs: number

  constructor(
    table: BindingTable,
    thread: number,
    scope: { readonly name: string; readonly number: number },
    timeoutMs: number,
  ) {
    this.#table = table
    this.#thread = thread
    this.#number = scope.number
    this.#timeoutMs = timeoutMs
    table.digest(scope.name, this.#scope)
  }

  /** The number that stands for a backend's identity. */
  digestOf(identity: string): Digest {
    const digest = { low: 0, high: 0 }
    this.#table.digest(identity, digest)
    return digest
  }

  /** The next `find` or `claim` is about the client known by this. Kinds keep what looks alike apart. */
  text(kind: number, text: string): void {
    this.#table.keyOfText(this.#scope, kind, text)
  }
  words(kind: number, a: number, b: number, c: number, d: number): void {
    this.#table.keyOfWords(this.#scope, kind, a, b, c, d)
  }

  /** The backend that `find` or a claim that was 'taken' met; one object for all. */
  get met(): Digest {
    return this.#table.met
  }

  find(now: number): boolean {
    return this.#table.find(now)
  }

  claim(backend: Digest, instead: Digest | null, now: number): Claim {
    return this.#table.claim(this.#thread, this.#number, backend, instead, this.#timeoutMs, now)
  }
}
