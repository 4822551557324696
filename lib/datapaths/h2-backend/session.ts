/** One connection to a backend that speaks HTTP/2: its streams, its windows, and its end. */
import { Deadline, type DeadlineOwner, type DeadlineWheel } from '../../core/index.ts'
import { breakWire } from '../break-wire.ts'
import { FLOW_CONTROL_ERROR, NO_ERROR } from '../h2/errors.ts'
import { FrameBudget } from '../h2/frame-budget.ts'
import type { Receiver } from '../h2/inbound.ts'
import { MAX_WINDOW, Peer } from '../h2/peer.ts'
import { UNTOUCHED } from '../http/backend-connection.ts'
import type { HeadLimits } from '../http/head.ts'
import { Linger } from '../linger.ts'
import { idleSink, type Wire, type WireSink } from '../wire.ts'
import { BackendInbound } from './inbound.ts'
import type { BackendOptions } from './options.ts'
import { BackendOutbound } from './outbound.ts'
import { BackendStream } from './stream.ts'

const MAX_STREAM = 2 ** 31 - 1
const SILENCE_MS = 1000 // a backend that has said nothing for so long while a request waited may be gone

/** Who keeps it. */
export interface SessionOwner {
  /** Both sides may begin. */
  onOpen(session: BackendSession): void
  /** It takes no more streams. Comes once, before its streams hear of it. @param problem for the log, or '' @param code why, as wires have it */
  onClosed(session: BackendSession, problem: string, code: string): void
}

export interface SessionMeans {
  readonly wheel: DeadlineWheel
  readonly limits: HeadLimits
  readonly options: BackendOptions
  /** How long it may wait without streams, ms. */
  readonly idleMs: number
  /** How long the backend may take for its SETTINGS. */
  readonly greetingMs: number
}

/** greeting: its SETTINGS have not come. open: takes streams. leaving: takes no more. closed: over. */
type Phase = 'greeting' | 'open' | 'leaving' | 'closed'

export class BackendSession implements Receiver, WireSink, DeadlineOwner {
  readonly wire: Wire
  readonly wheel: DeadlineWheel
  readonly limits: HeadLimits
  readonly options: BackendOptions
  readonly streams = new Map<number, BackendStream>()
  readonly peer = new Peer()
  readonly budget: FrameBudget
  readonly outbound: BackendOutbound
  /** Number of the next stream. */
  nextId = 1
  /** Requests that it carried. */
  carried = 0
  /** Streams whose requests have not gone out. */
  readonly #unsent = new Set<BackendStream>()
  readonly #owner: SessionOwner
  readonly #idleMs: number
  readonly #inbound: BackendInbound
  readonly #deadline: Deadline
  #phase: Phase = 'greeting'
  #paused = false
  /** When something came last. */
  #heardAt: number
  /** It has been silent for too long: it gets no more streams until it says something. */
  #suspect = false

  constructor(
    wire: Wire,
    { wheel, limits, options, idleMs, greetingMs }: SessionMeans,
    secure: boolean,
    owner: SessionOwner,
  ) {
    this.wire = wire
    this.wheel = wheel
    this.limits = limits
    this.options = options
    this.#idleMs = idleMs
    this.#owner = owner
    this.#heardAt = wheel.now
    this.budget = new FrameBudget(options.frameBudget, wheel.now)
    this.outbound = new BackendOutbound(wire, this.budget, secure)
    this.#inbound = new BackendInbound(this)
    this.#deadline = new Deadline(wheel, this)
    this.#deadline.set(greetingMs)
    wire.sink = this
    this.outbound.greet(options, limits.maxHead)
    this.#inbound.open()
    wire.resume()
  }

  /** Nothing is read or said any more. */
  get over(): boolean {
    return this.#phase === 'closed'
  }

  /** How many streams it takes at once. */
  get capacity(): number {
    return Math.min(this.options.maxStreams, this.peer.maxStreams)
  }

  /** It takes a stream now. */
  get room(): boolean {
    return this.#phase === 'open' && !this.#suspect && this.#active < this.capacity
  }

  /** Streams of either kind. */
  get #active(): number {
    return this.streams.size + this.#unsent.size
  }

  /** Opens a stream; only where there is room. */
  open(): BackendStream {
    this.carried++
    const stream = new BackendStream(this)
    this.#unsent.add(stream)
    this.#deadline.clear()
    return stream
  }

  /** Its request goes out now: answers its number. */
  enter(stream: BackendStream): number {
    const id = this.nextId
    this.nextId += 2
    this.#unsent.delete(stream)
    this.streams.set(id, stream)
    if (this.nextId > MAX_STREAM) this.#leave('')
    return id
  }

  onBytes(bytes: Buffer, length: number): void {
    this.#heardAt = this.wheel.now
    this.#suspect = false
    this.#inbound.read(bytes, 0, length)
    if (this.over || !this.outbound.overfull) return
    this.#paused = true
    this.wire.pause()
  }

  onStreamClosed(stream: BackendStream): void {
    if (stream.id === 0) this.#unsent.delete(stream)
    else this.streams.delete(stream.id)
    if (this.#active > 0 || this.over) return
    if (this.#phase === 'leaving') this.#farewell()
    else this.rest()
  }

  /** Without streams it waits for so long and no longer. */
  rest(): void {
    if (this.#active === 0 && !this.over) this.#deadline.set(this.#idleMs)
  }

  /** A request that began then was given up without an answer. */
  onSilence(since: number): void {
    if (this.#heardAt <= since && this.wheel.now - since >= SILENCE_MS) this.#suspect = true
  }

  // What the backend says of the connection.

  onSettings(buf: Buffer, start: number, end: number): number {
    const before = this.peer.initialWindow
    const error = this.peer.read(buf, start, end)
    if (error !== NO_ERROR) return error
    this.outbound.acknowledge(this.peer.headerTable)
    const change = this.peer.initialWindow - before
    if (change === 0) return NO_ERROR
    // Of all streams before any sends: what one does may end others.
    for (const stream of this.streams.values()) if (stream.shift(change) > MAX_WINDOW) return FLOW_CONTROL_ERROR
    if (change > 0) for (const stream of [...this.streams.values()]) stream.pump()
    return NO_ERROR
  }

  onGreeted(): void {
    if (this.#phase !== 'greeting') return
    this.#phase = 'open'
    this.#deadline.clear()
    this.#owner.onOpen(this)
    this.rest()
  }

  onPingAnswered(): void {}
  onResetReceived(): void {}

  /** The backend goes: what it has not looked at goes elsewhere, the rest may finish. */
  onGoaway(last: number, code: number): void {
    this.#leave(code === NO_ERROR ? '' : `it ends connections with error ${code} of HTTP/2`)
    this.#returnUnsent()
    for (const stream of [...this.streams.values()]) {
      if (stream.id <= last) continue
      this.streams.delete(stream.id)
      stream.onGone(UNTOUCHED)
    }
    if (this.#active === 0 && !this.over) this.#farewell()
  }

  // Its end.

  /** Takes no more streams. */
  #leave(problem: string, code = ''): void {
    if (this.#phase === 'leaving' || this.#phase === 'closed') return
    this.#phase = 'leaving'
    this.#owner.onClosed(this, problem, code)
  }

  /** What has not gone out goes elsewhere. */
  #returnUnsent(): void {
    for (const stream of [...this.#unsent]) {
      this.#unsent.delete(stream)
      stream.onGone(UNTOUCHED)
    }
  }

  /** No more streams: it closes with the last that it has. */
  retire(): void {
    this.#leave('')
    if (this.#active === 0 && !this.over) this.#farewell()
  }

  /** The backend broke the protocol, or our patience. */
  fail(code: number, problem: string): void {
    if (this.over) return
    this.outbound.goaway(0, code, '')
    this.outbound.finish()
    this.#end('EPROTO', this.#phase === 'greeting' ? `this is not HTTP/2 (${problem})` : problem)
    this.wire.destroy()
  }

  onEnd(): void {
    this.#end('', 'it closed the connection before it spoke HTTP/2')
    this.wire.destroy()
  }

  onClose(code: string): void {
    this.#end(code, 'its connection broke before it spoke HTTP/2')
  }

  /** Tells all streams of it. */
  #end(code: string, problem: string): void {
    if (this.over) return
    const greeted = this.#phase !== 'greeting'
    this.#leave(greeted && code !== 'EPROTO' ? '' : problem, code)
    this.#phase = 'closed'
    this.#deadline.release()
    this.outbound.close()
    this.wire.sink = idleSink
    this.#returnUnsent()
    for (const stream of [...this.streams.values()]) {
      this.streams.delete(stream.id)
      stream.onGone(code === '' ? 'ECONNRESET' : code)
    }
  }

  onDrain(): void {
    this.outbound.drained()
    if (!this.#paused || this.outbound.overfull || this.over) return
    this.#paused = false
    this.wire.resume()
  }

  onDeadline(): void {
    if (this.#phase === 'greeting') return this.#abandon('it does not begin to speak HTTP/2')
    if (this.#active > 0) return
    this.#leave('')
    this.#farewell()
  }
  onThrown(error: unknown): void {
    breakWire(this.wire, error)
  }

  #abandon(problem: string): void {
    this.#end('ETIMEDOUT', problem)
    this.wire.destroy()
  }

  /** Gives up on a backend that has not greeted. */
  cancel(): void {
    this.#abandon('')
  }

  /** No stream is left: says so, and closes. */
  #farewell(): void {
    this.#phase = 'closed'
    this.#deadline.release()
    this.outbound.goaway(0, NO_ERROR, '')
    this.outbound.finish()
    new Linger(this.wire, this.wheel, false, () => undefined)
  }
}
