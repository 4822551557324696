/** What control tells a data thread of a service's TLS: plain data. */
import type { Credentials } from './credentials.ts'

export interface TlsView {
  /** Of the sessions: the service. */
  readonly scope: string
  /** The first is for clients that ask for no name that any of them has. */
  readonly credentials: readonly Credentials[]
  /** Such clients are refused. */
  readonly strictSni: boolean
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** The same in every data thread, so that a session resumes in whichever it comes to. */
  readonly ticketKeys: Uint8Array
}
