/** A request on its way to a backend. */
import { MessageBody } from '../h2/message-body.ts'
import { MessageSender } from '../h2/message-sender.ts'
import type { BackendOutbound } from './outbound.ts'
import { asksForHead, readRequest, requestField, requestHead } from './request-head.ts'
import type { BackendStream } from './stream.ts'

export class RequestSender extends MessageSender {
  /** No answer to it has content. */
  headOnly = false
  /** The protocol of the tunnel that it asks for, and the key of its handshake, or ''. */
  upgrade = ''
  key = ''
  readonly #stream: BackendStream
  readonly #requests: BackendOutbound

  constructor(window: number, outbound: BackendOutbound, stream: BackendStream) {
    super(0, window, outbound, stream)
    this.#stream = stream
    this.#requests = outbound
  }

  /** A head that asks for another protocol opens a tunnel. */
  protected head(buf: Buffer, base: number, end: number): number {
    if (!readRequest(buf, base, end)) return -1
    this.headOnly = asksForHead(buf, base)
    const upgrade = requestField(buf, base, 'upgrade')
    const tunnel = upgrade !== ''
    const body = new MessageBody(requestHead, buf, base, tunnel)
    this.body = body
    this.ended = body.done && !tunnel
    this.state = tunnel ? 'tunnel' : body.done ? 'whole' : 'body'
    this.upgrade = upgrade
    if (tunnel) this.key = requestField(buf, base, 'sec-websocket-key')
    this.id = this.#stream.enter() // in the order in which heads go out
    this.#requests.request(this.id, buf, base, upgrade, this.ended, this.unindexed)
    return base + requestHead.pos
  }
}
