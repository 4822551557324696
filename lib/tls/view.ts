/** What control tells a data thread of a service's TLS: plain data. */
import type { ClientAuth } from './client-identity.ts'
import type { Credentials } from './credentials.ts'
import type { Protocol } from './protocol.ts'

export interface TlsView {
  /** Of the sessions: the service. */
  readonly scope: string
  /** The first is for clients that ask for no name that any of them has. */
  readonly credentials: readonly Credentials[]
  /** An OCSP answer for each of them; null: there is none. */
  readonly staples: readonly (Uint8Array | null)[]
  /** Such clients are refused. */
  readonly strictSni: boolean
  readonly protocol: Protocol
  /** Sessions are resumed. */
  readonly tickets: boolean
  /** null: clients are not asked for a certificate. */
  readonly client: ClientAuth | null
}
