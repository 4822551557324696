/** A data thread's handles on board rows: bound once when a service is built, so that counting costs one add. */
import type { Board } from './board.ts'
import {
  AFFINITY_RESULTS,
  type AffinityResult,
  BACKEND,
  HANDSHAKE_FAILURES,
  HANDSHAKES,
  type HandshakeFailure,
  HTTP2_RESETS,
  type Http2Reset,
  LISTENER,
  observe,
  REASONS,
  RETRY_REASONS,
  type Reason,
  type RetryReason,
  SERVICE,
} from './columns.ts'
import {
  activeAt,
  BACKEND_WORD,
  POOL_WORD,
  ROW_WORDS,
  type RowKind,
  SHARE,
  SHARED,
  SIGHT_WORD,
  SIGHT_WORDS,
  THREAD_WORD,
  TOTALS,
} from './layout.ts'

/** Bits of the word that says which flows a backend takes. */
export const ACCEPTS = {
  /** New ones. */
  new: 1,
  /** Those of clients that are bound to it. */
  bound: 2,
  /** Any, when no backend of its pool takes new ones and the pool panics. */
  panic: 4,
} as const

/** Weights on the board are whole numbers of hundredths. */
export const WEIGHT_UNIT = 100

const codeColumn = (status: number): number => (status < 100 || status > 599 ? 0 : (status / 100) | 0)
const bump = (cells: Float64Array, at: number, by: number): void => {
  cells[at] = (cells[at] as number) + by
}

/** The row that every kind has: active flows, counted for all threads and for this one. */
class Cell {
  protected readonly words: Int32Array
  protected readonly share: Int32Array
  protected readonly totals: Float64Array
  protected readonly at: number
  protected readonly base: number
  /** The word that counts its active flows. */
  readonly activeAt: number
  readonly #shareAt: number

  constructor(board: Board, thread: number, kind: RowKind, row: number) {
    this.words = board.words
    this.share = board.share(thread)
    this.totals = board.totals(thread)
    this.at = SHARED[kind] + row * ROW_WORDS
    this.base = TOTALS[kind] + row * TOTALS.width[kind]
    this.activeAt = activeAt(kind, row)
    this.#shareAt = SHARE[kind] + row
  }

  /** One more active flow; answers how many there were before. */
  begin(): number {
    this.share[this.#shareAt] = (this.share[this.#shareAt] as number) + 1
    return Atomics.add(this.words, this.activeAt, 1)
  }

  /** One more active flow, if there are as many as `seen`; false: another thread was faster. */
  beginAt(seen: number): boolean {
    if (Atomics.compareExchange(this.words, this.activeAt, seen, seen + 1) !== seen) return false
    this.share[this.#shareAt] = (this.share[this.#shareAt] as number) + 1
    return true
  }

  /** One active flow less. */
  end(): void {
    this.share[this.#shareAt] = (this.share[this.#shareAt] as number) - 1
    Atomics.sub(this.words, this.activeAt, 1)
  }

  /** Active flows over all threads. */
  active(): number {
    return Atomics.load(this.words, this.activeAt)
  }
}

export class ServiceCell extends Cell {
  constructor(board: Board, thread: number, row: number) {
    super(board, thread, 'service', row)
  }

  /** One request answered with `status` (0: no answer) after `ms`. */
  request(status: number, ms: number): void {
    bump(this.totals, this.base + SERVICE.at.requests + codeColumn(status), 1)
    observe(this.totals, this.base + SERVICE.at.duration, ms)
  }

  error(reason: Reason): void {
    bump(this.totals, this.base + SERVICE.at.errors + REASONS.indexOf(reason), 1)
  }

  retry(reason: RetryReason): void {
    bump(this.totals, this.base + SERVICE.at.retries + RETRY_REASONS.indexOf(reason), 1)
  }

  /** A retry that the budget did not allow. */
  retryDenied(): void {
    bump(this.totals, this.base + SERVICE.at.retriesDenied, 1)
  }

  /** A client that is not limited because the table of clients has no room for it. */
  clientUnknown(): void {
    bump(this.totals, this.base + SERVICE.at.clientsUnknown, 1)
  }

  affinity(result: AffinityResult): void {
    bump(this.totals, this.base + SERVICE.at.affinity + AFFINITY_RESULTS.indexOf(result), 1)
  }

  /** A binding gave way before its time, because there was no room. */
  affinityEvicted(): void {
    bump(this.totals, this.base + SERVICE.at.affinityEvicted, 1)
  }

  /** Bytes from and to clients, bodies and heads. */
  bytes(received: number, sent: number): void {
    bump(this.totals, this.base + SERVICE.at.bytesIn, received)
    bump(this.totals, this.base + SERVICE.at.bytesOut, sent)
  }

  /** Bytes of a body before and after compression. */
  compressed(before: number, after: number): void {
    bump(this.totals, this.base + SERVICE.at.compressionIn, before)
    bump(this.totals, this.base + SERVICE.at.compressionOut, after)
  }

  /** We ended an HTTP/2 connection with this error code. */
  http2Error(code: number): void {
    bump(this.totals, this.base + SERVICE.at.http2Errors + code, 1)
  }

  /** A stream of HTTP/2 was reset. */
  http2Reset(by: Http2Reset): void {
    bump(this.totals, this.base + SERVICE.at.http2Resets + HTTP2_RESETS.indexOf(by), 1)
  }

  handshake(version: string, resumed: boolean): void {
    const i = (HANDSHAKES as readonly string[]).indexOf(resumed ? `${version} resumed` : version)
    if (i >= 0) bump(this.totals, this.base + SERVICE.at.handshakes + i, 1)
  }

  handshakeFailure(reason: HandshakeFailure): void {
    bump(this.totals, this.base + SERVICE.at.handshakeFailures + HANDSHAKE_FAILURES.indexOf(reason), 1)
  }
}

export class ListenerCell extends Cell {
  constructor(board: Board, thread: number, row: number) {
    super(board, thread, 'listener', row)
  }

  connection(): void {
    bump(this.totals, this.base + LISTENER.at.connections, 1)
  }
}

const LATENCY_MS = 10_000 // time constant: after it a third of an unconfirmed time is left, after half a minute a twentieth
const AGE_BITS = 4 // ages in steps of 16 ms: a six-hundredth of what is forgotten meanwhile
/** By age; up to 131 s, when a millionth is left. A look at each backend with each pick must not cost an exponential. */
const FRESHNESS = Float64Array.from({ length: 8192 }, (_, i) => Math.exp((-i * 2 ** AGE_BITS) / LATENCY_MS))
const LEAST_PART = 1 / 16 // of a new sample in the average, however soon it comes after the last

export class BackendCell extends Cell {
  readonly #sightAt: number

  constructor(board: Board, thread: number, row: number) {
    super(board, thread, 'backend', row)
    this.#sightAt = SHARED.sight + row * SIGHT_WORDS
  }

  /** For ActiveCounts and ActiveSum alone. */
  get allWords(): Int32Array {
    return this.words
  }

  /** For ActiveSum alone: a word that stays 0. */
  get zeroAt(): number {
    return this.#sightAt + SIGHT_WORD.zero
  }

  /** What it reported of itself, 0 (idle) to 100, smoothed; -1: no report, or none of late. */
  load(): number {
    const word = Atomics.load(this.words, this.at + BACKEND_WORD.load)
    return word === 0 ? -1 : (word - 1) / 256
  }

  /** Average time of its answers, µs; 0: there was none. */
  latency(): number {
    return this.words[this.#sightAt + SIGHT_WORD.latency] as number
  }

  /** How much that average still says at `now` on the shared clock: 1 at once, less and less with its age. */
  freshness(now: number): number {
    const age = ((now | 0) - (this.words[this.#sightAt + SIGHT_WORD.latencyAt] as number)) | 0
    // The word of its time goes around after 49 days, and the clocks of two threads may be a moment apart.
    if (age < 0) return age > -LATENCY_MS ? 1 : 0
    return (FRESHNESS[age >> AGE_BITS] as number | undefined) ?? 0
  }

  /** An answer that took `ms` until its first byte. Threads that write at once may lose one sample, which is no matter. */
  took(ms: number, now: number): void {
    const average = this.latency()
    const sample = Math.min(Math.max(1, ms * 1000), 0x7fff_ffff)
    const kept = average === 0 ? 0 : Math.min(this.freshness(now), 1 - LEAST_PART)
    this.words[this.#sightAt + SIGHT_WORD.latency] = Math.round(average * kept + sample * (1 - kept))
    this.words[this.#sightAt + SIGHT_WORD.latencyAt] = now | 0
  }

  /** Index into the list of states; see pool/state.ts. */
  state(): number {
    return Atomics.load(this.words, this.at + BACKEND_WORD.state)
  }

  /** Bits of ACCEPTS. */
  accepts(): number {
    return Atomics.load(this.words, this.at + BACKEND_WORD.accepts)
  }

  /** Effective weight, 0..256 in steps of 0.01. */
  weight(): number {
    return Atomics.load(this.words, this.at + BACKEND_WORD.weight) / WEIGHT_UNIT
  }

  /** The most flows that it may have at once; 0: no limit. */
  most(): number {
    return Atomics.load(this.words, this.at + BACKEND_WORD.most)
  }

  /** One more active flow, unless there are `most` already (0: no limit); false: there are. */
  tryBegin(most: number): boolean {
    // Counted first and looked at then: two threads never take the last place both.
    if (this.begin() < most || most === 0) return true
    this.end()
    return false
  }

  /** A flow failed in a way that may be the backend's fault. */
  failed(): void {
    Atomics.add(this.words, this.at + BACKEND_WORD.failures, 1)
  }

  /** A flow went well: failures in a row end here. */
  succeeded(): void {
    const at = this.at + BACKEND_WORD.failures
    if (Atomics.load(this.words, at) !== 0) Atomics.store(this.words, at, 0)
  }

  request(status: number): void {
    bump(this.totals, this.base + BACKEND.at.requests + codeColumn(status), 1)
  }

  connectFailure(): void {
    bump(this.totals, this.base + BACKEND.at.connectFailures, 1)
  }

  /** A flow on it that we cut. */
  cut(): void {
    bump(this.totals, this.base + BACKEND.at.cuts, 1)
  }

  /** Time to connect, in ms. */
  connected(ms: number): void {
    observe(this.totals, this.base + BACKEND.at.connect, ms)
  }

  /** Time from the request to the first byte of the answer, in ms. */
  responded(ms: number): void {
    observe(this.totals, this.base + BACKEND.at.response, ms)
  }
}

const LONG_MS = 60_000 // a wake that is lost with a dying thread is made up for by then; waiting flows have their own deadlines

/** What the threads share of a pool: the order of its picks, and of the flows that wait for room. */
export class PoolCell extends Cell {
  readonly #board: Board
  readonly #thread: number
  readonly #firstAt: number

  constructor(board: Board, thread: number, row: number) {
    super(board, thread, 'pool', row)
    this.#board = board
    this.#thread = thread
    this.#firstAt = SHARE.first + row
  }

  /** Rises with every change of a backend of this pool. */
  epoch(): number {
    return Atomics.load(this.words, this.at + POOL_WORD.epoch)
  }

  /** Resolves when the epoch is no longer `seen`, or after `ms`. */
  changed(seen: number, ms: number): Promise<void> {
    return this.#changes(POOL_WORD.epoch, seen, ms)
  }

  /** The next number of a sequence that all threads share; wraps to negative after 2^31. */
  nextInSequence(): number {
    return Atomics.add(this.words, this.at + POOL_WORD.sequence, 1)
  }

  /** A place in the order of the waiting, over all threads; never 0. */
  draw(): number {
    const ticket = (Atomics.add(this.words, this.at + POOL_WORD.ticket, 1) + 1) | 0
    return ticket === 0 ? this.draw() : ticket
  }

  /** The ticket of the flow of this thread that has waited longest; 0: none waits. */
  set first(ticket: number) {
    Atomics.store(this.share, this.#firstAt, ticket)
  }

  /** Does no flow of another thread wait longer than the one with `ticket`? */
  isFirst(ticket: number): boolean {
    for (let thread = 0; thread < this.#board.threads; thread++) {
      if (thread === this.#thread) continue
      const other = Atomics.load(this.#board.share(thread), this.#firstAt)
      if (other !== 0 && ((other - ticket) | 0) < 0) return false // tickets wrap around
    }
    return true
  }

  /** Changes whenever there may be room for a flow that waits. */
  turn(): number {
    return Atomics.load(this.words, this.at + POOL_WORD.turn)
  }

  /** Resolves when `turn` is no longer `seen`. */
  turned(seen: number): Promise<void> {
    return this.#changes(POOL_WORD.turn, seen, LONG_MS)
  }

  /** There may be room: every thread in which flows wait looks. */
  wake(): void {
    Atomics.add(this.words, this.at + POOL_WORD.turn, 1)
    Atomics.notify(this.words, this.at + POOL_WORD.turn)
  }

  async #changes(word: number, seen: number, ms: number): Promise<void> {
    const wait = Atomics.waitAsync(this.words, this.at + word, seen, ms)
    if (wait.async) await wait.value
  }
}

/** What a data thread tells of itself. */
export class ThreadCell {
  readonly #words: Int32Array
  readonly #at: number

  constructor(board: Board, thread: number) {
    this.#words = board.words
    this.#at = SHARED.thread + thread * ROW_WORDS
  }

  /**
   * It lives; `delay`: ms by which this beat was late. `shedding`: it refuses what is new. `turn`: the longest turn of its
   * event loop in the last minute, ms.
   */
  beat(delay: number, shedding: boolean, turn: number): void {
    Atomics.store(this.#words, this.#at + THREAD_WORD.turn, turn)
    Atomics.store(this.#words, this.#at + THREAD_WORD.shedding, shedding ? 1 : 0)
    Atomics.store(this.#words, this.#at + THREAD_WORD.delay, delay)
    Atomics.add(this.#words, this.#at + THREAD_WORD.beats, 1)
  }

  /** An error that nobody expected ended a flow. */
  fault(): void {
    Atomics.add(this.#words, this.#at + THREAD_WORD.faults, 1)
  }
}
