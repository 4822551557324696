/** What a request asks: read from its head once, so that nothing of the buffer is needed afterwards. */
import type { Offer } from '../compression/compression.ts'
import type { HttpContext } from './context.ts'
import { fieldText } from './field-text.ts'
import { type FilteredHead, filterRequest } from './filtered-head.ts'
import { forwardRequest, needsHost, takesTrailers } from './forward.ts'
import { isCall } from './grpc.ts'
import { offerTo } from './packing.ts'
import type { RequestHead } from './request.ts'
import type { Requester } from './requester.ts'

export class Asked {
  readonly method: string
  readonly target: string
  readonly host: string
  readonly minor: number
  readonly referer: string
  readonly userAgent: string
  readonly idempotent: boolean
  readonly headOnly: boolean
  readonly upgrade: string
  /** The client wants its answer as JSON. */
  readonly json: boolean
  /** The connection may go on behind the answer. */
  readonly keepAlive: boolean
  /** Trailers of the answer are of use to the client. */
  readonly trailers: boolean
  /** It is a gRPC call. */
  readonly call: boolean
  /** The head that the backend gets, but for Host where that depends on it. */
  readonly text: string
  readonly needsHost: boolean
  /** What the filters made of it; null: there are none. */
  readonly filtered: FilteredHead | null
  /** How its answer may be compressed; null: not at all. */
  readonly offer: Offer | null
  /** The values that may hold what the client is known by; null: nothing is read of them. */
  readonly keyValues: readonly string[] | null
  readonly hashKey: string

  /** `head` has been interpreted. @param id of the request */
  constructor(
    context: HttpContext,
    { hop }: Requester,
    clientAddress: string,
    id: string,
    head: RequestHead,
    buf: Buffer,
    base: number,
  ) {
    const { filtering, compression, affinityFields } = context
    const rules = context.view.http
    this.method = head.method
    this.target = buf.latin1Slice(base + head.targetStart, base + head.targetEnd)
    this.host = hop.authority(buf, base + head.hostStart, base + head.hostEnd)
    this.minor = head.minor
    this.userAgent = fieldText(head, buf, base, head.userAgent)
    this.referer = fieldText(head, buf, base, head.referer)
    this.idempotent = head.idempotent
    this.headOnly = head.method === 'HEAD'
    this.upgrade = head.upgrade
    this.json = head.accept >= 0 && fieldText(head, buf, base, head.accept).includes('json')
    this.keepAlive = head.framing.persistent(head.minor)
    this.trailers = head.te && head.minor === 1 && takesTrailers(buf, base, head)
    this.call = hop.version === '2.0' && isCall(head, buf, base)
    this.keyValues = affinityFields === null ? null : affinityFields.read(head, buf, base)
    const whole = forwardRequest(buf, base, head, rules, hop, id)
    const text = affinityFields === null ? whole : affinityFields.forward(whole)
    const facts = { authority: this.host, scheme: hop.scheme, clientAddress, id }
    this.filtered = filtering === null ? null : filterRequest(filtering, text, facts)
    this.text = this.filtered === null ? text : this.filtered.text
    this.needsHost = needsHost(head, rules) && this.filtered?.hasHost !== true
    this.offer = compression === null ? null : offerTo(compression, head, buf, base)
    this.hashKey = context.hashing ? this.#keyOf(context, head, buf, base) : ''
  }

  /** What its pool hashes it by. */
  #keyOf(context: HttpContext, head: RequestHead, buf: Buffer, base: number): string {
    const key = context.poolFor(this.filtered?.view ?? null)?.hashKey
    return key?.ofHead(head, buf, base, buf.latin1Slice(base + head.pathStart, base + head.pathEnd)) ?? ''
  }
}
