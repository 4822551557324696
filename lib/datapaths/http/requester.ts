/** The contract between an exchange and the client connection that it belongs to. */
import type { Backend } from '../../pool/index.ts'
import type { Wire } from '../wire.ts'
import type { ConnectionCache } from './backend-connection.ts'
import type { Hop } from './hop.ts'
import type { FlowClient } from './request-flow.ts'

/** One side of an exchange whose fields may be marked, and who passes on the marks of the other. */
export interface Marked {
  /** Names, in small letters, of fields of its message that no header table on any hop may keep (RFC 7541 §6.2.3); null: none. */
  readonly unindexed: ReadonlySet<string> | null
  /** What it is given to send comes from there. */
  heed(origin: Marked): void
}

/** What an exchange asks of the client connection that it belongs to. */
export interface Requester extends FlowClient {
  /** null: what it speaks has no marks. */
  readonly marks: Marked | null
  readonly wire: Wire
  readonly hop: Hop
  readonly peerAddress: string
  /** The idle connections to `backend` that this client's requests may use. */
  cacheOf(backend: Backend): ConnectionCache
  /** The backend is ready for the request's body: feed what is there. */
  onBodyWanted(): void
  /** An error that nobody expected: what it has under way ends, and it with that. */
  onFault(): void
  /** The connection is now a tunnel to `backend`; bytes of either side that came early go first. */
  onTunnel(backend: Wire, early: Buffer): void
}
