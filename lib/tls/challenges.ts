/** What a data thread answers an ACME authority that asks whether we have a name. */
import { createSecureContext, type SecureContext } from 'node:tls'

/** ALPN of a client that wants to see the certificate of a challenge (RFC 8737 §6.2). */
export const ACME_TLS = 'acme-tls/1'

/** Plain data: it is posted to the data threads. */
export interface ChallengesView {
  /** Paths with what is to be answered there. */
  readonly http: readonly (readonly [path: string, answer: string])[]
  /** Certificates to be shown, in PEM, by name. */
  readonly alpn: readonly { readonly name: string; readonly cert: string; readonly key: string }[]
}

export const NO_CHALLENGES: ChallengesView = { http: [], alpn: [] }

export class Challenges {
  /** By path; null, which is nearly always: nobody asks. */
  http: ReadonlyMap<string, string> | null = null
  /** By name in lower case; null: nobody asks. */
  alpn: ReadonlyMap<string, SecureContext> | null = null

  constructor(view: ChallengesView) {
    this.replace(view)
  }

  replace({ http, alpn }: ChallengesView): void {
    this.http = http.length === 0 ? null : new Map(http)
    this.alpn =
      alpn.length === 0
        ? null
        : new Map(alpn.map(({ name, cert, key }) => [name, createSecureContext({ cert, key, minVersion: 'TLSv1.2' })]))
  }
}
