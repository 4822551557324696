/** The contract between an exchange and the client connection that it belongs to. */
import type { Backend } from '../../pool/index.ts'
import type { Wire } from '../wire.ts'
import type { ConnectionCache } from './backend-connection.ts'
import type { Hop } from './hop.ts'

/** One side of an exchange whose fields may be marked, and who passes on the marks of the other. */
export interface Marked {
  /** Names, in small letters, of fields of its message that no header table on any hop may keep (RFC 7541 §6.2.3); null: none. */
  readonly unindexed: ReadonlySet<string> | null
  /** What it is given to send comes from there. */
  heed(origin: Marked): void
}

/** What an exchange asks of the client connection that it belongs to. */
export interface Requester {
  /** null: what it speaks has no marks. */
  readonly marks: Marked | null
  readonly wire: Wire
  readonly hop: Hop
  readonly peerAddress: string
  readonly peerPort: number
  /** Its entry in the table of clients. */
  readonly client: number
  /** No further request is wanted on this connection. */
  readonly closing: boolean
  /** The idle connections to `backend` that this client's requests may use. */
  cacheOf(backend: Backend): ConnectionCache
  /** The backend is ready for the request's body: feed what is there. */
  onBodyWanted(): void
  /** Something moved: the time limit of the phase starts anew. */
  onProgress(): void
  /** The answer is out whole. `keep`: the connection may carry the next request. */
  onFinished(keep: boolean): void
  /** The answer can't be whole any more: the connection is to be cut. */
  onAborted(): void
  /** An error that nobody expected: what it has under way ends, and it with that. */
  onFault(): void
  /** The connection is now a tunnel to `backend`; bytes of either side that came early go first. */
  onTunnel(backend: Wire, early: Buffer): void
}
