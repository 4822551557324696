/** What a PROXY protocol header says, and the constants of its two versions (haproxy.org, proxy-protocol.txt). */

/** Both ends of a connection, as the one who sent the header saw them. */
export interface Ends {
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
}

/** What a client's TLS was at the sender. */
export interface SslInfo {
  /** Bits: 1 the client spoke TLS, 2 it gave a certificate on this connection, 4 in this session. */
  readonly client: number
  /** The certificate was verified. */
  readonly verified: boolean
  readonly version: string
  readonly commonName: string
  readonly cipher: string
}

export interface ProxyHeader {
  readonly version: 'v1' | 'v2'
  /** Bytes that it takes. */
  readonly length: number
  /** null (LOCAL, UNKNOWN, a family that is not that of TCP over IP): the connection's own ends count. */
  readonly ends: Ends | null
  /** The host name that the client asked for, its bytes as latin-1; '' when not told. The same of the other texts. */
  readonly authority: string
  readonly alpn: string
  readonly uniqueId: string
  readonly ssl: SslInfo | null
}

/** Nothing told. */
export const NOTHING_TOLD = { ends: null, authority: '', alpn: '', uniqueId: '', ssl: null } as const

export const V1_BYTES = 107 // the longest line, CRLF included, which a reader must be able to take
export const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
export const V2_FIXED_BYTES = 16 // signature, version and command, family, length
export const V2_MAX_LENGTH = 4096 // of what follows: addresses of UNIX sockets are 216, names and certificates' fields fit well

/** Families of v2, and the bytes of their addresses. */
export const FAMILY = { unspec: 0, inet: 1, inet6: 2, unix: 3 } as const
export const ADDRESS_BYTES: readonly number[] = [0, 12, 36, 216]
export const STREAM = 1 // the transport that we speak; 0 is unspecified, 2 datagrams

/** Types of TLVs. Others are passed over. */
export const TLV = { alpn: 0x01, authority: 0x02, crc32c: 0x03, uniqueId: 0x05, ssl: 0x20 } as const
export const SSL_TLV = { version: 0x21, commonName: 0x22, cipher: 0x23 } as const
export const UNIQUE_ID_BYTES = 128
