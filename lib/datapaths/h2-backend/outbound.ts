/** What we say to a backend: the preface with our settings, and requests. */

import type { FrameBudget } from '../h2/frame-budget.ts'
import { Outbound } from '../h2/outbound.ts'
import { ENABLE_PUSH, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE } from '../h2/peer.ts'
import type { Wire } from '../wire.ts'
import type { BackendOptions } from './options.ts'
import { encodeRequest, requestAtMost } from './request-head.ts'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export class BackendOutbound extends Outbound {
  readonly #secure: boolean

  /** @param secure the connection is TLS */
  constructor(wire: Wire, budget: FrameBudget, secure: boolean) {
    super(null, wire, budget)
    this.#secure = secure
  }

  /** The connection begins. @param maxHead bytes of fields that we take */
  greet({ headerTable, streamWindow }: BackendOptions, maxHead: number): void {
    this.literal(PREFACE)
    this.settings([
      [HEADER_TABLE_SIZE, headerTable],
      [ENABLE_PUSH, 0],
      [INITIAL_WINDOW_SIZE, streamWindow],
      [MAX_HEADER_LIST_SIZE, maxHead],
    ])
  }

  /** The head that `requestHead` holds. */
  request(
    id: number,
    buf: Buffer,
    base: number,
    upgrade: string,
    last: boolean,
    unindexed: ReadonlySet<string> | null,
  ): void {
    this.beginBlock(requestAtMost(), unindexed)
    encodeRequest(this.encoder, buf, base, this.#secure, upgrade)
    this.endBlock(id, last)
  }
}
