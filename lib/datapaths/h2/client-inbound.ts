/** What a client sends on one connection: its preface, and header blocks that open streams or end them (RFC 9113 §3.4, §5.1, §8.1). */
import { ENHANCE_YOUR_CALM, PROTOCOL_ERROR, STREAM_CLOSED } from './errors.ts'
import { fieldBlock } from './field-block.ts'
import { RESET_WEIGHT } from './frame-budget.ts'
import { Inbound } from './inbound.ts'
import { trailerLines } from './request-writer.ts'
import type { H2Session } from './session.ts'
import type { H2Stream } from './stream.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export class ClientInbound extends Inbound {
  protected readonly push = 'clients do not push'
  readonly #session: H2Session
  #preface = 0
  /** Highest stream that the client has opened, and how many it has. */
  last = 0
  #opened = 0

  constructor(session: H2Session) {
    super(session, RESET_WEIGHT)
    this.#session = session
  }

  protected idle(id: number): boolean {
    return id > this.last || (id & 1) === 0
  }

  /** Uses all of `buf[0..end)`, unless the connection ends meanwhile. */
  take(buf: Buffer, end: number): void {
    this.read(buf, this.#preface < PREFACE.length ? this.#readPreface(buf, end) : 0, end)
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

  protected onStray(id: number): void {
    if (this.#session.disregards(id)) return
    if (this.#late(id)) this.failStream(id, STREAM_CLOSED)
    else this.fail(STREAM_CLOSED, 'DATA on a stream that is over')
  }

  /** The client may not know yet that we reset it, or has reset it itself: no more than a stream error (RFC 9113 §5.1). */
  #late(id: number): boolean {
    const { outbound, abandoned } = this.#session
    return id <= Math.max(outbound.resets.forgotten, abandoned.forgotten) || abandoned.has(id)
  }

  protected onBlock(id: number, ended: boolean, selfish: boolean): void {
    const session = this.#session
    const stream = session.streams.get(id)
    if (stream !== undefined) return this.#onTrailers(stream, ended)
    if (id <= this.last) {
      if (session.outbound.resets.has(id) || session.disregards(id)) this.spend(1)
      else if (this.#late(id)) this.failStream(id, STREAM_CLOSED)
      else {
        const opened = id === this.last || this.#opened * 2 > this.last // it, or none was left out: it has been there
        this.fail(opened ? STREAM_CLOSED : PROTOCOL_ERROR, 'HEADERS on a stream that is over')
      }
      return
    }
    this.last = id
    this.#opened++
    if (selfish) return this.failStream(id, PROTOCOL_ERROR)
    session.onRequest(id, fieldBlock, ended)
  }

  #onTrailers(stream: H2Stream, ended: boolean): void {
    if (stream.remoteEnded) return this.failStream(stream.id, STREAM_CLOSED)
    const lines = ended && !fieldBlock.tooLarge ? trailerLines(fieldBlock) : ''
    if (lines === '' && (!ended || fieldBlock.count > 0 || fieldBlock.tooLarge))
      return this.failStream(stream.id, fieldBlock.tooLarge ? ENHANCE_YOUR_CALM : PROTOCOL_ERROR)
    stream.onTrailers(lines)
  }
}
