/** What a request leaves behind: the access log's record of it. */
import type { Reason } from '../../board/index.ts'
import type { Flow } from '../../pool/index.ts'
import type { FlowRecord, Phase } from '../../telemetry/index.ts'
import type { ServiceView } from '../contract.ts'
import { newId } from '../ids.ts'
import type { Field } from './fields.ts'
import type { Hop } from './forward.ts'
import { firstOf, type RequestHead } from './request.ts'

/** The client connection, as far as it is logged. */
export interface Peer {
  readonly hop: Hop
  readonly peerPort: number
}

/** What is known of a head that is refused. */
export type PartialHead = Partial<RequestHead>

const MAX_TEXT = 256 // of a malformed head that much is shown

export class RequestRecord implements Flow, FlowRecord {
  readonly startedAt = Date.now()
  readonly protocol: string
  readonly service: string
  readonly clientAddress: string
  readonly clientPort: number
  readonly id: string
  readonly method: string
  readonly target: string
  readonly host: string
  readonly version: string
  readonly referer: string
  readonly userAgent: string
  backendName = ''
  status = 0
  tries = 0
  queueMs = -1
  connectMs = -1
  firstByteMs = -1
  totalMs = 0
  bytesIn: number
  bytesOut = 0
  endedBy = ''
  reason: Reason | '' = ''
  phase: Phase = 'head'

  /** @param client its address where a trusted proxy told it, or '' */
  constructor(view: ServiceView, peer: Peer, head: PartialHead, client: string) {
    const fields = head.fields ?? []
    const whole = head.framing !== undefined
    this.protocol = view.protocol
    this.service = view.name
    this.clientAddress = client || peer.hop.address
    this.clientPort = peer.peerPort
    this.id = (whole && peer.hop.trusted && requestIdOf(fields)) || newId()
    this.method = head.method ?? '-'
    this.target = whole ? (head.target ?? '') : (head.target ?? '').slice(0, MAX_TEXT)
    this.host = head.authority ?? ''
    this.version = head.minor === 0 ? '1.0' : '1.1'
    this.referer = whole ? firstOf(fields, 'referer') : ''
    this.userAgent = whole ? firstOf(fields, 'user-agent') : ''
    this.bytesIn = bytesOf(head)
  }
}

/** A trusted proxy's request id: printable, and short enough to be one. */
function requestIdOf(fields: readonly Field[]): string {
  const id = firstOf(fields, 'x-request-id')
  return /^[\w.:=+/@-]{1,128}$/.test(id) ? id : ''
}

/** The size of a head, as it would be without superfluous white space. */
const bytesOf = ({ method = '', target = '', fields = [] }: PartialHead): number =>
  fields.reduce((sum, { name, value }) => sum + name.length + value.length + 4, method.length + target.length + 14)
