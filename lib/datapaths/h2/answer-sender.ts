/** An answer on its way: comes as the exchange writes it for HTTP/1.1, goes as frames, as far as the windows allow. */
import { createHash } from 'node:crypto'
import { Stash } from '../http/stash.ts'
import { keptTrailers } from '../http/trailers.ts'
import type { Outbox } from '../outbox.ts'
import { AnswerBody, answerField, answerHead, readAnswer } from './answer.ts'
import type { Outbound, Sender } from './outbound.ts'
import { MAX_WINDOW } from './peer.ts'

const SCRATCH_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)
const WEBSOCKET = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455 §1.3

const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

/** Whose answer it is. */
export interface SenderOwner {
  /** What was kept has gone out in part; `told`: all of it, and a write that answered false waits to hear it. */
  onSent(told: boolean): void
  /** The exchange wrote what is no answer. */
  onUnsendable(): void
}

export class AnswerSender implements Sender {
  /** What we may send. */
  window: number
  waiting = false
  /** It answers HEAD. */
  headOnly = false
  /** Nothing yet, its head, all of it; or it is no answer but a tunnel's bytes. */
  state: 'none' | 'body' | 'whole' | 'tunnel' = 'none'
  /** The end of the stream has been sent. */
  ended = false
  /** The backend accepted a WebSocket that it was not asked for. */
  forged = false
  readonly #id: number
  readonly #outbound: Outbound
  readonly #owner: SenderOwner
  readonly #key: string
  #body: AnswerBody | null = null
  /** What no window has taken: a copy, or the writer's own bytes. */
  #queue: Stash | null = null
  #held: Buffer | null = null
  #heldStart = 0
  #heldEnd = 0
  /** The stream ends behind it, with these trailers. */
  #ending = false
  #trailers = ''
  /** The last write has been answered for. */
  #told = true

  /** @param key of the WebSocket handshake that it answers, or '' */
  constructor(id: number, window: number, outbound: Outbound, owner: SenderOwner, key: string) {
    this.#id = id
    this.window = window
    this.#outbound = outbound
    this.#owner = owner
    this.#key = key
  }

  get queued(): boolean {
    return this.#queue !== null || this.#held !== null
  }
  /** Bytes of it. */
  get length(): number {
    return (this.#queue?.length ?? 0) + this.#heldEnd - this.#heldStart
  }

  text(text: string): boolean {
    const bytes = text.length <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafe(text.length)
    return this.write(bytes, 0, bytes.latin1Write(text, 0), false)
  }

  out(out: Outbox): boolean {
    const { buffer, byteOffset, length } = out.view()
    return this.write(Buffer.from(buffer, byteOffset, length), 0, length, false)
  }

  /** @param owned the bytes stay as they are until `onSent` */
  write(buf: Buffer, start: number, end: number, owned: boolean): boolean {
    let p = start
    while (p < end && this.state === 'none') {
      if (!readAnswer(buf, p, end)) {
        this.#owner.onUnsendable()
        return true
      }
      this.#head(buf, p)
      p += answerHead.pos
    }
    const body = this.#body
    if (this.state === 'tunnel') this.#send(buf, p, end, owned)
    else if (body !== null && this.state === 'body') {
      while (p < end && !body.done) {
        p = body.step(buf, p, end)
        if (body.done) {
          this.state = 'whole'
          this.#ending = true
          this.#trailers = body.trailers
        }
        this.#send(buf, body.dataStart, body.dataEnd, owned)
      }
    }
    this.#told = !this.queued
    return this.#told
  }

  #head(buf: Buffer, base: number): void {
    const { status } = answerHead
    const asked = this.#key !== ''
    if (status === 101 && asked) {
      const accept = createHash('sha1')
        .update(this.#key + WEBSOCKET)
        .digest('base64')
      this.forged = answerField(buf, base, 'sec-websocket-accept') !== accept
      this.state = 'tunnel'
      return this.#outbound.answer(this.#id, buf, base, this.forged ? 502 : 200, true, false)
    }
    if (status < 200) return this.#outbound.answer(this.#id, buf, base, status, false, false)
    // An answer that is not the handshake must not look as if the tunnel were there (RFC 8441 §5).
    const shown = asked && status < 300 ? 502 : status
    const body = new AnswerBody(buf, base, this.headOnly || status === 204 || status === 304)
    this.#body = body
    this.state = body.done ? 'whole' : 'body'
    this.ended = body.done
    this.#outbound.answer(this.#id, buf, base, shown, false, body.done)
  }

  /** Sends content as far as the windows allow, and keeps the rest. */
  #send(buf: Buffer, start: number, end: number, owned: boolean): void {
    if (this.queued) {
      this.#copyHeld()
      if (end > start) this.#queue?.append(buf.subarray(start, end), end - start)
      return
    }
    const p = this.#emit(buf, start, end)
    if (p === end) return
    if (owned) {
      this.#held = buf
      this.#heldStart = p
      this.#heldEnd = end
    } else this.#queue = new Stash(buf, p, end)
  }

  #copyHeld(): void {
    if (this.#held === null) return
    this.#queue = new Stash(this.#held, this.#heldStart, this.#heldEnd)
    this.#letGo()
  }

  #letGo(): void {
    this.#held = null
    this.#heldStart = 0
    this.#heldEnd = 0
  }

  /** Writes frames of `buf[start..end)`; answers where it stopped, and asks to be told when there is room. */
  #emit(buf: Buffer, start: number, end: number): number {
    const outbound = this.#outbound
    let p = start
    while (p < end) {
      const n = Math.min(end - p, this.window, outbound.room())
      if (n <= 0) {
        if (this.window > 0) outbound.wait(this)
        return p
      }
      outbound.data(this.#id, buf, p, p + n, this.#ending && this.#trailers === '' && p + n === end)
      this.window -= n
      p += n
    }
    if (this.#ending && !this.ended) {
      this.ended = true
      if (this.#trailers !== '') outbound.trailers(this.#id, keptTrailers(this.#trailers, null))
      else if (start === end) outbound.data(this.#id, buf, end, end, true)
    }
    return p
  }

  /** The client takes so much more; false: more than there may be. */
  widen(increment: number): boolean {
    this.window += increment
    if (this.window > MAX_WINDOW) return false
    this.pump()
    return true
  }

  /** There may be room again. */
  pump(): void {
    const held = this.#held
    const queue = this.#queue
    const before = this.length
    if (held !== null) {
      this.#heldStart = this.#emit(held, this.#heldStart, this.#heldEnd)
      if (this.#heldStart === this.#heldEnd) this.#letGo()
    } else if (queue !== null) {
      const stop = this.#emit(queue.bytes, 0, queue.length)
      if (stop === queue.length) this.#queue = null
      else queue.drop(stop)
    }
    if (before === 0 || this.length === before) return
    const told = !this.queued && !this.#told
    if (told) this.#told = true
    this.#owner.onSent(told)
  }

  /** The tunnel's backend has said its last. */
  end(): void {
    if (this.state !== 'tunnel' || this.#ending) return
    this.#ending = true
    if (!this.queued) this.#emit(NOTHING, 0, 0)
  }

  /** Nothing of it is wanted any more. */
  drop(): void {
    this.#queue = null
    this.#letGo()
  }
}
