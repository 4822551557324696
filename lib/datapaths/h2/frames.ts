/** The incremental reader of HTTP/2 frames (RFC 9113 §4): finds frames in any pieces of bytes. Their meaning is inbound.ts' business. */
import { FRAME_SIZE_ERROR, PROTOCOL_ERROR } from './errors.ts'

export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
export const SETTINGS = 4
export const PUSH_PROMISE = 5
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

export const END_STREAM = 1
export const ACK = 1
export const END_HEADERS = 4
export const PADDED = 8
export const HAS_PRIORITY = 32

export const HEADER_BYTES = 9
/** What every endpoint takes (RFC 9113 §4.2); we announce no more and send no more. */
export const MAX_FRAME = 16_384

/** What a step came to. MORE: all bytes are used. */
export const MORE = 0
/** The head of a DATA frame: `length`, `stream` and `flags` tell of it; its content follows, unless it is empty. */
export const DATA_HEAD = 1
/** A piece of its content: `bytes[start..end)`; `last`: there is no more of it. */
export const DATA_PIECE = 2
/** A frame of any other type with its payload: `bytes[start..end)`. */
export const FRAME = 3
/** The connection can't go on: `error` says why. */
export const BAD = 4
export type FrameEvent = typeof MORE | typeof DATA_HEAD | typeof DATA_PIECE | typeof FRAME | typeof BAD

const IN_HEADER = 0
const IN_PAYLOAD = 1
const IN_PADDING_LENGTH = 2
const IN_DATA = 3
const IN_PADDING = 4

const NOTHING = Buffer.alloc(0)

/** What is wrong with the size of a frame, whatever it holds; '': nothing. That of PRIORITY is its stream's business (RFC 9113 §6.3). */
function sizeProblem(type: number, flags: number, length: number): string {
  switch (type) {
    case RST_STREAM:
      return length === 4 ? '' : 'RST_STREAM has four bytes'
    case SETTINGS:
      if ((flags & ACK) !== 0) return length === 0 ? '' : 'an acknowledgement is empty'
      return length % 6 === 0 ? '' : 'a setting has six bytes'
    case PING:
      return length === 8 ? '' : 'PING has eight bytes'
    case GOAWAY:
      return length >= 8 ? '' : 'GOAWAY has eight bytes at least'
    case WINDOW_UPDATE:
      return length === 4 ? '' : 'WINDOW_UPDATE has four bytes'
    default:
      return ''
  }
}

export class FrameReader {
  length = 0
  type = 0
  flags = 0
  stream = 0
  /** Content of a DATA piece, or the payload of a frame. */
  bytes: Buffer = NOTHING
  start = 0
  end = 0
  last = false
  error = 0
  problem = ''
  event: FrameEvent = MORE
  #state = IN_HEADER
  /** A header or payload in part; null: there is none. */
  #kept: Buffer | null = null
  #have = 0
  /** Bytes of content and of padding to come. */
  #left = 0
  #padding = 0

  /** A frame has begun and is not whole. */
  get partial(): boolean {
    return this.#state !== IN_HEADER || this.#have > 0
  }

  /** Reads on in `buf[p..end)` up to the next event; answers where it stopped. */
  step(buf: Buffer, p: number, end: number): number {
    switch (this.#state) {
      case IN_HEADER:
        return this.#header(buf, p, end)
      case IN_PAYLOAD:
        return this.#payload(buf, p, end)
      case IN_PADDING_LENGTH:
        return this.#paddingLength(buf, p, end)
      case IN_DATA:
        return this.#data(buf, p, end)
      default: {
        const skipped = Math.min(this.#padding, end - p)
        this.#padding -= skipped
        if (this.#padding === 0) this.#state = IN_HEADER
        this.event = MORE
        // What follows the padding is looked at in the same step: MORE means that all bytes are used.
        return this.#padding === 0 && p + skipped < end ? this.#header(buf, p + skipped, end) : p + skipped
      }
    }
  }

  #header(buf: Buffer, p: number, end: number): number {
    if (this.#have === 0 && end - p >= HEADER_BYTES) {
      this.#read(buf, p)
      return this.event === MORE ? this.#payload(buf, p + HEADER_BYTES, end) : p + HEADER_BYTES
    }
    this.#kept ??= Buffer.alloc(HEADER_BYTES)
    const take = Math.min(HEADER_BYTES - this.#have, end - p)
    buf.copy(this.#kept, this.#have, p, p + take)
    this.#have += take
    this.event = MORE
    if (this.#have === HEADER_BYTES) {
      const kept = this.#kept
      this.#kept = null
      this.#have = 0
      this.#read(kept, 0)
      if (this.event === MORE) return this.#payload(buf, p + take, end)
    }
    return p + take
  }

  /** A whole header at `p`. MORE: its payload comes next. */
  #read(buf: Buffer, p: number): void {
    const length = ((buf[p] as number) << 16) | ((buf[p + 1] as number) << 8) | (buf[p + 2] as number)
    this.length = length
    this.type = buf[p + 3] as number
    this.flags = buf[p + 4] as number
    this.stream =
      (((buf[p + 5] as number) & 127) << 24) |
      ((buf[p + 6] as number) << 16) |
      ((buf[p + 7] as number) << 8) |
      (buf[p + 8] as number)
    this.event = MORE
    if (length > MAX_FRAME) return this.#fail(FRAME_SIZE_ERROR, 'a frame is too large')
    if (this.type === DATA) {
      this.#left = length
      this.#padding = 0
      this.event = DATA_HEAD
      this.#state = (this.flags & PADDED) !== 0 ? IN_PADDING_LENGTH : IN_DATA
      if (length > 0) return
      if (this.#state === IN_PADDING_LENGTH) this.#fail(FRAME_SIZE_ERROR, 'a frame is too short')
      this.#state = IN_HEADER
      return
    }
    const problem = sizeProblem(this.type, this.flags, length)
    if (problem !== '') this.#fail(FRAME_SIZE_ERROR, problem)
    else if (length === 0) {
      this.bytes = NOTHING
      this.start = 0
      this.end = 0
      this.event = FRAME
    } else this.#state = IN_PAYLOAD
  }

  #fail(error: number, problem: string): void {
    this.event = BAD
    this.error = error
    this.problem = problem
  }

  #payload(buf: Buffer, p: number, end: number): number {
    const { length } = this
    if (this.#have === 0 && end - p >= length) {
      this.bytes = buf
      this.start = p
      this.end = p + length
      this.event = FRAME
      this.#state = IN_HEADER
      return p + length
    }
    this.event = MORE
    if (p === end) return p
    this.#kept ??= Buffer.allocUnsafe(length)
    const take = Math.min(length - this.#have, end - p)
    buf.copy(this.#kept, this.#have, p, p + take)
    this.#have += take
    if (this.#have === length) {
      this.bytes = this.#kept
      this.start = 0
      this.end = length
      this.event = FRAME
      this.#state = IN_HEADER
      this.#kept = null
      this.#have = 0
    }
    return p + take
  }

  #paddingLength(buf: Buffer, p: number, end: number): number {
    this.event = MORE
    if (p === end) return p
    this.#padding = buf[p] as number
    this.#left = this.length - 1 - this.#padding
    if (this.#left < 0) {
      this.#fail(PROTOCOL_ERROR, 'padding is longer than its frame')
      return p + 1
    }
    this.#state = IN_DATA
    return this.#data(buf, p + 1, end)
  }

  #data(buf: Buffer, p: number, end: number): number {
    const take = Math.min(this.#left, end - p)
    if (take === 0 && this.#left > 0) {
      this.event = MORE
      return p
    }
    this.#left -= take
    this.bytes = buf
    this.start = p
    this.end = p + take
    this.last = this.#left === 0
    this.event = DATA_PIECE
    if (this.last) this.#state = this.#padding === 0 ? IN_HEADER : IN_PADDING
    return p + take
  }
}

/** Writes a frame's header at `at`; answers where its payload begins. */
export function writeHeader(
  out: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): number {
  out[at] = length >>> 16
  out[at + 1] = length >>> 8
  out[at + 2] = length
  out[at + 3] = type
  out[at + 4] = flags
  return writeUint32(out, at + 5, stream)
}

export function writeUint32(out: Buffer, at: number, value: number): number {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
  return at + 4
}

export const readUint32 = (buf: Buffer, at: number): number =>
  (((buf[at] as number) << 24) |
    ((buf[at + 1] as number) << 16) |
    ((buf[at + 2] as number) << 8) |
    (buf[at + 3] as number)) >>>
  0

/** Frames the rest of a header block, `out[start..end)`, as CONTINUATIONs; answers where they end. There is room behind it. */
export function continuations(out: Buffer, start: number, end: number, stream: number): number {
  const frames = Math.ceil((end - start) / MAX_FRAME)
  for (let i = frames - 1; i >= 0; i--) {
    const from = start + i * MAX_FRAME
    const to = Math.min(end, from + MAX_FRAME)
    const at = from + (i + 1) * HEADER_BYTES
    out.copyWithin(at, from, to)
    writeHeader(out, at - HEADER_BYTES, to - from, CONTINUATION, i === frames - 1 ? END_HEADERS : 0, stream)
  }
  return end + frames * HEADER_BYTES
}
