/** The compression of one service in one data thread, and what it offers for one request. */
import type { ServiceCell } from '../../board/index.ts'
import type { ServiceConfig } from '../../config/index.ts'
import { compressedRows, compressible, names, type Row, type Rules, revalidatedRows, varying } from './answer.ts'
import { Compressor, type PackedSink } from './compressor.ts'
import { chooseEncoding, type Encoding } from './negotiate.ts'

type Options = Exclude<ServiceConfig['http']['compression'], false>

/** What a request says of it. The values of repeated fields are joined by commas; '': none. */
export interface Asked {
  readonly minor: number
  readonly headOnly: boolean
  readonly acceptEncoding: string
  readonly cacheControl: string
  readonly ifNoneMatch: string
}

/** The fields of an answer that goes on otherwise than it came. */
export interface Changed {
  readonly rows: readonly Row[]
  /** Null: the body goes on as it is. */
  readonly encoding: Encoding | null
}

export class Compression implements Rules {
  readonly #options: Options
  readonly #cell: ServiceCell
  readonly #exact: ReadonlySet<string>
  readonly #groups: readonly string[]
  readonly #suffixes: readonly (readonly [group: string, suffix: string])[]
  /** Bodies that are being compressed. */
  active = 0

  private constructor(options: Options, cell: ServiceCell) {
    const { types } = options
    this.#options = options
    this.#cell = cell
    this.#exact = new Set(types)
    this.#groups = types.filter((type) => type.endsWith('/*')).map((type) => type.slice(0, -1))
    this.#suffixes = types.flatMap((type) => {
      const star = type.indexOf('*+')
      return star < 0 ? [] : [[type.slice(0, star), type.slice(star + 1)] as const]
    })
  }

  static of(options: Options | false, cell: ServiceCell): Compression | null {
    return options === false ? null : new Compression(options, cell)
  }

  get minSize(): number {
    return this.#options.minSize
  }

  matches(type: string): boolean {
    if (type === 'multipart/byteranges') return false // parts of a body, which say themselves what they are
    if (this.#exact.has(type)) return true
    if (type === 'text/event-stream') return false // it lives for hours, and its compressor with it
    return (
      this.#groups.some((group) => type.startsWith(group)) ||
      this.#suffixes.some(([group, suffix]) => type.startsWith(group) && type.endsWith(suffix))
    )
  }

  get full(): boolean {
    return this.active >= this.#options.maxActive
  }

  offer(asked: Asked): Offer {
    const { minor, cacheControl, acceptEncoding } = asked
    // HTTP/1.0 knows no chunks, and its caches no Vary.
    const as = minor === 0 || names(cacheControl, 'no-transform')
    return new Offer(this, as ? null : chooseEncoding(acceptEncoding, this.#options.algorithms), asked)
  }

  start(encoding: Encoding, sink: PackedSink): Compressor {
    this.active++
    return new Compressor(encoding, this.#options.levels, sink, (bytesIn, bytesOut) => {
      this.active--
      this.#cell.compressed(bytesIn, bytesOut)
    })
  }
}

/** What the client of one request may get. */
export class Offer {
  readonly compression: Compression
  readonly #encoding: Encoding | null
  readonly #headOnly: boolean
  readonly #ifNoneMatch: string

  constructor(compression: Compression, encoding: Encoding | null, { headOnly, ifNoneMatch }: Asked) {
    this.compression = compression
    this.#encoding = encoding
    this.#headOnly = headOnly
    this.#ifNoneMatch = ifNoneMatch
  }

  /**
   * Null: an answer goes on as it is. One to HEAD has the fields that the answer to GET would have (RFC 9110 §9.3.2).
   * @param length of its body; -1: not known
   */
  answer(status: number, rows: readonly Row[], length: number): Changed | null {
    const { compression } = this
    if (status === 304) {
      const changed = this.#encoding === null ? null : revalidatedRows(rows, this.#ifNoneMatch)
      return changed === null ? null : { rows: changed, encoding: null }
    }
    if (!compressible(status, rows, length, compression)) return null
    const encoding = this.#encoding
    if (encoding === null || (compression.full && !this.#headOnly)) return { rows: varying(rows), encoding: null }
    return { rows: compressedRows(rows, encoding, !this.#headOnly), encoding }
  }
}
