/** A message on its way: comes as an exchange writes it for HTTP/1.1, goes as frames, as far as the windows allow. */

import { giveBackBlock, takeBlock } from '../blocks.ts'
import type { Marked } from '../http/requester.ts'
import { Stash } from '../http/stash.ts'
import { keptTrailers } from '../http/trailers.ts'
import type { Outbox } from '../outbox.ts'
import type { MessageBody } from './message-body.ts'
import type { Outbound, Sender } from './outbound.ts'
import { MAX_WINDOW } from './peer.ts'

const SCRATCH_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)

const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

/** Whose message it is. */
export interface SenderOwner {
  /** What was kept has gone out in part; `told`: all of it, and a write that answered false waits to hear it. */
  onSent(told: boolean): void
  /** The exchange wrote what is no message. */
  onUnsendable(): void
}

export abstract class MessageSender implements Sender {
  /** What we may send. */
  window: number
  waiting = false
  /** Nothing yet, its head, all of it; or it is no message but a tunnel's bytes. */
  state: 'none' | 'body' | 'whole' | 'tunnel' = 'none'
  /** The end of the stream has been sent. */
  ended = false
  /** Where the message comes from; null: it is ours, or comes from where there are no marks. */
  origin: Marked | null = null
  protected body: MessageBody | null = null
  /** Of its stream. */
  protected id: number
  readonly #outbound: Outbound
  readonly #owner: SenderOwner
  /** What no window has taken: one write's bytes, or copies of several. */
  #queue: Stash | null = null
  #held: Buffer | null = null
  /** What `held` was copied into; null: it is the writer's own. */
  #block: Buffer | null = null
  #heldStart = 0
  #heldEnd = 0
  /** The stream ends behind it, with these trailers. */
  #ending = false
  #trailers = ''
  /** The last write has been answered for. */
  #told = true

  constructor(id: number, window: number, outbound: Outbound, owner: SenderOwner) {
    this.id = id
    this.window = window
    this.#outbound = outbound
    this.#owner = owner
  }

  /** Sends the head at `base` and sets `state`, `body` and `ended`; answers where it ends, -1: it is none. */
  protected abstract head(buf: Buffer, base: number, end: number): number

  /** Names of its fields that no table may keep; null: none. */
  protected get unindexed(): ReadonlySet<string> | null {
    return this.origin === null ? null : this.origin.unindexed
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
      p = this.head(buf, p, end)
      if (p < 0) {
        this.#owner.onUnsendable()
        return true
      }
    }
    const { body } = this
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

  /** Sends content as far as the windows allow, and keeps the rest. */
  #send(buf: Buffer, start: number, end: number, owned: boolean): void {
    if (this.queued) {
      if (start === end) return // the framing of a chunk
      this.#copyHeld()
      this.#queue?.append(buf.subarray(start, end), end - start)
      return
    }
    const p = this.#emit(buf, start, end)
    if (p === end) return
    if (!owned) this.#block = takeBlock(end - p)
    this.#held = this.#block ?? buf
    this.#heldStart = owned ? p : 0
    this.#heldEnd = owned ? end : buf.copy(this.#held, 0, p, end)
  }

  #copyHeld(): void {
    if (this.#held === null) return
    this.#queue = new Stash(this.#held, this.#heldStart, this.#heldEnd)
    this.#letGo()
  }

  #letGo(): void {
    if (this.#block !== null) giveBackBlock(this.#block)
    this.#block = null
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
      outbound.data(this.id, buf, p, p + n, this.#ending && this.#trailers === '' && p + n === end)
      this.window -= n
      p += n
    }
    if (this.#ending && !this.ended) {
      this.ended = true
      if (this.#trailers !== '') outbound.trailers(this.id, keptTrailers(this.#trailers, null), this.unindexed)
      else if (start === end) outbound.data(this.id, buf, end, end, true)
    }
    return p
  }

  /** The peer takes so much more; false: more than there may be. */
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

  /** The tunnel's other side has said its last. */
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
