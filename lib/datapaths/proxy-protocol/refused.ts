/** The access log's record of a connection that was refused for its PROXY header. */
import type { FlowRecord } from '../../telemetry/index.ts'
import type { HeaderWait } from './header-wait.ts'

interface Refusal {
  readonly service: string
  readonly protocol: string
  readonly address: string
  readonly port: number
  readonly id: string
  readonly wait: HeaderWait
}

export const refusedConnection = ({ service, protocol, address, port, id, wait }: Refusal): FlowRecord => ({
  startedAt: wait.startedAt,
  protocol,
  service,
  backendName: '',
  clientAddress: address,
  clientPort: port,
  id,
  method: '',
  target: '',
  host: '',
  version: '',
  referer: '',
  userAgent: '',
  status: 0,
  grpcStatus: -1,
  tries: 0,
  queueMs: -1,
  connectMs: -1,
  firstByteMs: -1,
  totalMs: wait.ageMs,
  bytesIn: wait.received,
  bytesOut: 0,
  endedBy: 'client',
  reason: 'proxy-protocol',
  phase: 'handshake',
})
