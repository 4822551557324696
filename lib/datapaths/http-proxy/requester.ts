/** The contract between an exchange and the client connection that it belongs to. */
import type { Backend } from '../../pool/index.ts'
import type { FlowClient } from '../http/request-flow.ts'
import type { Wire } from '../wire.ts'
import type { BackendAgent } from './agent.ts'
import type { Hop } from './forward.ts'

/** What an exchange asks of the client connection that it belongs to. */
export interface Requester extends FlowClient {
  readonly wire: Wire
  readonly hop: Hop
  /** Bytes written to the client so far. */
  readonly written: number
  /** The client has not taken everything yet; bytes of it. */
  readonly pending: boolean
  readonly queued: number
  /** The connections to `backend` that this client's requests may use. */
  agentOf(backend: Backend): BackendAgent
  writeText(text: string): void
  /** Several writes become one. */
  gather(): void
  /** Behind `head` the connection is a tunnel to `backend`; bytes of either side that came early go first. */
  onTunnel(head: string, backend: Wire, early: Buffer): void
}
