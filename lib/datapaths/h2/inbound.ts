/** What a peer sends on one connection: frames in their order, held against RFC 9113 §4 to §6. What header blocks mean is its heirs' business. */
import type { DeadlineWheel } from '../../core/index.ts'
import type { HeadLimits } from '../http/head.ts'
import { Stash } from '../http/stash.ts'
import {
  COMPRESSION_ERROR,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  NO_ERROR,
  PROTOCOL_ERROR,
  STREAM_CLOSED,
} from './errors.ts'
import { fieldBlock } from './field-block.ts'
import { AT_ONCE, type FrameBudget } from './frame-budget.ts'
import {
  ACK,
  BAD,
  CONTINUATION,
  DATA_HEAD,
  DATA_PIECE,
  END_HEADERS,
  END_STREAM,
  FRAME,
  FrameReader,
  GOAWAY,
  HAS_PRIORITY,
  HEADERS,
  PADDED,
  PING,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  readUint32,
  SETTINGS,
  WINDOW_UPDATE,
} from './frames.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import type { Outbound } from './outbound.ts'
import { FIRST_TABLE, FIRST_WINDOW } from './peer.ts'

const PSEUDO_FIELDS = 5 // a request has at most
const NOTHING = Buffer.alloc(0)
const BLOCK_SLACK = 16 * 1024 // a block may be so much larger than the fields that it may mean: Huffman codes can be longer than bytes

/** A stream, as the peer's frames come for it. */
export interface Incoming {
  readonly id: number
  readonly closed: boolean
  /** The peer has sent its last. */
  readonly remoteEnded: boolean
  /** The read that is being looked at has opened it. */
  readonly fresh: boolean
  /** What the peer may send. */
  receiveWindow: number
  onData(buf: Buffer, start: number, end: number, last: boolean): void
  onPadding(bytes: number): void
  /** The peer gave it up. */
  onReset(code: number): void
  /** Tells the peer that it is over. */
  abort(code: number): void
  /** The peer takes so much more; false: more than there may be. */
  widen(increment: number): boolean
}

/** Whose frames they are. */
export interface Receiver {
  readonly over: boolean
  readonly wheel: DeadlineWheel
  readonly limits: HeadLimits
  readonly options: {
    readonly headerTable: number
    readonly connectionWindow: number
    readonly maxContinuations: number
  }
  readonly streams: ReadonlyMap<number, Incoming>
  readonly outbound: Outbound
  readonly budget: FrameBudget
  /** The peer broke the protocol, or our patience. */
  fail(code: number, problem: string): void
  /** Answers what is wrong with them, or NO_ERROR. */
  onSettings(buf: Buffer, start: number, end: number): number
  /** The first SETTINGS have come. */
  onGreeted(): void
  onPingAnswered(): void
  /** The peer goes, and looks at no stream of ours beyond `last`. */
  onGoaway(last: number, code: number): void
  onResetReceived(id: number): void
  onStreamClosed(stream: Incoming): void
}

export abstract class Inbound {
  readonly #session: Receiver
  readonly #reader = new FrameReader()
  readonly #decoder: HpackDecoder
  /** What a reset costs of the budget. */
  readonly #resetWeight: number
  /** The peer's first SETTINGS have come. */
  settled = false
  /** Of the connection: what the peer may send, and what it has since it was told last. */
  #window = FIRST_WINDOW
  #uncredited = 0
  /** Of the DATA frame under way: its stream, null where nobody wants it, and its content so far. */
  #target: Incoming | null = null
  #content = 0
  /** A header block under way: its stream (0: none), flags and frames. */
  #blockStream = 0
  #blockFlags = 0
  #continuations = 0
  #block: Stash | null = null
  /** It made its stream depend on itself. */
  #selfish = false

  constructor(session: Receiver, resetWeight: number) {
    this.#session = session
    this.#resetWeight = resetWeight
    this.#decoder = new HpackDecoder(FIRST_TABLE)
    this.#decoder.offer(session.options.headerTable)
  }

  /** No such stream has been opened yet. */
  protected abstract idle(id: number): boolean
  /** A whole header block, decoded into `fieldBlock`. `selfish`: its stream depends on itself. */
  protected abstract onBlock(id: number, ended: boolean, selfish: boolean): void
  /** DATA on a stream that is over, and that we did not reset of late. */
  protected abstract onStray(id: number): void
  /** What PUSH_PROMISE is here. */
  protected abstract readonly push: string

  /** Uses all of `buf[start..end)`, unless the connection ends meanwhile. */
  read(buf: Buffer, start: number, end: number): void {
    const session = this.#session
    const reader = this.#reader
    let p = start
    while (p < end && !session.over) {
      p = reader.step(buf, p, end)
      if (reader.event === DATA_PIECE) this.#onData()
      else if (reader.event === FRAME) this.#onFrame()
      else if (reader.event === DATA_HEAD) this.#onDataHead()
      else if (reader.event === BAD) return session.fail(reader.error, reader.problem)
    }
  }

  /** A frame that moves nothing: so many are borne. */
  protected spend(weight: number): boolean {
    const { budget, wheel } = this.#session
    if (budget.spend(weight, wheel.now)) return true
    this.#session.fail(ENHANCE_YOUR_CALM, 'too many frames that move nothing')
    return false
  }

  protected fail(code: number, problem: string): void {
    this.#session.fail(code, problem)
  }

  /** A stream error. With a stream that is there it is cut; else the client is only told, and nothing can be reset that never was. */
  protected failStream(id: number, code: number): void {
    const session = this.#session
    const stream = session.streams.get(id)
    if (stream === undefined && this.idle(id)) return this.fail(code, 'a fault on an idle stream')
    if (stream === undefined) session.outbound.reset(id, code)
    else {
      stream.abort(code)
      stream.onReset(code)
    }
    this.spend(this.#resetWeight)
  }

  #onDataHead(): void {
    const { stream: id, length, flags } = this.#reader
    const session = this.#session
    this.#target = null
    this.#content = 0
    if (!this.#expected(id !== 0)) return
    this.#window -= length
    if (this.#window < 0) return this.fail(FLOW_CONTROL_ERROR, 'more than the window of the connection')
    this.#credit(length)
    if (this.idle(id)) return this.fail(PROTOCOL_ERROR, 'DATA on an idle stream')
    const stream = session.streams.get(id)
    if (stream === undefined) {
      if (length === 0 && !this.spend(1)) return
      if (!session.outbound.resets.has(id)) this.onStray(id)
      return
    }
    if (stream.remoteEnded) return this.failStream(id, STREAM_CLOSED)
    stream.receiveWindow -= length
    if (stream.receiveWindow < 0) return this.failStream(id, FLOW_CONTROL_ERROR)
    this.#target = stream
    if (length > 0) return
    if ((flags & END_STREAM) === 0) this.spend(1)
    else stream.onData(NOTHING, 0, 0, true)
  }

  #onData(): void {
    const { bytes, start, end, last, flags, length } = this.#reader
    const stream = this.#target
    if (stream === null || stream.closed) return
    this.#content += end - start
    if (last && length > this.#content) stream.onPadding(length - this.#content)
    const ends = last && (flags & END_STREAM) !== 0
    this.#session.budget.moved(end - start)
    if (end > start || ends) stream.onData(bytes, start, end, ends)
    else if (last && length > 0) this.spend(1)
  }

  /** The connection's window follows what has come: what a stream does not use is bounded by the stream's own. */
  #credit(bytes: number): void {
    const { connectionWindow } = this.#session.options
    this.#uncredited += bytes
    if (2 * this.#uncredited < connectionWindow) return
    this.#session.outbound.windowUpdate(0, this.#uncredited)
    this.#window += this.#uncredited
    this.#uncredited = 0
  }

  /** The window of the connection as it is to be from the start. */
  open(): void {
    const { connectionWindow } = this.#session.options
    if (connectionWindow <= FIRST_WINDOW) return
    this.#session.outbound.windowUpdate(0, connectionWindow - FIRST_WINDOW)
    this.#window = connectionWindow
  }

  /** May this frame come now? `placed`: it is on a stream or on none as its type demands. */
  #expected(placed: boolean): boolean {
    const { type, stream } = this.#reader
    let problem = ''
    if (!this.settled && type !== SETTINGS) problem = 'the first frame is not SETTINGS'
    else if (this.#blockStream !== 0 && (type !== CONTINUATION || stream !== this.#blockStream))
      problem = 'a header block is interrupted'
    else if (!placed) problem = 'a frame is on the wrong stream'
    if (problem === '') return true
    this.fail(PROTOCOL_ERROR, problem)
    return false
  }

  #onFrame(): void {
    const { type, stream } = this.#reader
    switch (type) {
      case HEADERS:
        if (this.#expected(stream !== 0)) this.#onHeaders()
        return
      case CONTINUATION:
        if (this.#expected(stream !== 0)) this.#onContinuation()
        return
      case PRIORITY:
        if (this.#expected(stream !== 0)) this.#onPriority()
        return
      case RST_STREAM:
        if (this.#expected(stream !== 0)) this.#onReset()
        return
      case SETTINGS:
        if (this.#expected(stream === 0)) this.#onSettings()
        return
      case PING:
        if (this.#expected(stream === 0)) this.#onPing()
        return
      case GOAWAY:
        if (this.#expected(stream === 0)) this.#onGoaway()
        return
      case WINDOW_UPDATE:
        if (this.#expected(true)) this.#onWindowUpdate()
        return
      case PUSH_PROMISE:
        return this.fail(PROTOCOL_ERROR, this.push)
      default:
        // Frames of other types are passed over (RFC 9113 §4.1).
        if (this.#expected(true)) this.spend(1)
    }
  }

  #onHeaders(): void {
    const { stream: id, flags, bytes } = this.#reader
    let { start, end } = this.#reader
    if ((flags & PADDED) !== 0) {
      if (start === end) return this.fail(FRAME_SIZE_ERROR, 'a frame is too short')
      end -= bytes[start++] as number
    }
    if ((flags & HAS_PRIORITY) !== 0) {
      if (end - start < 5) return this.fail(end < start ? PROTOCOL_ERROR : FRAME_SIZE_ERROR, 'a frame is too short')
      if ((readUint32(bytes, start) & 0x7fffffff) === id) this.#selfish = true
      start += 5
    }
    if (end < start) return this.fail(PROTOCOL_ERROR, 'padding is longer than its frame')
    if ((id & 1) === 0) return this.fail(PROTOCOL_ERROR, 'an even stream number')
    this.#blockFlags = flags
    if ((flags & END_HEADERS) !== 0) return this.#decode(id, bytes, start, end)
    this.#blockStream = id
    this.#continuations = 0
    this.#block = new Stash(bytes, start, end)
  }

  #onContinuation(): void {
    const { stream: id, flags, bytes, start, end } = this.#reader
    const block = this.#block
    const { options, limits } = this.#session
    if (block === null) return this.fail(PROTOCOL_ERROR, 'CONTINUATION without HEADERS')
    block.append(bytes.subarray(start, end), end - start)
    if (++this.#continuations > options.maxContinuations || block.length > limits.maxHead + BLOCK_SLACK)
      return this.fail(ENHANCE_YOUR_CALM, 'a header block is too large')
    if ((flags & END_HEADERS) === 0) return
    this.#block = null
    this.#blockStream = 0
    this.#decode(id, block.bytes, 0, block.length)
  }

  /** A whole header block. It is decoded whatever becomes of its stream: the tables must agree. */
  #decode(id: number, bytes: Buffer, start: number, end: number): void {
    const session = this.#session
    const { maxHead, maxFields } = session.limits
    fieldBlock.begin(maxHead, maxFields + PSEUDO_FIELDS)
    if (!this.#decoder.decode(bytes, start, end, fieldBlock))
      return this.fail(COMPRESSION_ERROR, 'a header block is malformed')
    const { sizeChanges } = this.#decoder
    if (sizeChanges > 0 && !this.spend(sizeChanges)) return
    if (this.#continuations > 0 && !this.spend(this.#continuations)) return
    this.#continuations = 0
    const selfish = this.#selfish
    this.#selfish = false
    this.onBlock(id, (this.#blockFlags & END_STREAM) !== 0, selfish)
  }

  #onPriority(): void {
    const { stream: id, bytes, start, end } = this.#reader
    if (end - start !== 5) return this.failStream(id, FRAME_SIZE_ERROR)
    if ((readUint32(bytes, start) & 0x7fffffff) === id) return this.failStream(id, PROTOCOL_ERROR)
    this.spend(1)
  }

  #onReset(): void {
    const { stream: id, bytes, start } = this.#reader
    const session = this.#session
    if (this.idle(id)) return this.fail(PROTOCOL_ERROR, 'RST_STREAM on an idle stream')
    session.onResetReceived(id)
    const stream = session.streams.get(id)
    const weight = stream?.fresh === true ? AT_ONCE * this.#resetWeight : this.#resetWeight
    if (stream !== undefined) {
      stream.onReset(readUint32(bytes, start))
      session.onStreamClosed(stream)
    }
    this.spend(weight)
  }

  #onSettings(): void {
    const { flags, bytes, start, end } = this.#reader
    if ((flags & ACK) !== 0) {
      if (!this.settled) return this.fail(PROTOCOL_ERROR, 'the first frame is not SETTINGS')
      this.spend(1)
      this.#decoder.settle(this.#session.options.headerTable)
      return
    }
    const first = !this.settled
    this.settled = true
    const error = this.#session.onSettings(bytes, start, end)
    if (error !== NO_ERROR) return this.fail(error, 'SETTINGS are malformed')
    if (first) this.#session.onGreeted()
    else this.spend(1 + (end - start) / 6)
  }

  #onPing(): void {
    const { flags, bytes, start } = this.#reader
    if ((flags & ACK) !== 0) {
      if (this.spend(1)) this.#session.onPingAnswered()
      return
    }
    if (this.spend(1)) this.#session.outbound.ping(bytes, start, ACK)
  }

  #onGoaway(): void {
    const { bytes, start } = this.#reader
    if (this.spend(1)) this.#session.onGoaway(readUint32(bytes, start) & 0x7fffffff, readUint32(bytes, start + 4))
  }

  #onWindowUpdate(): void {
    const { stream: id, bytes, start } = this.#reader
    const session = this.#session
    const increment = readUint32(bytes, start) & 0x7fffffff
    if (!this.spend(1)) return
    if (id === 0) {
      if (increment === 0) return this.fail(PROTOCOL_ERROR, 'a window grows by nothing')
      if (!session.outbound.widen(increment)) this.fail(FLOW_CONTROL_ERROR, 'the window of the connection is too large')
      return
    }
    if (this.idle(id)) return this.fail(PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream')
    const stream = session.streams.get(id)
    if (stream === undefined) return
    if (increment === 0) return this.failStream(id, PROTOCOL_ERROR)
    if (!stream.widen(increment)) this.failStream(id, FLOW_CONTROL_ERROR)
  }
}
