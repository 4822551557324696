/** What we say to a client: our settings, and answers. */
import type { HttpContext } from '../http/context.ts'
import { blockAtMost, encodeAnswer } from './answer.ts'
import { Outbound } from './outbound.ts'
import {
  ENABLE_CONNECT_PROTOCOL,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_HEADER_LIST_SIZE,
} from './peer.ts'

export class ClientOutbound extends Outbound {
  greet({ view }: HttpContext): void {
    const { http } = view
    const { headerTable, maxStreams, streamWindow } = http.http2
    this.settings([
      [HEADER_TABLE_SIZE, headerTable],
      [MAX_CONCURRENT_STREAMS, maxStreams],
      [INITIAL_WINDOW_SIZE, streamWindow],
      [MAX_HEADER_LIST_SIZE, http.maxHead],
      ...(http.upgrades.length > 0 ? [[ENABLE_CONNECT_PROTOCOL, 1] as const] : []),
    ])
  }

  /** The head that `answerHead` holds. */
  answer(
    id: number,
    buf: Buffer,
    base: number,
    status: number,
    handshake: boolean,
    last: boolean,
    unindexed: ReadonlySet<string> | null,
  ): void {
    this.beginBlock(blockAtMost(), unindexed)
    encodeAnswer(this.encoder, buf, base, status, handshake)
    this.endBlock(id, last)
  }
}
