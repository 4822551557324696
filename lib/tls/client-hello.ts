/** Reads what a client asks for, name and protocol, out of the beginning of its handshake. */
import { type Offer, offerIn } from './offer.ts'
import { Cursor, HandshakeReader } from './records.ts'

const CLIENT_HELLO = 1
const SERVER_NAME = 0 // extension, RFC 6066 §3
const ALPN = 16 // extension, RFC 7301 §3.1
const HOST_NAME = 0
const RANDOM_BYTES = 32
export const MAX_HELLO = 16 * 1024 // post-quantum key shares and a ticket take 2 KiB
const NAME = /^[\x21-\x7e]{1,255}$/

export class HelloReader {
  /** A whole ClientHello was there. */
  found = false
  readonly #reader = new HandshakeReader(MAX_HELLO)
  #hello: Buffer | null = null

  /**
   * The name in lower case; '': there is none, or this is no ClientHello; null: more bytes are needed. Of an encrypted ClientHello
   * it is the outer name.
   */
  push(bytes: Buffer): string | null {
    this.#reader.push(bytes)
    const message = this.#reader.next()
    if (message === null) return this.#reader.ended ? '' : null
    const name = message.type === CLIENT_HELLO ? serverName(message.body) : null
    if (name !== null) this.#hello = message.body
    this.found = name !== null
    return name ?? ''
  }

  /** It offers this protocol (ALPN), and no other. */
  offersOnly(protocol: string): boolean {
    const extension = this.#hello === null ? null : extensionOf(this.#hello, ALPN)
    if (!extension) return false
    const protocols = new Cursor(extension.vector(2))
    return protocols.vector(1).toString('latin1') === protocol && protocols.left === 0 && !protocols.broken
  }

  /** What the client can speak and verify; null: that is not known. */
  get offer(): Offer | null {
    return this.#hello === null ? null : offerIn(this.#hello)
  }
}

/** The extension of one type; undefined: there is none. null: the message is damaged before it. */
function extensionOf(hello: Buffer, wanted: number): Cursor | undefined | null {
  const cursor = new Cursor(hello)
  cursor.bytes(2 + RANDOM_BYTES)
  cursor.vector(1) // session id
  cursor.vector(2) // cipher suites
  cursor.vector(1) // compression
  if (cursor.broken) return null
  if (cursor.left === 0) return undefined // TLS 1.0 to 1.2 may leave the extensions out
  const extensions = new Cursor(cursor.vector(2))
  if (cursor.broken) return null
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const body = extensions.vector(2)
    if (extensions.broken) return null
    if (type === wanted) return new Cursor(body)
  }
  return undefined
}

/** null: it is damaged. */
function serverName(hello: Buffer): string | null {
  const extension = extensionOf(hello, SERVER_NAME)
  if (!extension) return extension === null ? null : ''
  const names = new Cursor(extension.vector(2))
  const kind = names.number(1)
  const name = names.vector(2).toString('latin1')
  return !names.broken && kind === HOST_NAME && NAME.test(name) ? name.toLowerCase() : ''
}
