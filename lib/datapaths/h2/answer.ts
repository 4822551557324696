/** Reads an answer as the exchange writes it for HTTP/1.1, and takes its framing off: the same exchange serves both. */
import { HOP_BY_HOP, ID } from '../http/fields.ts'
import { Head, type HeadLimits } from '../http/head.ts'
import { encodedAtMost, type HpackEncoder } from './hpack-encoder.ts'
import { MessageBody } from './message-body.ts'

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

/** The body behind the head in hand. @param bodiless whatever the head says, none follows */
export const answerBody = (buf: Buffer, base: number, bodiless: boolean): MessageBody =>
  new MessageBody(answerHead, buf, base, bodiless)
