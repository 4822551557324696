/**
 * `tls-session`: a client whose TLS goes through to the backend is known by the session that it resumes: the session id, or
 * the ticket, that its backend gave it in the clear. TLS 1.3 gives tickets only under encryption, and clients use each but
 * once, so there this affinity knows nobody.
 */
import type { Backend, Flow } from '../pool/index.ts'
import { Cursor, HandshakeReader } from '../tls/index.ts'
import { KeyedAffinity, KIND } from './bound.ts'
import type { AffinityTools, AffinityView, BuiltAffinity, StreamSide, StreamWatch } from './contract.ts'

const CLIENT_HELLO = 1
const SERVER_HELLO = 2
const NEW_SESSION_TICKET = 4
const SESSION_TICKET = 35 // extension, RFC 5077
const SUPPORTED_VERSIONS = 43 // extension; in a ServerHello it says that this is TLS 1.3
const RANDOM_BYTES = 32
const MAX_HELLO = 16 * 1024 // post-quantum key shares and a ticket take 2 KiB
const MAX_ANSWER = 128 * 1024 // ServerHello, chain of certificates, ticket

const sessionKey = (id: Buffer): string => `s${id.toString('latin1')}`
const ticketKey = (ticket: Buffer): string => `t${ticket.toString('latin1')}`

/** The session that a ClientHello asks for: ticket before id (RFC 5077 §3.4); '': none; null: more bytes are needed. */
export function sessionIn(bytes: Buffer): string | null {
  const reader = new HandshakeReader(MAX_HELLO)
  reader.push(bytes)
  const message = reader.next()
  if (message === null) return reader.ended ? '' : null
  if (message.type !== CLIENT_HELLO) return ''
  const cursor = new Cursor(message.body)
  cursor.bytes(2 + RANDOM_BYTES)
  const id = cursor.vector(1)
  cursor.vector(2) // cipher suites
  cursor.vector(1) // compression
  if (cursor.broken) return ''
  const ticket = extension(cursor, SESSION_TICKET)
  if (ticket !== null && ticket.length > 0) return ticketKey(ticket)
  return id.length > 0 ? sessionKey(id) : ''
}

/** The content of an extension; null: it is not there. */
function extension(cursor: Cursor, wanted: number): Buffer | null {
  if (cursor.left === 0) return null
  const list = new Cursor(cursor.vector(2))
  while (list.left > 0) {
    const type = list.number(2)
    const content = list.vector(2)
    if (list.broken) return null
    if (type === wanted) return content
  }
  return null
}

/** The sessions that a backend gives in its part of the handshake. */
export class SessionWatch implements StreamWatch {
  readonly #reader = new HandshakeReader(MAX_ANSWER)
  readonly #asked: string
  readonly #learn: (key: string) => void

  /** @param asked the session that the client asked for: what is only said back teaches nothing */
  constructor(asked: string, learn: (key: string) => void) {
    this.#asked = asked
    this.#learn = learn
  }

  push(bytes: Buffer, length: number): boolean {
    this.#reader.push(bytes.subarray(0, length))
    for (let message = this.#reader.next(); message !== null; message = this.#reader.next()) {
      const cursor = new Cursor(message.body)
      if (message.type === SERVER_HELLO) {
        cursor.bytes(2 + RANDOM_BYTES)
        const id = cursor.vector(1)
        cursor.bytes(3) // cipher suite, compression
        if (cursor.broken || extension(cursor, SUPPORTED_VERSIONS) !== null) return false
        if (id.length > 0) this.#tell(sessionKey(id))
      } else if (message.type === NEW_SESSION_TICKET) {
        cursor.bytes(4) // lifetime
        const ticket = cursor.vector(2)
        if (!cursor.broken && ticket.length > 0) this.#tell(ticketKey(ticket))
      }
    }
    return !this.#reader.ended
  }

  #tell(key: string): void {
    if (key !== this.#asked) this.#learn(key)
  }
}

class TlsSession extends KeyedAffinity implements StreamSide {
  constructor(view: AffinityView, tools: AffinityTools) {
    super(KIND.tls, view, tools)
  }

  /** Only backends give sessions: what a client asks for says nothing until one has confirmed it. */
  override bind(_flow: Flow, backend: Backend): Backend {
    return backend
  }

  keyIn(bytes: Buffer): string | null {
    return sessionIn(bytes)
  }

  watch(backend: Backend, key: string): StreamWatch {
    return new SessionWatch(key, (given) => this.learnt(given, backend))
  }
}

export function tlsSession(view: AffinityView, tools: AffinityTools): BuiltAffinity {
  const affinity = new TlsSession(view, tools)
  return { affinity, http: null, stream: affinity }
}
