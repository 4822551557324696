/** Compresses one body: bounded input, bounded output, and nothing held back while the source pauses. */
import type { Transform } from 'node:stream'
import {
  type BrotliOptions,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  type ZlibOptions,
  type ZstdOptions,
} from 'node:zlib'
import type { Encoding } from './negotiate.ts'

/** Levels by encoding. */
export type Levels = Readonly<Record<Encoding, number>>

const OUT_BYTES = 16 * 1024 // what a wire writes as text, in one call
const HIGH = 128 * 1024 // two reads: one is being compressed while the next one comes
const LOW = 64 * 1024
const WINDOW_BITS = 18 // 256 KiB: eight times gzip's, and the memory of an answer stays below 2 MiB
const TABLE_BITS = 16 // zstd's tables, 256 KiB each: higher levels would take dozens of MiB

/** node's zlib streams: of the types that it exports none tells of `flush`. */
type Codec = Transform & { flush(kind: number): void }

function codecOf(encoding: Encoding, level: number): Codec {
  if (encoding === 'gzip') {
    const options: ZlibOptions = { level, chunkSize: OUT_BYTES }
    return createGzip(options)
  }
  if (encoding === 'br') {
    const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = constants
    const params = { [BROTLI_PARAM_QUALITY]: level, [BROTLI_PARAM_LGWIN]: WINDOW_BITS }
    const options: BrotliOptions = { params, chunkSize: OUT_BYTES }
    return createBrotliCompress(options)
  }
  const { ZSTD_c_compressionLevel, ZSTD_c_windowLog, ZSTD_c_hashLog, ZSTD_c_chainLog } = constants
  const params = {
    [ZSTD_c_compressionLevel]: level,
    [ZSTD_c_windowLog]: WINDOW_BITS,
    [ZSTD_c_hashLog]: TABLE_BITS,
    [ZSTD_c_chainLog]: TABLE_BITS,
  }
  const options: ZstdOptions = { params, chunkSize: OUT_BYTES }
  return createZstdCompress(options)
}

/** Everything written so far can be read by the client then. */
const FLUSH: Levels = {
  gzip: constants.Z_SYNC_FLUSH,
  br: constants.BROTLI_OPERATION_FLUSH,
  zstd: constants.ZSTD_e_flush,
}

/** Who gets what a compressor makes. */
export interface PackedSink {
  /** At most 16 KiB. False: no more until `resume`. */
  onPacked(bytes: Buffer): boolean
  /** After `end`: that was all. */
  onPackedEnd(): void
  /** It takes more again, after a `write` that answered false. */
  onRoom(): void
  onPackFailed(): void
}

export class Compressor {
  readonly #codec: Codec
  readonly #flush: number
  readonly #sink: PackedSink
  readonly #closed: (bytesIn: number, bytesOut: number) => void
  #bytesIn = 0
  #bytesOut = 0
  /** Bytes that are not compressed yet. */
  #queued = 0
  #waiting = false
  #ended = false
  #over = false

  /** @param closed is told once how many bytes went in and out, when nothing more is held */
  constructor(
    encoding: Encoding,
    levels: Levels,
    sink: PackedSink,
    closed: (bytesIn: number, bytesOut: number) => void,
  ) {
    this.#sink = sink
    this.#closed = closed
    this.#flush = FLUSH[encoding]
    const codec = codecOf(encoding, levels[encoding])
    this.#codec = codec
    codec.on('data', (bytes: Buffer) => {
      if (this.#over) return
      this.#bytesOut += bytes.length
      if (!sink.onPacked(bytes)) codec.pause()
    })
    codec.on('end', () => {
      if (!this.#over) sink.onPackedEnd()
    })
    codec.on('error', () => {
      if (!this.#over) sink.onPackFailed()
    })
  }

  /** `bytes` must not change any more. False: no more until `onRoom`. */
  write(bytes: Buffer): boolean {
    if (this.#over) return true
    this.#bytesIn += bytes.length
    this.#queued += bytes.length
    this.#codec.write(bytes, () => this.#taken(bytes.length))
    this.#waiting = this.#queued >= HIGH
    return !this.#waiting
  }

  end(): void {
    this.#ended = true
    this.#codec.end()
  }

  /** The sink takes more. */
  resume(): void {
    if (!this.#over) this.#codec.resume()
  }

  /** Gives everything back, finished or not; the sink hears nothing more. */
  destroy(): void {
    if (this.#over) return
    this.#over = true
    this.#codec.destroy()
    this.#closed(this.#bytesIn, this.#bytesOut)
  }

  #taken(length: number): void {
    this.#queued -= length
    if (this.#over || this.#ended) return
    if (this.#waiting && this.#queued <= LOW) {
      this.#waiting = false
      this.#sink.onRoom()
    }
    // What waits at the source has its turn first: only a source that pauses is worth the bytes of a flush.
    if (this.#queued === 0) setImmediate(() => this.#pause())
  }

  #pause(): void {
    if (!this.#over && !this.#ended && this.#queued === 0) this.#codec.flush(this.#flush)
  }
}
