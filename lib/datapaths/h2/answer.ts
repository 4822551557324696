/** Reads an answer as the exchange writes it for HTTP/1.1, and takes its framing off: the same exchange serves both. */
import { ChunkDecoder } from '../http/chunked.ts'
import { HOP_BY_HOP, ID, isTwin } from '../http/fields.ts'
import { Head, type HeadLimits } from '../http/head.ts'
import { encodedAtMost, type HpackEncoder } from './hpack-encoder.ts'

/** The exchange has looked at the backend's head by the service's limits; what it added must fit too. */
const LIMITS: HeadLimits = { maxTarget: 1, maxHead: 1024 * 1024, maxFields: 2000 }

/** The head in hand: it is encoded before another is read. */
export const answerHead = new Head()

/** Reads the head at `base`, whole; false: it is none. */
export function readAnswer(buf: Buffer, base: number, end: number): boolean {
  answerHead.reset()
  return answerHead.parse(buf, base, end, LIMITS, true) === 1
}

/** Bytes that the block of the head in hand takes at most. */
export const blockAtMost = (): number => encodedAtMost(answerHead.pos, answerHead.count)

/** Encodes the head in hand, with `status`; `handshake`: it accepts a WebSocket, what says so goes. */
export function encodeAnswer(
  encoder: HpackEncoder,
  buf: Buffer,
  base: number,
  status: number,
  handshake: boolean,
): void {
  const head = answerHead
  encoder.status(status)
  for (let i = 0; i < head.count; i++) {
    const id = head.id(i)
    const start = base + head.nameStart(i)
    const end = base + head.nameEnd(i)
    if (HOP_BY_HOP[id] === 1 && id !== ID.trailer && id !== ID['content-length']) continue
    if (handshake && end - start === 20 && buf.latin1Slice(start, end).toLowerCase() === 'sec-websocket-accept')
      continue
    encoder.field(buf, start, end, base + head.valueStart(i), base + head.valueEnd(i))
  }
}

/** The value of the first field of the head in hand that has this name, or ''. */
export function answerField(buf: Buffer, base: number, name: string): string {
  const head = answerHead
  for (let i = 0; i < head.count; i++)
    if (buf.latin1Slice(base + head.nameStart(i), base + head.nameEnd(i)).toLowerCase() === name)
      return buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i))
  return ''
}

/** How the body behind the head in hand is framed. */
export class AnswerBody {
  readonly #decoder: ChunkDecoder | null
  #left = 0
  dataStart = 0
  dataEnd = 0
  done: boolean

  /** @param bodiless whatever the head says, no body follows */
  constructor(buf: Buffer, base: number, bodiless: boolean) {
    const head = answerHead
    let chunked = false
    for (let i = 0; i < head.count && !bodiless; i++) {
      const id = head.id(i)
      if (id === ID['transfer-encoding']) chunked = true
      else if (id === ID['content-length'] && !isTwin(buf, base + head.nameStart(i), base + head.nameEnd(i)))
        this.#left = Number(buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i)))
    }
    this.#decoder = chunked ? new ChunkDecoder() : null
    this.done = !chunked && this.#left === 0
  }

  /** Finds the next piece of content; answers where it stopped. */
  step(buf: Buffer, p: number, end: number): number {
    const decoder = this.#decoder
    if (decoder !== null) {
      const stop = decoder.step(buf, p, end)
      this.dataStart = decoder.dataStart
      this.dataEnd = decoder.dataEnd
      this.done = decoder.done
      return stop
    }
    this.dataStart = p
    this.dataEnd = p + Math.min(this.#left, end - p)
    this.#left -= this.dataEnd - p
    this.done = this.#left === 0
    return this.done ? end : this.dataEnd
  }

  /** The lines behind the last chunk. */
  get trailers(): string {
    return this.#decoder?.trailers ?? ''
  }
}
