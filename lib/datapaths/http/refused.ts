/** The access log's record of a request that never became an exchange. */
import type { Reason } from '../../board/index.ts'
import type { FlowRecord } from '../../telemetry/index.ts'
import type { HttpContext } from './context.ts'
import type { RequestHead } from './request.ts'

const MAX_TEXT = 256 // of a malformed head that much is shown

interface Refusal {
  readonly session: { readonly peerAddress: string; readonly peerPort: number }
  readonly context: HttpContext
  readonly head: RequestHead
  readonly buf: Buffer
  readonly base: number
  readonly id: string
  readonly reason: Reason
  readonly bytesOut: number
}

export function refusedHead({
  session,
  context,
  head,
  buf,
  base,
  id,
  reason,
  bytesOut,
}: Refusal): FlowRecord & { reason: Reason } {
  const text = (start: number, end: number): string =>
    end > start ? buf.latin1Slice(base + start, base + Math.min(end, start + MAX_TEXT)) : ''
  const hasTarget =
    head.targetEnd > head.targetStart && head.methodEnd > head.methodStart && head.targetStart > head.methodEnd
  return {
    startedAt: Date.now(),
    protocol: context.view.protocol,
    service: context.view.name,
    backendName: '',
    clientAddress: session.peerAddress,
    clientPort: session.peerPort,
    id,
    method: hasTarget ? text(head.methodStart, head.methodEnd) : '-',
    target: hasTarget ? text(head.targetStart, head.targetEnd) : '',
    host: '',
    version: head.minor === 0 ? '1.0' : '1.1',
    referer: '',
    userAgent: '',
    status: head.error,
    grpcStatus: -1,
    tries: 0,
    queueMs: -1,
    connectMs: -1,
    firstByteMs: -1,
    totalMs: 0,
    bytesIn: head.pos,
    bytesOut,
    endedBy: 'client',
    reason,
    phase: 'head',
  }
}
