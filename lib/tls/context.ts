/** Turns credentials into what a TLS listener needs: a secure context, and the options of each socket. */
import { constants, createHash } from 'node:crypto'
import { createSecureContext, type SecureContext, type Server, type TLSSocketOptions } from 'node:tls'
import type { ClientAuth } from './client-identity.ts'
import type { Credentials } from './credentials.ts'
import { type Protocol, protocolOf } from './protocol.ts'
import { type TicketRing, useTickets } from './tickets.ts'

export interface ServerContextOptions {
  /** Default: Mozilla's intermediate profile. */
  readonly protocol?: Protocol
  /** null: sessions are not resumed. Default: keys of this context alone. */
  readonly tickets?: TicketRing | null
  /** Sessions made under another one never resume. Default: ''. */
  readonly scope?: string
  /** null: clients are not asked for a certificate. Default: null. */
  readonly client?: ClientAuth | null
}

const SESSION_SECONDS = 7200 // as long as a ticket is good for; rotation ends it sooner

// Our order counts, but a client that puts ChaCha20 first (no AES hardware) gets it. Renegotiation is a way to burn CPU.
const SECURE_OPTIONS =
  constants.SSL_OP_NO_RENEGOTIATION |
  constants.SSL_OP_NO_COMPRESSION |
  constants.SSL_OP_CIPHER_SERVER_PREFERENCE |
  constants.SSL_OP_PRIORITIZE_CHACHA

type Pair = Pick<Credentials, 'cert' | 'key' | 'fingerprint256'>

/**
 * The sockets of a listener whose clients ask for the same names share it. Of several certificates, one for each type of key,
 * OpenSSL takes the one that the client can verify. Throws what OpenSSL says.
 */
export function createServerContext(pairs: readonly Pair[], options: ServerContextOptions = {}): SecureContext {
  const { protocol = protocolOf({ profile: 'intermediate' }), tickets } = options
  const client = options.client ?? null
  const scope = sessionScope(pairs, options.scope ?? '', client)
  const context = createSecureContext({
    cert: pairs.map(({ cert }) => cert),
    key: pairs.map(({ key }) => key),
    minVersion: protocol.minVersion,
    ciphers: protocol.ciphers,
    ecdhCurve: protocol.curves,
    secureOptions: tickets === null ? SECURE_OPTIONS | constants.SSL_OP_NO_TICKET : SECURE_OPTIONS,
    sessionIdContext: scope,
    sessionTimeout: SESSION_SECONDS,
    ...(client === null ? {} : { ca: client.ca }),
    ...(client === null || client.crl === '' ? {} : { crl: revocationsIn(client.crl) }),
  })
  if (tickets) useTickets(context, tickets, scope)
  return context
}

const revocationsIn = (pem: string): string[] => pem.split(/(?<=-----END X509 CRL-----\n)/)

/**
 * A session made under other certificates, for another service, or when other clients were let in, never resumes: it would skip
 * what is asked of clients now. OpenSSL takes 32 bytes.
 */
function sessionScope(pairs: readonly Pair[], scope: string, client: ClientAuth | null): string {
  const hash = createHash('sha256').update(JSON.stringify([scope, client]))
  for (const { fingerprint256 } of pairs) hash.update('\0').update(fingerprint256)
  return hash.digest('hex').slice(0, 32)
}

/**
 * For `new TLSSocket(socket, serverOptions(context, alpn))`. A client that offers ALPN without any of `alpn` is refused with
 * `no_application_protocol`, so bytes meant for another protocol never reach a codec. Empty: ALPN is not looked at.
 */
export function serverOptions(
  context: SecureContext,
  alpn: readonly string[],
  client: ClientAuth | null = null,
  server: Server | null = null,
): TLSSocketOptions {
  const requestCert = client !== null
  // A client without a certificate is refused by OpenSSL where one is required; others are looked at by `identify`.
  const rejectUnauthorized = client?.mode === 'require'
  const options = {
    isServer: true,
    secureContext: context,
    requestCert,
    rejectUnauthorized,
    ...(server === null ? {} : { server }),
  }
  return alpn.length > 0 ? { ...options, ALPNProtocols: [...alpn] } : options
}
