/** What a backend sends on one connection: header blocks are answers and trailers of streams that we opened. */
import { PROTOCOL_ERROR, STREAM_CLOSED } from '../h2/errors.ts'
import { Inbound } from '../h2/inbound.ts'
import type { BackendSession } from './session.ts'

const RESET_WEIGHT = 1 // it answers a request of ours, and so costs us nothing that we have not asked for

export class BackendInbound extends Inbound {
  protected readonly push = 'a push that we have not allowed'
  readonly #session: BackendSession

  constructor(session: BackendSession) {
    super(session, RESET_WEIGHT)
    this.#session = session
  }

  protected idle(id: number): boolean {
    return (id & 1) === 0 || id >= this.#session.nextId
  }

  protected onStray(id: number): void {
    this.failStream(id, STREAM_CLOSED)
  }

  protected onBlock(id: number, ended: boolean, _selfish: boolean): void {
    if (this.idle(id)) return this.fail(PROTOCOL_ERROR, 'HEADERS on an idle stream')
    const stream = this.#session.streams.get(id)
    if (stream === undefined)
      this.spend(1) // it came too late to be of use
    else if (stream.remoteEnded) this.failStream(id, PROTOCOL_ERROR)
    else stream.onBlock(ended)
  }
}
