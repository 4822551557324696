/** Who a client is by its certificate: verified, none, or refused, and what backends are told of it. */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { codeOf } from '../core/index.ts'

/** What is asked of clients. Plain data. */
export interface ClientAuth {
  /** `request`: a client may have none. */
  readonly mode: 'request' | 'require'
  /** PEM of the authorities that may sign. */
  readonly ca: string
  /** PEM of their lists of revoked certificates; '': none are looked at. */
  readonly crl: string
  /** `CN=…`, `DNS:…`, `URI:…`, `email:…`: one must fit. Empty: whoever is verified may come in. */
  readonly allow: readonly string[]
}

export interface ClientIdentity {
  /** Lines for the head of a request. */
  readonly fields: string
  /** null: it may come in. */
  readonly refusal: { readonly status: 400 | 403; readonly detail: string } | null
}

const PREFIX = 'X-Forwarded-Tls-Client-'
const NONE: ClientIdentity = { fields: `${PREFIX}Verified: none\r\n`, refusal: null }
const refused = (status: 400 | 403, detail: string): ClientIdentity => ({ fields: '', refusal: { status, detail } })

const PROBLEMS: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', 'the client certificate has expired'],
  ['CERT_NOT_YET_VALID', 'the client certificate is not valid yet'],
  ['CERT_REVOKED', 'the client certificate is revoked'],
  ['CRL_HAS_EXPIRED', 'whether the client certificate is revoked is not known: the list has expired'],
  ['UNABLE_TO_GET_CRL', 'whether the client certificate is revoked is not known: its authority has no list'],
  ['INVALID_PURPOSE', 'the client certificate is not meant for clients'],
])

/** Node's own socket of a server tells a failed verification only to node's own server. It is asked for like this there, too. */
interface Verifying {
  readonly _handle: { verifyError?(): unknown } | null
}

/** After the handshake, of a resumed session as of a new one: a certificate may have run out since. */
export function identify(socket: TLSSocket, auth: ClientAuth, now = Date.now()): ClientIdentity {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return auth.mode === 'request' ? NONE : refused(400, 'a client certificate is needed')
  const handle = (socket as unknown as Verifying)._handle
  if (handle?.verifyError === undefined) return refused(400, 'the client certificate could not be verified')
  const error = handle.verifyError()
  if (error)
    return refused(400, PROBLEMS.get(codeOf(error)) ?? 'the client certificate is not signed by a known authority')
  if (certificate.validToDate.getTime() < now) return refused(400, 'the client certificate has expired')
  if (!isAllowed(certificate, auth.allow))
    return refused(403, 'the client certificate is not one that may come in here')
  return { fields: fieldsOf(certificate), refusal: null }
}

/** Byte for byte, and what node had to quote, because it could be read in two ways, fits nothing. */
function isAllowed({ subject, subjectAltName }: X509Certificate, allow: readonly string[]): boolean {
  if (allow.length === 0) return true
  const names = (subjectAltName ?? '').includes('"') ? [] : (subjectAltName ?? '').split(', ')
  const own = new Set([...names, ...subject.split('\n').filter((line) => line.startsWith('CN='))])
  return allow.some((entry) => own.has(entry))
}

function fieldsOf({ subject, serialNumber, fingerprint256 }: X509Certificate): string {
  return (
    `${PREFIX}Verified: success\r\n` +
    `${PREFIX}Subject: ${printable(subject.replaceAll('\n', ', '))}\r\n` +
    `${PREFIX}Serial: ${serialNumber.toLowerCase()}\r\n` +
    `${PREFIX}Fingerprint: ${fingerprint256.replaceAll(':', '').toLowerCase()}\r\n`
  )
}

/** ASCII that a field may hold; everything else as in a URI. */
const printable = (text: string): string =>
  text.replace(/[^\x20-\x24\x26-\x7e]/gu, (char) =>
    [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
