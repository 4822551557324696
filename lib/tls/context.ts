/** Turns credentials into what a TLS listener needs: a secure context, and the options of each socket. */
import { constants, randomBytes } from 'node:crypto'
import { createSecureContext, type SecureContext, type TLSSocketOptions } from 'node:tls'
import type { Credentials } from './credentials.ts'

export interface ServerContextOptions {
  /** Oldest protocol version accepted. Default: TLSv1.2. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** From `newTicketKeys`, the same in every data thread, so that a session resumes in whichever thread the kernel picks. */
  readonly ticketKeys?: Uint8Array
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

const TICKET_KEY_BYTES = 48 // name, HMAC key and AES key, 16 bytes each

export const newTicketKeys = (): Uint8Array => randomBytes(TICKET_KEY_BYTES)

/** One per certificate and data thread; the sockets of a listener share it. Throws what OpenSSL says. */
export function createServerContext(
  credentials: Pick<Credentials, 'cert' | 'key' | 'fingerprint256'>,
  options: ServerContextOptions = {},
): SecureContext {
  return createSecureContext({
    cert: credentials.cert,
    key: credentials.key,
    minVersion: options.minVersion ?? 'TLSv1.2',
    ciphers: CIPHERS,
    secureOptions: SECURE_OPTIONS,
    // A session made under one certificate never resumes under another. At most 32 bytes.
    sessionIdContext: credentials.fingerprint256.replaceAll(':', '').slice(0, 32),
    ...(options.ticketKeys === undefined ? {} : { ticketKeys: Buffer.from(options.ticketKeys) }),
  })
}

/**
 * For `new TLSSocket(socket, serverOptions(context, alpn))`. A client that offers ALPN without any of `alpn` is refused with
 * `no_application_protocol`, so bytes meant for another protocol never reach a codec. Empty: ALPN is not looked at.
 */
export function serverOptions(context: SecureContext, alpn: readonly string[]): TLSSocketOptions {
  const options = { isServer: true, secureContext: context, requestCert: false, rejectUnauthorized: false }
  return alpn.length > 0 ? { ...options, ALPNProtocols: [...alpn] } : options
}
