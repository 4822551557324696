/** Waits until the PROXY header of one connection has come, for so long and no longer. */
import { Deadline, type DeadlineOwner, type DeadlineWheel, nowMs } from '../../core/index.ts'
import type { ProxyHeader } from './header.ts'
import { type Accepted, parseHeader } from './parse.ts'

/** Hears once how the wait ended. */
export interface HeaderTaker {
  /** `early` came behind the header; memory of its own. */
  onHeader(header: ProxyHeader, early: Buffer): void
  /** There will be no header: `problem` says why, '' when the peer left without a byte, as probes of ports do. */
  onRefused(problem: string): void
  /** An error that nobody expected. */
  onBroken(error: unknown): void
}

export class HeaderWait implements DeadlineOwner {
  readonly startedAt = Date.now()
  readonly #begunAt = nowMs()
  readonly #accepted: Accepted
  readonly #taker: HeaderTaker
  readonly #deadline: Deadline
  #bytes = Buffer.alloc(0)
  #over = false

  constructor(accepted: Accepted, wheel: DeadlineWheel, timeoutMs: number, taker: HeaderTaker) {
    this.#accepted = accepted
    this.#taker = taker
    this.#deadline = new Deadline(wheel, this)
    this.#deadline.set(timeoutMs)
  }

  get over(): boolean {
    return this.#over
  }
  /** Bytes that came so far. */
  get received(): number {
    return this.#bytes.length
  }
  get ageMs(): number {
    return nowMs() - this.#begunAt
  }

  /** `bytes[0..length)` arrived; they are copied. */
  push(bytes: Buffer, length: number): void {
    if (this.#over) return
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(0, length)])
    const result = parseHeader(this.#bytes, this.#bytes.length, this.#accepted)
    if (result === null) return
    if (typeof result === 'string') return this.#refuse(result)
    this.#end()
    this.#taker.onHeader(result, this.#bytes.subarray(result.length))
  }

  /** The peer sends no more. */
  peerEnded(): void {
    this.#refuse(this.received === 0 ? '' : 'the connection ended before the header did')
  }

  onDeadline(): void {
    this.#refuse('the header did not come in time')
  }
  onThrown(error: unknown): void {
    this.#end()
    this.#taker.onBroken(error)
  }

  /** Ends the wait without a word. */
  cancel(): void {
    this.#end()
  }

  #refuse(problem: string): void {
    if (this.#over) return
    this.#end()
    this.#taker.onRefused(problem)
  }

  #end(): void {
    this.#over = true
    this.#deadline.release()
  }
}
