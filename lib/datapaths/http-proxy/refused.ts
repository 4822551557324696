/** The access log's record of a request that never became an exchange. */
import type { IncomingMessage } from 'node:http'
import type { Reason } from '../../board/index.ts'
import type { FlowRecord } from '../../telemetry/index.ts'
import type { ServiceView } from '../contract.ts'
import { fieldsOf } from './fields.ts'
import type { Hop } from './forward.ts'
import { bytesOf } from './request.ts'

const MAX_TEXT = 256 // of a malformed head that much is shown

interface Refused {
  readonly view: ServiceView
  readonly hop: Hop
  readonly peerPort: number
  /** null: node:http could not read it. */
  readonly req: IncomingMessage | null
  readonly id: string
  readonly status: number
  readonly bytesOut: number
}

export function refusedHead(refused: Refused): FlowRecord & { reason: Reason } {
  const { view, hop, peerPort, req, id, status, bytesOut } = refused
  const method = req?.method ?? '-'
  const target = req?.url ?? ''
  return {
    startedAt: Date.now(),
    protocol: view.protocol,
    service: view.name,
    backendName: '',
    clientAddress: hop.address,
    clientPort: peerPort,
    id,
    method,
    target: target.slice(0, MAX_TEXT),
    host: '',
    version: req?.httpVersionMinor === 0 ? '1.0' : '1.1',
    referer: '',
    userAgent: '',
    grpcStatus: -1,
    status,
    tries: 0,
    queueMs: -1,
    connectMs: -1,
    firstByteMs: -1,
    totalMs: 0,
    bytesIn: req === null ? 0 : bytesOf({ method, target, fields: fieldsOf(req.rawHeaders) }),
    bytesOut,
    endedBy: 'client',
    reason: status === 414 || status === 431 ? 'too-large' : status === 400 ? 'bad-request' : 'refused',
    phase: 'head',
  }
}
