/** One direction of one message's body: how it is framed on both sides, what is left, and the writing of it. */
import type { Outbox } from '../outbox.ts'
import type { Wire } from '../wire.ts'
import { ChunkDecoder } from './chunked.ts'
import { keptTrailers } from './trailers.ts'

export type BodyKind = 'none' | 'length' | 'chunked' | 'close'

const TEXT_BYTES = 16 * 1024 // up to here a body goes out as text, joined to the head: one write (measured against two)
const BULK_BYTES = 64 * 1024 // more to come than one shared read: a buffer of its own pays
const SIZE_LINE = 20 // room for a chunk's size line in front of its data
const FRAME_BYTES = 64 // room around the data for size lines
const scratch = Buffer.allocUnsafeSlow(TEXT_BYTES + FRAME_BYTES)

/** Buffers for framing large reads anew, for the body that has none; it keeps its own until it is done. */
const SPARE_BYTES = BULK_BYTES + FRAME_BYTES
const spares: Buffer[] = []
const MOST_SPARES = 16

export class Body {
  readonly kind: BodyKind
  /** As its head says; 0 where that does not say. */
  readonly length: number
  /** Towards the other side it is chunked. */
  readonly chunkOut: boolean
  readonly #decoder: ChunkDecoder | null
  readonly #trailers: boolean
  readonly #nominated: ReadonlySet<string> | null
  readonly #limit: number
  #left: number
  #bulk = false
  #out: Buffer | null = null
  /** Bytes of content so far, without framing. */
  bytes = 0
  done: boolean
  /** What was wrong with its framing, or ''. Nothing of the bytes that were wrong has been written. */
  problem = ''
  tooLarge = false
  /** Of a body that is framed anew: what was last written, behind its prefix; null: too much to keep. */
  written: string | null = null
  /** The last write has not drained: the source must pause. */
  blocked = false

  /**
   * @param trailers they go on
   * @param limit most bytes of content, `tooLarge` then tells
   * @param nominated what Connection names: no such trailer goes on
   */
  constructor(
    kind: BodyKind,
    length: number,
    chunkOut: boolean,
    trailers: boolean,
    limit: number,
    nominated: ReadonlySet<string> | null = null,
  ) {
    this.#trailers = trailers
    this.#nominated = nominated
    this.#limit = limit
    this.kind = kind
    this.length = kind === 'length' ? length : 0
    this.chunkOut = chunkOut
    this.#decoder = kind === 'chunked' ? new ChunkDecoder() : null
    this.#left = kind === 'length' ? length : Number.MAX_SAFE_INTEGER
    this.done = kind === 'none' || (kind === 'length' && length === 0)
  }

  /**
   * Takes what belongs to the body from `buf[start..end)`, which `from` has just read, and writes it to `to` behind
   * `prefix` (text, or an outbox with the head in it). Answers where the body's bytes end; `done`, `blocked` and `problem` tell the rest.
   */
  relay(buf: Buffer, start: number, end: number, from: Wire, to: Wire, prefix: string | Outbox): number {
    if (this.#decoder !== null || this.chunkOut) return this.#reframe(buf, start, end, to, prefix.toString())
    const take = this.done ? 0 : Math.min(this.#left, end - start)
    const stop = start + take
    this.bytes += take
    this.#left -= take
    if (this.#left === 0) this.done = true
    let flowed = true
    if (take <= TEXT_BYTES) {
      if (typeof prefix !== 'string') {
        prefix.copy(buf, start, stop)
        flowed = to.writeOut(prefix)
      } else if (take > 0 || prefix !== '')
        flowed = to.writeText(take === 0 ? prefix : prefix + buf.latin1Slice(start, stop))
    } else {
      if (typeof prefix !== 'string') to.writeOut(prefix)
      else if (prefix !== '') to.writeText(prefix)
      flowed = from.owned ? to.writeOwned(buf, start, stop) : to.write(buf, start, stop)
    }
    if (this.#bulk === this.#left < BULK_BYTES) {
      this.#bulk = !this.#bulk
      from.bulk(this.#bulk, !to.borrowing)
    }
    this.blocked = !flowed
    return stop
  }

  /** The lines behind its last chunk, as they came. */
  get trailers(): string {
    return this.#decoder?.trailers ?? ''
  }

  /** Decodes and frames anew: all data of one read becomes one chunk. */
  #reframe(buf: Buffer, start: number, end: number, to: Wire, prefix: string): number {
    const small = end - start <= TEXT_BYTES
    const out = small ? scratch : this.#frame(end - start + FRAME_BYTES)
    let at = SIZE_LINE
    let p = start
    const decoder = this.#decoder
    while (p < end && !this.done && this.problem === '') {
      let dataStart = p
      let dataEnd = end
      if (decoder === null) {
        dataEnd = p + Math.min(this.#left, end - p)
        p = dataEnd
        this.#left -= dataEnd - dataStart
        this.done = this.#left === 0
      } else {
        p = decoder.step(buf, p, end)
        dataStart = decoder.dataStart
        dataEnd = decoder.dataEnd
        this.done = decoder.done
        this.problem = decoder.problem
      }
      if (dataEnd > dataStart) at += buf.copy(out, at, dataStart, dataEnd)
    }
    const length = at - SIZE_LINE
    this.bytes += length
    if (this.bytes > this.#limit) this.tooLarge = true
    if (this.tooLarge || this.problem !== '') return p
    let first = SIZE_LINE
    if (this.chunkOut) {
      if (length > 0) {
        const line = `${length.toString(16)}\r\n`
        first -= line.length
        out.latin1Write(line, first)
        at += out.latin1Write('\r\n', at)
      }
    }
    const last =
      this.chunkOut && this.done
        ? `0\r\n${this.#trailers ? keptTrailers(decoder?.trailers ?? '', this.#nominated) : ''}\r\n`
        : ''
    let flowed = true
    if (small) {
      const text = prefix + out.latin1Slice(first, at) + last
      this.written = text
      if (text !== '') flowed = to.writeText(text)
    } else {
      this.written = null
      if (prefix !== '') to.writeText(prefix)
      if (at > first) flowed = to.writeOwned(out, first, at)
      if (last !== '') flowed = to.writeText(last)
    }
    this.blocked = !flowed
    if (this.done) this.#giveBack(to)
    return p
  }

  /** A buffer to frame `size` bytes in: this body's own, because its source is paused while a write of it is pending. */
  #frame(size: number): Buffer {
    if (this.#out === null || this.#out.length < size) {
      this.#out =
        size <= SPARE_BYTES ? (spares.pop() ?? Buffer.allocUnsafeSlow(SPARE_BYTES)) : Buffer.allocUnsafeSlow(size)
    }
    return this.#out
  }

  /** The buffer goes to the next body, unless a write of it is pending. */
  #giveBack(to: Wire): void {
    if (this.#out?.length === SPARE_BYTES && !to.borrowing && spares.length < MOST_SPARES) spares.push(this.#out)
    this.#out = null
  }

  /** The source ended: right for a close-delimited body, which is then whole; wrong for any other. */
  ended(to: Wire): boolean {
    if (this.kind !== 'close') return false
    this.done = true
    if (this.chunkOut) to.writeText('0\r\n\r\n')
    return true
  }

  /** The source goes on to other work: back to the buffer that all share. */
  release(from: Wire): void {
    if (!this.#bulk) return
    this.#bulk = false
    from.bulk(false, false)
  }
}
