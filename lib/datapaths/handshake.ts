/** One TLS handshake with a client, and the words before it where the protocol has such: ends with a socket or with null, once. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { HandshakeFailure, ServiceCell } from '../board/index.ts'
import {
  codeOf,
  Deadline,
  type DeadlineOwner,
  type DeadlineWheel,
  fault,
  formatAddress,
  Line,
  type Member,
  readBelow,
  receiveBelow,
} from '../core/index.ts'
import {
  ACME_TLS,
  type Challenges,
  type ClientIdentity,
  HelloReader,
  identify,
  type Offer,
  type Served,
  type ServerContexts,
  serverOptions,
  type TlsView,
  UNRECOGNIZED_NAME,
} from '../tls/index.ts'
import { handshakePace, type Paced } from './handshake-pace.ts'
import { readBuffer } from './outbox.ts'
import type { Preamble } from './starttls/contract.ts'
import { Words, type WordsTaker } from './starttls/words.ts'

/** What the handshakes of a service need. */
export interface ListenerTls {
  /** Replaced whole when certificates change; a handshake keeps those that it began with. */
  contexts: ServerContexts
  /** What they were made of. */
  view: TlsView
  /** Those of all listeners of the service. */
  readonly slots: HandshakeSlots
  /** What authorities are answered, who ask whether we have a name. */
  readonly challenges: Challenges
  /** Protocols that clients may choose from, the best first; empty: whatever they want. */
  readonly alpn: readonly string[]
  /** What clients ask for TLS by; null: they begin with it. */
  readonly preamble: Preamble | null
  readonly timeoutMs: number
}

/** How many handshakes of a service are under way at once in this thread. Those beyond wait, unread, until their time is up. */
export class HandshakeSlots {
  /** 0: no limit. */
  readonly most: number
  #free: number
  readonly #waiting = new Line<Handshake>()

  constructor(most: number) {
    this.most = most
    this.#free = most === 0 ? Number.POSITIVE_INFINITY : most
  }

  /** False: it waits, and begins later. */
  take(handshake: Handshake): boolean {
    if (this.#free > 0) {
      this.#free--
      return true
    }
    this.#waiting.add(handshake)
    return false
  }

  give(handshake: Handshake, begun: boolean): void {
    if (!begun) return this.#waiting.delete(handshake)
    const next = this.#waiting.next()
    if (next === null) this.#free++
    else next.begin()
  }
}

const NO_CERTIFICATE = 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE'

/** `client` null: it was not asked for a certificate. */
type Done = (socket: TLSSocket | null, client: ClientIdentity | null) => void

interface HandshakeOptions {
  readonly cell: ServiceCell
  readonly wheel: DeadlineWheel
  /** Nothing has been read of its socket. */
  readonly unread: boolean
}

export class Handshake implements DeadlineOwner, WordsTaker, Paced, Member {
  seat = -1
  ahead: Handshake | null = null
  behind: Handshake | null = null
  readonly #raw: Socket
  readonly #tls: ListenerTls
  readonly #contexts: ServerContexts
  readonly #deadline: Deadline
  readonly #cell: ServiceCell
  readonly #unread: boolean
  readonly #done: Done
  #served: Served | null = null
  /** What the client can verify; null: that does not matter, or is not known. */
  #offer: Offer | null = null
  #socket: TLSSocket | null = null
  #settled = false
  #begun = false
  /** The name that the client asks for, where it is read before OpenSSL does; ''. */
  #name = ''
  /** What was read past the streams of the socket. */
  #hello: Buffer | null = null
  /** An authority looks at a certificate of its own wish: however that ends is no client's failure. */
  #proving = false

  constructor(raw: Socket, tls: ListenerTls, { cell, wheel, unread }: HandshakeOptions, done: Done) {
    this.#raw = raw
    this.#tls = tls
    this.#contexts = tls.contexts
    this.#cell = cell
    this.#unread = unread && tls.preamble === null
    this.#done = done
    raw.on('error', () => this.fail('closed'))
    raw.on('close', () => this.fail('closed'))
    this.#deadline = new Deadline(wheel, this)
    this.#deadline.set(tls.timeoutMs)
  }

  start(): void {
    const { preamble } = this.#tls
    if (preamble === null) this.onTls()
    else new Words(this.#raw, preamble, this).start()
  }

  onTls(): void {
    if (!this.#settled && this.#tls.slots.take(this)) this.begin()
  }

  onOver(reply: Buffer, refused: boolean): void {
    this.#part(reply, refused ? 'protocol' : null)
  }

  onLeft(): void {
    this.fail('closed')
  }

  /** Its slot is there. */
  begin(): void {
    this.#begun = true
    handshakePace.begin()
    if (this.#unread && this.#read()) return
    if (!this.#anonymous) this.#peek()
    else if (handshakePace.calm) this.go()
    else this.#await()
  }

  onDeadline(): void {
    this.fail('timeout')
  }
  onThrown(error: unknown): void {
    fault(error, formatAddress(this.#raw.remoteAddress ?? '', this.#raw.remotePort ?? 0))
    this.fail(null)
  }

  fail(reason: HandshakeFailure | null): void {
    if (this.#settled) return
    this.#settle()
    if (reason !== null && !this.#proving) this.#cell.handshakeFailure(reason)
    this.#socket?.destroy()
    this.#raw.destroy()
    this.#done(null, null)
  }

  #settle(): void {
    this.#settled = true
    this.#deadline.release()
    if (this.#begun) handshakePace.end(this)
    this.#tls.slots.give(this, this.#begun)
  }

  /** What the client asks for makes no difference. */
  get #anonymous(): boolean {
    return this.#contexts.single && this.#tls.challenges.alpn === null
  }

  /** Does what `#peek` and `#await` do, past the streams. False: that is not possible. */
  #read(): boolean {
    const reader = this.#anonymous ? null : new HelloReader()
    const pieces: Buffer[] = []
    const stop = readBelow(this.#raw, readBuffer, (count) => {
      if (this.#settled || count === 0) return
      if (count < 0) return this.fail('closed')
      const bytes = Buffer.from(readBuffer.subarray(0, count))
      const name = reader === null ? '' : reader.push(bytes)
      pieces.push(bytes)
      if (name === null) return
      stop?.()
      this.#hello = pieces.length === 1 ? bytes : Buffer.concat(pieces)
      if (reader !== null) this.#heard(name, reader)
      else if (handshakePace.calm) this.go()
      else handshakePace.enter(this)
    })
    return stop !== null
  }

  #heard(name: string, hello: HelloReader): void {
    if (!this.#contexts.single) {
      this.#offer = hello.offer
      this.#name = name
    }
    if (!this.#prove(name, hello)) handshakePace.enter(this)
  }

  #feed(socket: TLSSocket): void {
    if (this.#hello === null) return
    const hello = this.#hello
    this.#hello = null
    receiveBelow(socket, hello)
  }

  /** Waits for the client to say anything: the answer is the work, which is to come in its turn. */
  #await(): void {
    const raw = this.#raw
    const onEnd = (): void => this.fail('closed')
    raw.once('end', onEnd)
    raw.once('readable', () => {
      raw.off('end', onEnd)
      if (raw.readableLength === 0) this.fail('closed')
      else if (!this.#settled) handshakePace.enter(this)
    })
    raw.read(0)
  }

  /**
   * Reads the client's first message, which says the name. OpenSSL would tell it too late: it looks at the session to be resumed
   * before it asks for the certificate, and would take one that was made under another name.
   */
  #peek(): void {
    const raw = this.#raw
    const reader = new HelloReader()
    const pieces: Buffer[] = []
    const onEnd = (): void => this.fail('closed')
    const onData = (bytes: Buffer): void => {
      pieces.push(bytes)
      const name = reader.push(bytes)
      if (name === null || this.#settled) return
      raw.off('data', onData)
      raw.off('end', onEnd)
      raw.pause()
      raw.unshift(pieces.length === 1 ? bytes : Buffer.concat(pieces))
      this.#heard(name, reader)
    }
    raw.on('data', onData)
    raw.once('end', onEnd)
    raw.resume()
  }

  /**
   * Shows an authority what it wants to see (RFC 8737 §3), and nothing else: the connection ends with the handshake.
   * False: it is a client like others.
   */
  #prove(name: string, hello: HelloReader): boolean {
    const secureContext = this.#tls.challenges.alpn?.get(name)
    if (secureContext === undefined || !hello.offersOnly(ACME_TLS)) return false
    const socket = new TLSSocket(this.#raw, { isServer: true, secureContext, ALPNProtocols: [ACME_TLS] })
    this.#socket = socket
    this.#proving = true
    const end = (): void => this.fail(null)
    for (const event of ['error', '_tlsError', 'end', 'close']) socket.on(event, end)
    socket.once('secure', () => socket.end())
    this.#feed(socket)
    return true
  }

  /** The work begins. */
  go(): void {
    this.#served = this.#servedFor(this.#name)
    if (this.#served === null) return this.#part(UNRECOGNIZED_NAME, 'name')
    const { context, stapling } = this.#served
    const socket = new TLSSocket(this.#raw, serverOptions(context, this.#tls.alpn, this.#contexts.client, stapling))
    this.#socket = socket
    socket.on('error', (error) => this.fail(codeOf(error).startsWith('ERR_SSL') ? 'protocol' : 'closed'))
    // What a server's socket says of a failed handshake.
    socket.on('_tlsError', (error: unknown) => this.fail(failureOf(codeOf(error))))
    socket.on('end', () => this.fail('closed')) // a half-open client can't finish a handshake
    socket.on('close', () => this.fail('closed'))
    socket.once('secure', () => this.#secure(socket))
    this.#feed(socket)
  }

  /** null: nothing is to be served under that name. */
  #servedFor(name: string): Served | null {
    try {
      return this.#contexts.find(name, this.#offer)
    } catch {
      return null // OpenSSL refuses what it took when it was checked: no memory
    }
  }

  /** Closes with a last word. `reason` null: this is no failure. */
  #part(word: Buffer, reason: HandshakeFailure | null): void {
    const raw = this.#raw
    if (this.#settled) return
    this.#settle()
    if (reason !== null) this.#cell.handshakeFailure(reason)
    raw.on('error', () => {}) // it is of no interest any more
    raw.end(word, () => raw.destroy())
    this.#done(null, null)
  }

  #secure(socket: TLSSocket): void {
    if (this.#settled) return
    // The name that OpenSSL has read is looked at again: a second ClientHello may have told another one.
    if (!this.#contexts.single && this.#servedFor(nameOf(socket)) !== this.#served) return this.fail('name')
    const { client: auth } = this.#contexts
    const client = auth === null ? null : identify(socket, auth)
    // Whose certificate is not good where one is required does not come in. Who may only not enter here is told so.
    if (client?.refusal?.status === 400 && auth?.mode === 'require') return this.fail('certificate')
    this.#settle()
    if (client !== null && client.refusal !== null) this.#cell.handshakeFailure('certificate')
    else this.#cell.handshake(socket.getProtocol() ?? '', socket.isSessionReused())
    this.#done(socket, client)
  }
}

/** Why OpenSSL gave it up: a code of the system is the client's connection that broke. */
function failureOf(code: string): HandshakeFailure {
  if (code === NO_CERTIFICATE) return 'certificate'
  return code === 'ECONNRESET' || code === 'EPIPE' ? 'closed' : 'protocol'
}

/** What the client asked for. The types leave out that it is `false` without a name. */
function nameOf({ servername }: TLSSocket): string {
  const name: unknown = servername
  return typeof name === 'string' ? name.toLowerCase() : ''
}
