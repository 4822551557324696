/** An answer on its way through a compressor, from node:http to node:http. */
import type { IncomingMessage } from 'node:http'
import type { Row } from '../compression/answer.ts'
import type { Compression, Offer } from '../compression/compression.ts'
import type { Compressor, PackedSink } from '../compression/compressor.ts'
import type { Answer, RelayOwner } from './answer.ts'
import type { Field } from './fields.ts'
import { packedTrailers } from './forward.ts'
import type { RequestHead } from './request.ts'
import type { ResponseHead } from './response.ts'

/** What may be offered to the client that sent this head. */
export function offerTo(compression: Compression, { minor, method, fields }: RequestHead): Offer {
  return compression.offer({
    minor,
    headOnly: method === 'HEAD',
    acceptEncoding: joined(fields, 'accept-encoding'),
    cacheControl: joined(fields, 'cache-control'),
    ifNoneMatch: joined(fields, 'if-none-match'),
  })
}

const joined = (fields: readonly Field[], wanted: string): string =>
  fields
    .filter(({ name }) => name.toLowerCase() === wanted)
    .map(({ value }) => value)
    .join()

export interface PackingOwner extends RelayOwner {
  /** It can't go on, and that is our fault. */
  onPackFailed(): void
}

/** An answer of a backend. */
interface Source {
  readonly answer: IncomingMessage
  readonly head: ResponseHead
  /** Those that the client gets. */
  readonly fields: readonly string[]
  /** They go on. */
  readonly trailers: boolean
  /** It has no body. */
  readonly empty: boolean
}

/** Sends an answer on; what compresses it, or null where it goes on as it is. */
export function relayAnswer(source: Source, offer: Offer | null, res: Answer, owner: PackingOwner): Packing | null {
  const { answer, head, fields, trailers, empty } = source
  const changed = offer === null ? null : offer.answer(head.status, pairs(fields), head.framing.length)
  res.head(head.status, head.phrase, changed === null ? fields : changed.rows.flat())
  const encoding = changed?.encoding ?? null
  if (offer !== null && encoding !== null && !empty)
    return new Packing(answer, res, trailers, owner, (sink) => offer.compression.start(encoding, sink))
  res.relay(answer, trailers, owner)
  return null
}

function pairs(raw: readonly string[]): Row[] {
  const rows: Row[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) rows.push([raw[i] ?? '', raw[i + 1] ?? ''])
  return rows
}

export class Packing implements PackedSink {
  readonly #answer: IncomingMessage
  readonly #res: Answer
  readonly #trailers: boolean
  readonly #owner: PackingOwner
  readonly #compressor: Compressor

  /** @param trailers they go on */
  constructor(
    answer: IncomingMessage,
    res: Answer,
    trailers: boolean,
    owner: PackingOwner,
    start: (sink: PackedSink) => Compressor,
  ) {
    this.#answer = answer
    this.#res = res
    this.#trailers = trailers
    this.#owner = owner
    const compressor = start(this)
    this.#compressor = compressor
    answer.on('data', (bytes: Buffer) => {
      owner.onRelayed()
      if (!compressor.write(bytes)) answer.pause()
    })
    res.on('drain', () => compressor.resume())
    answer.on('close', () => {
      if (!answer.readableEnded) owner.onTruncated()
    })
    answer.on('end', () => {
      if (answer.complete) compressor.end()
      else owner.onTruncated()
    })
    res.write('', 'latin1') // the head, at once: flushHeaders would write it as UTF-8
  }

  onPacked(bytes: Buffer): boolean {
    this.#owner.onRelayed()
    return this.#res.destroyed || this.#res.write(bytes)
  }

  onPackedEnd(): void {
    const kept = packedTrailers(this.#answer)
    if (kept === null) return this.#owner.onTruncated()
    if (this.#trailers) this.#res.addTrailers(kept)
    this.#res.end()
  }

  onRoom(): void {
    this.#answer.resume()
  }

  onPackFailed(): void {
    this.#owner.onPackFailed()
  }

  destroy(): void {
    this.#compressor.destroy()
  }
}
