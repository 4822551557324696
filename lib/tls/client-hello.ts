/** Reads the name that a client asks for out of the beginning of its handshake. */
import { Cursor, HandshakeReader } from './records.ts'

const CLIENT_HELLO = 1
const SERVER_NAME = 0 // extension, RFC 6066 §3
const HOST_NAME = 0
const RANDOM_BYTES = 32
export const MAX_HELLO = 16 * 1024 // post-quantum key shares and a ticket take 2 KiB
const NAME = /^[\x21-\x7e]{1,255}$/

export class HelloReader {
  readonly #reader = new HandshakeReader(MAX_HELLO)

  /** The name in lower case; '': there is none, or this is no ClientHello; null: more bytes are needed. */
  push(bytes: Buffer): string | null {
    this.#reader.push(bytes)
    const message = this.#reader.next()
    if (message === null) return this.#reader.ended ? '' : null
    return message.type === CLIENT_HELLO ? serverName(message.body) : ''
  }
}

function serverName(hello: Buffer): string {
  const cursor = new Cursor(hello)
  cursor.bytes(2 + RANDOM_BYTES)
  cursor.vector(1) // session id
  cursor.vector(2) // cipher suites
  cursor.vector(1) // compression
  const extensions = new Cursor(cursor.vector(2))
  if (cursor.broken) return ''
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const body = extensions.vector(2)
    if (extensions.broken) return ''
    if (type !== SERVER_NAME) continue
    const names = new Cursor(new Cursor(body).vector(2))
    const kind = names.number(1)
    const name = names.vector(2).toString('latin1')
    return !names.broken && kind === HOST_NAME && NAME.test(name) ? name.toLowerCase() : ''
  }
  return ''
}
