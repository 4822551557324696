/** Waits for what a backend says first, which a client that came by STARTTLS has been told already. */
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../../core/index.ts'
import { breakWire } from '../break-wire.ts'
import { idleSink, type Wire, type WireSink } from '../wire.ts'
import type { Ask } from './contract.ts'

export const MAX_HEARD = 8192 // a greeting has a line, or a few

/** Hears once how it ended. */
export interface HearingTaker {
  /** `rest` came behind it; the wire is paused and has no sink. */
  onGreeted(wire: Wire, rest: Buffer): void
  /** The backend does not want to serve, or did not say so in time; the wire is closed. */
  onUngreeted(late: boolean): void
}

export class Hearing implements WireSink, DeadlineOwner {
  readonly #wire: Wire
  readonly #ask: Ask
  readonly #taker: HearingTaker
  readonly #deadline: Deadline
  #input: Buffer = Buffer.alloc(0)
  #over = false

  constructor(wire: Wire, ask: Ask, wheel: DeadlineWheel, timeoutMs: number, taker: HearingTaker) {
    this.#wire = wire
    this.#ask = ask
    this.#taker = taker
    this.#deadline = new Deadline(wheel, this)
    this.#deadline.set(timeoutMs)
    wire.sink = this
    wire.resume()
  }

  onBytes(bytes: Buffer, length: number): void {
    if (this.#over) return
    this.#input = Buffer.concat([this.#input, bytes.subarray(0, length)])
    const heard = this.#ask.hear(this.#input)
    if (typeof heard === 'number') {
      this.#stop()
      this.#wire.pause()
      this.#wire.sink = idleSink
      this.#taker.onGreeted(this.#wire, this.#input.subarray(heard))
    } else if (heard !== null || this.#input.length > MAX_HEARD) this.#fail(false)
  }

  onEnd(): void {
    this.#fail(false)
  }
  onDrain(): void {}
  onClose(): void {
    this.#fail(false)
  }
  onDeadline(): void {
    this.#fail(true)
  }
  onThrown(error: unknown): void {
    breakWire(this.#wire, error)
  }

  /** Gives up without a word. */
  cancel(): void {
    if (this.#over) return
    this.#stop()
    this.#wire.destroy()
  }

  #fail(late: boolean): void {
    if (this.#over) return
    this.cancel()
    this.#taker.onUngreeted(late)
  }

  #stop(): void {
    this.#over = true
    this.#deadline.release()
  }
}
