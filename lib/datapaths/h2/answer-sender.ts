/** An answer on its way to a client. */
import { createHash } from 'node:crypto'
import { answerBody, answerField, answerHead, readAnswer } from './answer.ts'
import type { ClientOutbound } from './client-outbound.ts'
import { MessageSender, type SenderOwner } from './message-sender.ts'

const WEBSOCKET = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455 §1.3

/** The Sec-WebSocket-Accept that belongs to a key. */
export const acceptOf = (key: string): string => createHash('sha1').update(`${key}${WEBSOCKET}`).digest('base64')

export class AnswerSender extends MessageSender {
  /** It answers HEAD. */
  headOnly = false
  /** The backend accepted a WebSocket that it was not asked for. */
  forged = false
  readonly #answers: ClientOutbound
  readonly #key: string

  /** @param key of the WebSocket handshake that it answers, or '' */
  constructor(id: number, window: number, outbound: ClientOutbound, owner: SenderOwner, key: string) {
    super(id, window, outbound, owner)
    this.#answers = outbound
    this.#key = key
  }

  protected head(buf: Buffer, base: number, end: number): number {
    if (!readAnswer(buf, base, end)) return -1
    const behind = base + answerHead.pos
    const { status } = answerHead
    const asked = this.#key !== ''
    if (status === 101 && asked) {
      this.forged = answerField(buf, base, 'sec-websocket-accept') !== acceptOf(this.#key)
      this.state = 'tunnel'
      this.#answers.answer(this.id, buf, base, this.forged ? 502 : 200, true, false, this.unindexed)
      return behind
    }
    if (status < 200) {
      this.#answers.answer(this.id, buf, base, status, false, false, this.unindexed)
      return behind
    }
    // An answer that is not the handshake must not look as if the tunnel were there (RFC 8441 §5).
    const shown = asked && status < 300 ? 502 : status
    const body = answerBody(buf, base, this.headOnly || status === 204 || status === 304)
    this.body = body
    this.state = body.done ? 'whole' : 'body'
    this.ended = body.done
    this.#answers.answer(this.id, buf, base, shown, false, body.done, this.unindexed)
    return behind
  }
}
