/** What a client sends on one connection: frames in their order, held against RFC 9113 §3.4, §4 to §6 and §8.1. */
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
import { RESET_WEIGHT } from './frame-budget.ts'
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
import { FIRST_WINDOW } from './peer.ts'
import { trailerLines } from './request-writer.ts'
import type { H2Session } from './session.ts'
import type { H2Stream } from './stream.ts'

const PSEUDO_FIELDS = 5 // a request has at most
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const NOTHING = Buffer.alloc(0)
const BLOCK_SLACK = 16 * 1024 // a block may be so much larger than the fields that it may mean: Huffman codes can be longer than bytes

export class Inbound {
  readonly #session: H2Session
  readonly #reader = new FrameReader()
  readonly #decoder: HpackDecoder
  #preface = 0
  /** The client's first SETTINGS have come. */
  settled = false
  /** Highest stream that the client has opened, and how many it has. */
  last = 0
  #opened = 0
  /** Of the connection: what the client may send, and what it has since it was told last. */
  #window = FIRST_WINDOW
  #uncredited = 0
  /** Of the DATA frame under way: its stream, null where nobody wants it, and its content so far. */
  #target: H2Stream | null = null
  #content = 0
  /** A header block under way: its stream (0: none), flags and frames. */
  #blockStream = 0
  #blockFlags = 0
  #continuations = 0
  #block: Stash | null = null
  /** It made its stream depend on itself. */
  #selfish = false

  constructor(session: H2Session) {
    this.#session = session
    this.#decoder = new HpackDecoder(session.options.headerTable)
  }

  /** Uses all of `buf[0..end)`, unless the connection ends meanwhile. */
  read(buf: Buffer, end: number): void {
    const session = this.#session
    const reader = this.#reader
    let p = this.#preface < PREFACE.length ? this.#readPreface(buf, end) : 0
    while (p < end && !session.over) {
      p = reader.step(buf, p, end)
      if (reader.event === DATA_PIECE) this.#onData()
      else if (reader.event === FRAME) this.#onFrame()
      else if (reader.event === DATA_HEAD) this.#onDataHead()
      else if (reader.event === BAD) return session.fail(reader.error, reader.problem)
    }
  }

  #readPreface(buf: Buffer, end: number): number {
    const take = Math.min(PREFACE.length - this.#preface, end)
    if (PREFACE.compare(buf, 0, take, this.#preface, this.#preface + take) !== 0) {
      this.#session.fail(PROTOCOL_ERROR, 'this is not HTTP/2')
      return end
    }
    this.#preface += take
    return take
  }

  /** A frame that moves nothing: so many are borne. */
  #spend(weight: number): boolean {
    const { budget, context } = this.#session
    if (budget.spend(weight, context.wheel.now)) return true
    this.#session.fail(ENHANCE_YOUR_CALM, 'too many frames that move nothing')
    return false
  }

  #fail(code: number, problem: string): void {
    this.#session.fail(code, problem)
  }

  /** A stream error. With a stream that is there it is cut; else the client is only told. */
  #failStream(id: number, code: number): void {
    const session = this.#session
    const stream = session.streams.get(id)
    if (stream === undefined) session.outbound.reset(id, code)
    else {
      stream.abort(code)
      stream.onReset()
    }
    this.#spend(RESET_WEIGHT)
  }

  #onDataHead(): void {
    const { stream: id, length, flags } = this.#reader
    const session = this.#session
    this.#target = null
    this.#content = 0
    if (!this.#expected(id !== 0)) return
    this.#window -= length
    if (this.#window < 0) return this.#fail(FLOW_CONTROL_ERROR, 'more than the window of the connection')
    this.#credit(length)
    if (id > this.last) return this.#fail(PROTOCOL_ERROR, 'DATA on an idle stream')
    const stream = session.streams.get(id)
    if (stream === undefined || stream.remoteEnded) {
      if (stream !== undefined || !session.outbound.resets.has(id)) this.#failStream(id, STREAM_CLOSED)
      return
    }
    stream.receiveWindow -= length
    if (stream.receiveWindow < 0) return this.#failStream(id, FLOW_CONTROL_ERROR)
    this.#target = stream
    if (length > 0) return
    if ((flags & END_STREAM) === 0) this.#spend(1)
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
    else if (last && length > 0) this.#spend(1)
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
    this.#fail(PROTOCOL_ERROR, problem)
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
        return this.#fail(PROTOCOL_ERROR, 'clients do not push')
      default:
        // Frames of other types are passed over (RFC 9113 §4.1).
        if (this.#expected(true)) this.#spend(1)
    }
  }

  #onHeaders(): void {
    const { stream: id, flags, bytes } = this.#reader
    let { start, end } = this.#reader
    if ((flags & PADDED) !== 0) {
      if (start === end) return this.#fail(FRAME_SIZE_ERROR, 'a frame is too short')
      end -= bytes[start++] as number
    }
    if ((flags & HAS_PRIORITY) !== 0) {
      if (end - start < 5) return this.#fail(end < start ? PROTOCOL_ERROR : FRAME_SIZE_ERROR, 'a frame is too short')
      if ((readUint32(bytes, start) & 0x7fffffff) === id) this.#selfish = true
      start += 5
    }
    if (end < start) return this.#fail(PROTOCOL_ERROR, 'padding is longer than its frame')
    if ((id & 1) === 0) return this.#fail(PROTOCOL_ERROR, 'an even stream number')
    this.#blockFlags = flags
    if ((flags & END_HEADERS) !== 0) return this.#onBlock(id, bytes, start, end)
    this.#blockStream = id
    this.#continuations = 0
    this.#block = new Stash(bytes, start, end)
  }

  #onContinuation(): void {
    const { stream: id, flags, bytes, start, end } = this.#reader
    const block = this.#block
    const { options, context } = this.#session
    if (block === null) return this.#fail(PROTOCOL_ERROR, 'CONTINUATION without HEADERS')
    block.append(bytes.subarray(start, end), end - start)
    if (++this.#continuations > options.maxContinuations || block.length > context.limits.maxHead + BLOCK_SLACK)
      return this.#fail(ENHANCE_YOUR_CALM, 'a header block is too large')
    if ((flags & END_HEADERS) === 0) return
    this.#block = null
    this.#blockStream = 0
    this.#onBlock(id, block.bytes, 0, block.length)
  }

  /** A whole header block. It is decoded whatever becomes of its stream: the tables must agree. */
  #onBlock(id: number, bytes: Buffer, start: number, end: number): void {
    const session = this.#session
    const { maxHead, maxFields } = session.context.limits
    fieldBlock.begin(maxHead, maxFields + PSEUDO_FIELDS)
    if (!this.#decoder.decode(bytes, start, end, fieldBlock))
      return this.#fail(COMPRESSION_ERROR, 'a header block is malformed')
    const { sizeChanges } = this.#decoder
    if (sizeChanges > 0 && !this.#spend(sizeChanges)) return
    if (this.#continuations > 0 && !this.#spend(this.#continuations)) return
    this.#continuations = 0
    const selfish = this.#selfish
    this.#selfish = false
    const ended = (this.#blockFlags & END_STREAM) !== 0
    const stream = session.streams.get(id)
    if (stream !== undefined) return this.#onTrailers(stream, ended)
    if (id <= this.last) {
      if (session.outbound.resets.has(id)) return
      const opened = this.#opened * 2 > this.last // none was left out: it has been there
      return this.#fail(opened ? STREAM_CLOSED : PROTOCOL_ERROR, 'HEADERS on a stream that is over')
    }
    this.last = id
    this.#opened++
    if (selfish) return this.#failStream(id, PROTOCOL_ERROR)
    session.onRequest(id, fieldBlock, ended)
  }

  #onTrailers(stream: H2Stream, ended: boolean): void {
    if (stream.remoteEnded) return this.#failStream(stream.id, STREAM_CLOSED)
    const lines = ended && !fieldBlock.tooLarge ? trailerLines(fieldBlock) : ''
    if (lines === '' && (!ended || fieldBlock.count > 0 || fieldBlock.tooLarge))
      return this.#failStream(stream.id, fieldBlock.tooLarge ? ENHANCE_YOUR_CALM : PROTOCOL_ERROR)
    stream.onTrailers(lines)
  }

  #onPriority(): void {
    const { stream: id, bytes, start, end } = this.#reader
    if (end - start !== 5) return this.#failStream(id, FRAME_SIZE_ERROR)
    if ((readUint32(bytes, start) & 0x7fffffff) === id) return this.#failStream(id, PROTOCOL_ERROR)
    this.#spend(1)
  }

  #onReset(): void {
    const { stream: id, start, end } = this.#reader
    const session = this.#session
    if (end - start !== 4) return this.#fail(FRAME_SIZE_ERROR, 'RST_STREAM has four bytes')
    if (id > this.last || (id & 1) === 0) return this.#fail(PROTOCOL_ERROR, 'RST_STREAM on an idle stream')
    session.onResetReceived()
    const stream = session.streams.get(id)
    if (stream !== undefined) {
      stream.onReset()
      session.onStreamClosed(stream)
    }
    this.#spend(RESET_WEIGHT)
  }

  #onSettings(): void {
    const { flags, bytes, start, end } = this.#reader
    if ((flags & ACK) !== 0) {
      if (!this.settled) return this.#fail(PROTOCOL_ERROR, 'the first frame is not SETTINGS')
      if (end > start) this.#fail(FRAME_SIZE_ERROR, 'an acknowledgement is empty')
      return
    }
    const first = !this.settled
    this.settled = true
    const error = this.#session.onSettings(bytes, start, end)
    if (error !== NO_ERROR) return this.#fail(error, 'SETTINGS are malformed')
    if (first) this.#session.onGreeted()
    else this.#spend(1 + (end - start) / 6)
  }

  #onPing(): void {
    const { flags, bytes, start, end } = this.#reader
    if (end - start !== 8) return this.#fail(FRAME_SIZE_ERROR, 'PING has eight bytes')
    if ((flags & ACK) !== 0) return this.#session.onPingAnswered()
    if (this.#spend(1)) this.#session.outbound.ping(bytes, start, ACK)
  }

  #onGoaway(): void {
    const { start, end } = this.#reader
    if (end - start < 8) return this.#fail(FRAME_SIZE_ERROR, 'GOAWAY has eight bytes at least')
    if (this.#spend(1)) this.#session.onGoaway()
  }

  #onWindowUpdate(): void {
    const { stream: id, bytes, start, end } = this.#reader
    const session = this.#session
    if (end - start !== 4) return this.#fail(FRAME_SIZE_ERROR, 'WINDOW_UPDATE has four bytes')
    const increment = readUint32(bytes, start) & 0x7fffffff
    if (!this.#spend(1)) return
    if (id === 0) {
      if (increment === 0) return this.#fail(PROTOCOL_ERROR, 'a window grows by nothing')
      if (!session.outbound.widen(increment))
        this.#fail(FLOW_CONTROL_ERROR, 'the window of the connection is too large')
      return
    }
    if (id > this.last) return this.#fail(PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream')
    const stream = session.streams.get(id)
    if (stream === undefined) return
    if (increment === 0) return this.#failStream(id, PROTOCOL_ERROR)
    if (!stream.answer.widen(increment)) this.#failStream(id, FLOW_CONTROL_ERROR)
  }
}
