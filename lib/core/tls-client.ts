/** What clients of TLS have in common, probes and the HTTP client: whom they trust, and how a failed handshake is told. */
import { createHash, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity, type PeerCertificate } from 'node:tls'
import { codeOf, messageOf } from './errors.ts'

/** Whom a client of TLS believes, and what it asks for. */
export interface TlsTrust {
  /** Name sent as SNI that the certificate must carry. Default: the host that is connected to, an address included. */
  readonly servername?: string
  /** PEM text of the authorities that may sign. Default: those of the runtime. */
  readonly ca?: string
  /** SHA-256 of public keys (SPKI) in base64, of which the certificate must have one. Default: any key will do. */
  readonly pins?: readonly string[]
  /** PEM texts of the client's own certificate. Default: it has none. */
  readonly cert?: string
  readonly key?: string
  /** Default: true. */
  readonly rejectUnauthorized?: boolean
}

/** @param hostname what is connected to */
export function tlsOptions(tls: TlsTrust | undefined, hostname: string): ConnectionOptions {
  const name = tls?.servername ?? hostname
  return {
    rejectUnauthorized: tls?.rejectUnauthorized ?? true,
    ...(tls?.ca === undefined ? null : { ca: tls.ca }),
    ...(isIP(name) === 0 ? { servername: name } : null), // RFC 6066 §3: no addresses in SNI
    ...(tls?.cert === undefined ? null : { cert: tls.cert, key: tls.key }),
    checkServerIdentity: (_host, certificate) =>
      checkServerIdentity(name, certificate) ?? pinProblem(certificate, tls?.pins ?? []),
  }
}

function pinProblem({ raw }: PeerCertificate, pins: readonly string[]): Error | undefined {
  if (pins.length === 0) return undefined
  const key = new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' })
  const pin = createHash('sha256').update(key).digest('base64')
  return pins.includes(pin) ? undefined : Object.assign(new Error('no pin fits'), { code: 'EVENKEEL_PIN' })
}

const UNKNOWN_AUTHORITY = 'the certificate is signed by an unknown authority'
const CERTIFICATE_PROBLEMS: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', 'the certificate has expired'],
  ['CERT_NOT_YET_VALID', 'the certificate is not valid yet'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'the certificate is for another name'],
  ['EVENKEEL_PIN', 'the certificate has another key than those that are pinned'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'the certificate is self-signed'],
  ['SELF_SIGNED_CERT_IN_CHAIN', UNKNOWN_AUTHORITY],
  ['UNABLE_TO_GET_ISSUER_CERT', UNKNOWN_AUTHORITY],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', UNKNOWN_AUTHORITY],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNKNOWN_AUTHORITY],
])

/** Why a handshake failed, in a few words. */
export const tlsProblem = (error: unknown): string =>
  CERTIFICATE_PROBLEMS.get(codeOf(error)) ?? `TLS handshake failed: ${codeOf(error) || messageOf(error)}`
