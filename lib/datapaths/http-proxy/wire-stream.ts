/** A wire as the stream that node:http reads from and writes to. */
import { Duplex } from 'node:stream'
import type { Wire, WireSink } from '../wire.ts'

/** Who owns the stream: hears of the connection what node:http would otherwise decide by itself. */
export interface StreamOwner {
  /** `bytes[0..length)` came and are about to be handed on. False: they are dropped. */
  onArrival(bytes: Buffer, length: number): boolean
  /** node:http has looked at all that came. */
  onRead(): void
  /** The peer will send no more. The stream does not end by it: `finish` does, when the owner wants it. */
  onPeerEnd(): void
  /** What was written is with the kernel. */
  onFlushed(): void
  /** node:http has written its last byte. */
  onLastWrite(): void
  /** The connection is gone: broken, or destroyed by node:http. Not after `detach`. */
  onGone(): void
}

const HIGH_WATER = 64 * 1024 // one read of a wire

export class WireStream extends Duplex implements WireSink {
  #wire: Wire | null
  readonly #owner: StreamOwner
  #written: (() => void) | null = null
  #wanted = false
  #held = false
  #lead: Buffer | null
  /** Bytes written so far. */
  sent = 0

  /** @param lead goes out in front of the first bytes */
  constructor(wire: Wire, owner: StreamOwner, lead: Buffer | null = null) {
    super({ allowHalfOpen: true, autoDestroy: false, emitClose: true, highWaterMark: HIGH_WATER })
    this.#wire = wire
    this.#owner = owner
    this.#lead = lead
    wire.sink = this
  }

  /** Something written is not with the kernel yet. */
  get pending(): boolean {
    return this.#wire?.pending === true || this.writableLength > 0
  }

  /** Bytes of it. */
  get queued(): number {
    return (this.#wire?.queued ?? 0) + this.writableLength
  }

  /** Nothing more is read until `hold(false)`. */
  hold(on: boolean): void {
    this.#held = on
    if (on) this.#wire?.pause()
    else if (this.#wanted) this.#wire?.resume()
  }

  /** Bytes that were read before this stream took the wire. */
  inject(bytes: Buffer): void {
    if (bytes.length > 0) this.push(bytes)
  }

  /** The peer's end reaches node:http. */
  finish(): void {
    if (this.#wire !== null) this.push(null)
  }

  /** Gives the wire up to another owner, or null when it is gone; the stream closes. */
  detach(): Wire | null {
    const wire = this.#wire
    this.#wire = null
    this.destroy()
    return wire
  }

  onBytes(bytes: Buffer, length: number): void {
    if (!this.#owner.onArrival(bytes, length) || this.#wire === null) return
    if (!this.push(Buffer.from(bytes.subarray(0, length)))) {
      this.#wanted = false
      this.#wire?.pause()
    }
    if (this.#wire !== null && this.readableLength === 0) this.#owner.onRead()
  }

  onEnd(): void {
    this.#owner.onPeerEnd()
  }

  onDrain(): void {
    const written = this.#written
    this.#written = null
    written?.()
    if (this.#wire !== null) this.#owner.onFlushed()
  }

  onClose(): void {
    this.#gone()
    this.destroy()
  }

  override _read(): void {
    this.#wanted = true
    if (!this.#held) this.#wire?.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#send(chunk, done)
  }

  override _writev(chunks: readonly { chunk: Buffer }[], done: () => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }

  #send(chunk: Buffer, done: () => void): void {
    const wire = this.#wire
    const lead = chunk.length > 0 ? this.#lead : null
    const bytes = lead === null ? chunk : Buffer.concat([lead, chunk])
    if (lead !== null) this.#lead = null
    this.sent += bytes.length
    if (wire === null || bytes.length === 0 || wire.writeOwned(bytes, 0, bytes.length)) done()
    else this.#written = done
  }

  override _final(done: () => void): void {
    done()
    this.#owner.onLastWrite()
  }

  /** Whatever the reason, it is told to the owner; node:http hears of a close, never of an error nobody listens for. */
  override _destroy(_error: Error | null, done: (error: null) => void): void {
    this.#wire?.destroy()
    this.#gone()
    done(null)
  }

  #gone(): void {
    if (this.#wire === null) return
    this.#wire = null
    this.#owner.onGone()
  }
}
