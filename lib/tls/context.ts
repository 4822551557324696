/** Turns credentials into what a TLS listener needs: a secure context, and the options of each socket. */
import { constants, createHash } from 'node:crypto'
import { createSecureContext, type SecureContext, type TLSSocketOptions } from 'node:tls'
import type { Credentials } from './credentials.ts'

export interface ServerContextOptions {
  /** Oldest protocol version accepted. Default: TLSv1.2. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** The same in every data thread, so that a session resumes in whichever thread the kernel picks. 48 bytes. */
  readonly ticketKeys?: Uint8Array
  /** Sessions made under another one never resume. Default: ''. */
  readonly scope?: string
}

// Mozilla's intermediate profile without DHE: every suite is an AEAD with forward secrecy, so no CBC padding to get wrong.
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

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
  return createSecureContext({
    cert: pairs.map(({ cert }) => cert),
    key: pairs.map(({ key }) => key),
    minVersion: options.minVersion ?? 'TLSv1.2',
    ciphers: CIPHERS,
    secureOptions: SECURE_OPTIONS,
    sessionIdContext: sessionScope(pairs, options.scope ?? ''),
    ...(options.ticketKeys === undefined ? {} : { ticketKeys: Buffer.from(options.ticketKeys) }),
  })
}

/** A session made under other certificates, or for another service, never resumes. OpenSSL takes 32 bytes. */
function sessionScope(pairs: readonly Pair[], scope: string): string {
  const hash = createHash('sha256').update(scope)
  for (const { fingerprint256 } of pairs) hash.update('\0').update(fingerprint256)
  return hash.digest('hex').slice(0, 32)
}

/**
 * For `new TLSSocket(socket, serverOptions(context, protocol))`. A client of `https` that offers ALPN without `http/1.1` is
 * refused with `no_application_protocol`, so bytes meant for another protocol never reach the HTTP codec.
 */
export function serverOptions(context: SecureContext, protocol: 'tls' | 'https'): TLSSocketOptions {
  const options = { isServer: true, secureContext: context, requestCert: false, rejectUnauthorized: false }
  return protocol === 'https' ? { ...options, ALPNProtocols: ['http/1.1'] } : options
}
