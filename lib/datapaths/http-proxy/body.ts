/** The body of a request on its way to a backend: counted, limited, and kept while it can be sent again. */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { BodyPace } from '../http/body-pace.ts'

const MAX_REPLAY = 16 * 1024 // a body of a known length up to here is kept until the answer begins

export interface BodyOwner {
  onBody(): void
  onBodyTooLarge(): void
  /** All of it has come; nothing of the end has been handed on yet. */
  onBodyEnd(req: IncomingMessage): void
}

export class RequestBody {
  readonly #req: IncomingMessage
  readonly #owner: BodyOwner
  readonly #limit: number
  #kept: Buffer[] | null = []
  #sink: Readable | null = null
  #started = false
  /** How fast it comes; null: it is not looked at. */
  pace: BodyPace | null = null
  bytes = 0
  done: boolean

  constructor(req: IncomingMessage, present: boolean, keep: boolean, limit: number, owner: BodyOwner) {
    this.#req = req
    this.#owner = owner
    this.#limit = limit
    this.done = !present
    if (!keep && present) this.#kept = null
    if (this.done) req.resume()
  }

  /** It can be sent from its first byte. */
  get whole(): boolean {
    return this.done && this.#kept !== null
  }

  /** The client waits for the backend to take its bytes. */
  get blocked(): boolean {
    return !this.#started || this.#req.isPaused()
  }

  /** What a try sends. Nothing flows before `start`. */
  open(): Readable {
    if (this.done) return Readable.from(this.#kept ?? [], { objectMode: false })
    const sink = new Readable({ read: () => this.#flow() })
    this.#sink = sink
    return sink
  }

  /** The backend is there. */
  start(): void {
    if (this.#started || this.done) return
    this.#started = true
    this.#req.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#req.on('end', () => this.#end())
  }

  /** The rest is of no use any more. */
  drop(): void {
    this.#sink = null
    this.#kept = null
  }

  #flow(): void {
    if (!this.#started || this.#sink === null) return
    if (this.#req.isPaused()) this.pace?.goOn()
    this.#req.resume()
  }

  #take(chunk: Buffer): void {
    const sink = this.#sink
    this.bytes += chunk.length
    if (sink === null) return
    if (this.bytes > this.#limit) {
      this.drop()
      return this.#owner.onBodyTooLarge()
    }
    if (this.bytes <= MAX_REPLAY) this.#kept?.push(chunk)
    else this.#kept = null
    if (!sink.push(chunk)) {
      this.#req.pause()
      this.pace?.hold()
    }
    this.#owner.onBody()
  }

  #end(): void {
    const sink = this.#sink
    if (sink === null || !this.#req.complete) return
    this.done = true
    this.#owner.onBodyEnd(this.#req)
    sink.push(null)
  }
}
