/** The contract between an exchange and the client connection that it belongs to. */
import type { Backend } from '../../pool/index.ts'
import type { Wire } from '../wire.ts'
import type { BackendAgent } from './agent.ts'
import type { Hop } from './forward.ts'

/** What an exchange asks of the client connection that it belongs to. */
export interface Requester {
  readonly wire: Wire
  readonly hop: Hop
  readonly peerPort: number
  /** Its entry in the table of clients. */
  readonly client: number
  /** No further request is wanted on this connection. */
  readonly closing: boolean
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
  /** Something moved: the time limit of the phase starts anew. */
  onProgress(): void
  /** The answer is out whole. `keep`: the connection may carry the next request. */
  onFinished(keep: boolean): void
  /** The answer can't be whole any more: the connection is to be cut. */
  onAborted(): void
  /** Behind `head` the connection is a tunnel to `backend`; bytes of either side that came early go first. */
  onTunnel(head: string, backend: Wire, early: Buffer): void
}
