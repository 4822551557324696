/** The connections to one backend: a keep-alive agent of node:http over connections that were dialled before. */
import { Agent, type ClientRequest, type ClientRequestArgs } from 'node:http'
import { Duplex } from 'node:stream'
import { Deadline, type DeadlineOwner, type DeadlineWheel, fault } from '../../core/index.ts'
import type { Wire } from '../wire.ts'
import { type StreamOwner, WireStream } from './wire-stream.ts'

/** What an exchange hears of the connection that it uses. */
export interface BackendUser {
  /** The answer has come whole. */
  readonly complete: boolean
  onBackendFlushed(): void
}

export class BackendStream extends WireStream implements DeadlineOwner {
  readonly #idle: Deadline
  readonly #link: Link
  /** How long it may wait idle, ms. */
  idleMs: number
  /** Requests that it carried. */
  uses = 0
  /** Both messages were whole, and the backend keeps the connection. */
  reusable = false
  /** Something came behind an answer (HTTP.md 19), or the backend has said its last. */
  spoilt = false

  /** @param lead what goes out in front of the first request */
  constructor(wire: Wire, wheel: DeadlineWheel, idleMs: number, lead: Buffer | null) {
    const link = new Link()
    super(wire, link, lead)
    link.stream = this
    this.#link = link
    this.#idle = new Deadline(wheel, this)
    this.idleMs = idleMs
  }

  /** Bytes came since it was assigned. */
  get begun(): boolean {
    return this.#link.begun
  }

  /** Carries one request from now on. */
  assign(user: BackendUser): void {
    this.uses++
    this.reusable = false
    this.#link.begun = false
    this.#link.user = user
  }

  /** An answer's head has come; `keepAlive` is what it says of how long the connection may wait: a second less is used. */
  keep(reusable: boolean, keepAlive: string): void {
    this.reusable = reusable
    const told = /timeout=(\d{1,6})/i.exec(keepAlive)
    if (told !== null) this.idleMs = Math.min(this.idleMs, Math.max(0, Number(told[1]) - 1) * 1000)
  }

  /** The answer has been read: bytes that still come would be the next client's answer. */
  release(): void {
    this.#link.user = null
  }

  /** May it wait for another request? */
  rest(): boolean {
    if (!this.reusable || this.spoilt || this.idleMs <= 0) return false
    this.#idle.set(this.idleMs)
    return true
  }

  wake(): void {
    this.#idle.clear()
  }

  onDeadline(): void {
    this.destroy()
  }
  onThrown(error: unknown): void {
    fault(error, 'a connection to a backend')
    this.destroy()
  }

  forget(): void {
    this.#idle.release()
  }

  // What node's agent asks of a socket and a wire has no need of: its time limits are ours, and TCP probes are not used.
  ref(): void {}
  unref(): void {}
}

/** Follows a backend connection for its stream. */
class Link implements StreamOwner {
  stream: BackendStream | null = null
  user: BackendUser | null = null
  begun = false

  onArrival(): boolean {
    this.begun = true
    if (this.user === null) this.stream?.destroy()
    else if (!this.user.complete) return true
    if (this.stream !== null) this.stream.spoilt = true
    return false
  }

  onPeerEnd(): void {
    if (this.stream !== null) this.stream.spoilt = true
    if (this.user === null) this.stream?.destroy()
    else this.stream?.finish()
  }

  onRead(): void {}

  onFlushed(): void {
    this.user?.onBackendFlushed()
  }

  onLastWrite(): void {}

  onGone(): void {
    this.stream?.forget()
  }
}

/** Options of a request that carry the connection dialled for it. */
export interface Dialled {
  readonly dialled?: BackendStream | null
}

export class BackendAgent extends Agent {
  readonly #most: number
  readonly #idle = new Set<Duplex>()
  #retired = false

  constructor(most: number) {
    super({ keepAlive: true, scheduling: 'lifo', maxFreeSockets: Math.max(1, most) })
    this.#most = most
  }

  /** Ends the connections that wait; those in use end with their request. */
  retire(): void {
    this.#retired = true
    for (const stream of this.#idle) stream.destroy()
  }

  /** A connection waits for a request. */
  get ready(): boolean {
    for (const stream of this.#idle) if (!stream.destroyed) return true
    return false
  }

  override createConnection({ dialled }: ClientRequestArgs & Dialled): Duplex {
    return dialled ?? gone()
  }

  override keepSocketAlive(stream: Duplex): boolean {
    if (this.#retired || this.#idle.size >= this.#most || !(stream instanceof BackendStream) || !stream.rest())
      return false
    this.#idle.add(stream)
    if (stream.uses === 1) stream.once('close', () => this.#idle.delete(stream))
    return true
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    this.#idle.delete(stream)
    if (stream instanceof BackendStream) stream.wake()
    super.reuseSocket(stream, request)
  }
}

/** For a request whose idle connection went away just now: one that dies with the request on it. */
function gone(): Duplex {
  const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  setImmediate(() => stream.destroy())
  return stream
}
