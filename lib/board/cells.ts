/** A data thread's handles on board rows: bound once when a service is built, so that counting costs one add. */
import type { Board } from './board.ts'
import {
  BACKEND,
  HANDSHAKE_FAILURES,
  HANDSHAKES,
  type HandshakeFailure,
  LISTENER,
  observe,
  REASONS,
  RETRY_REASONS,
  type Reason,
  type RetryReason,
  SERVICE,
} from './columns.ts'
import { BACKEND_WORD, LISTENER_WORD, ROW_WORDS, type RowKind, SERVICE_WORD, SHARE, SHARED, TOTALS } from './layout.ts'

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
  readonly #activeAt: number
  readonly #shareAt: number

  constructor(board: Board, thread: number, kind: RowKind, row: number, activeWord: number) {
    this.words = board.words
    this.share = board.share(thread)
    this.totals = board.totals(thread)
    this.at = SHARED[kind] + row * ROW_WORDS
    this.base = TOTALS[kind] + row * TOTALS.width[kind]
    this.#activeAt = this.at + activeWord
    this.#shareAt = SHARE[kind] + row
  }

  /** One more active flow; answers how many there were before. */
  begin(): number {
    this.share[this.#shareAt] = (this.share[this.#shareAt] as number) + 1
    return Atomics.add(this.words, this.#activeAt, 1)
  }

  /** One active flow less. */
  end(): void {
    this.share[this.#shareAt] = (this.share[this.#shareAt] as number) - 1
    Atomics.sub(this.words, this.#activeAt, 1)
  }

  /** Active flows over all threads. */
  active(): number {
    return Atomics.load(this.words, this.#activeAt)
  }
}

export class ServiceCell extends Cell {
  constructor(board: Board, thread: number, row: number) {
    super(board, thread, 'service', row, SERVICE_WORD.active)
  }

  /** Rises with every change of a backend of this service. */
  epoch(): number {
    return Atomics.load(this.words, this.at + SERVICE_WORD.epoch)
  }

  /** The next number of a sequence that all threads share; wraps to negative after 2^31. */
  nextInSequence(): number {
    return Atomics.add(this.words, this.at + SERVICE_WORD.sequence, 1)
  }

  /** Resolves when the epoch is no longer `seen`, or after `ms`. */
  async changed(seen: number, ms: number): Promise<void> {
    const wait = Atomics.waitAsync(this.words, this.at + SERVICE_WORD.epoch, seen, ms)
    if (wait.async) await wait.value
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

  /** A client that is not limited because the table of clients has no room for it. */
  clientUnknown(): void {
    bump(this.totals, this.base + SERVICE.at.clientsUnknown, 1)
  }

  /** Bytes from and to clients, bodies and heads. */
  bytes(received: number, sent: number): void {
    bump(this.totals, this.base + SERVICE.at.bytesIn, received)
    bump(this.totals, this.base + SERVICE.at.bytesOut, sent)
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
    super(board, thread, 'listener', row, LISTENER_WORD.active)
  }

  connection(): void {
    bump(this.totals, this.base + LISTENER.at.connections, 1)
  }
}

export class BackendCell extends Cell {
  constructor(board: Board, thread: number, row: number) {
    super(board, thread, 'backend', row, BACKEND_WORD.active)
  }

  /** Index into the list of states; see pool/state.ts. */
  state(): number {
    return Atomics.load(this.words, this.at + BACKEND_WORD.state)
  }

  /** Effective weight, 0..256. */
  weight(): number {
    return Atomics.load(this.words, this.at + BACKEND_WORD.weight)
  }

  request(status: number): void {
    bump(this.totals, this.base + BACKEND.at.requests + codeColumn(status), 1)
  }

  connectFailure(): void {
    bump(this.totals, this.base + BACKEND.at.connectFailures, 1)
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
