/** An answer on its way through a compressor: its head with other fields, its body decoded, compressed and framed anew. */
import type { Reason } from '../../board/index.ts'
import type { Compression, Offer } from '../compression/compression.ts'
import type { Compressor, PackedSink } from '../compression/compressor.ts'
import { trimmed } from '../trimmed.ts'
import type { Wire } from '../wire.ts'
import type { BodyKind } from './body.ts'
import { equals } from './bytes.ts'
import { ChunkDecoder } from './chunked.ts'
import { OTHER } from './fields.ts'
import type { RequestHead } from './request.ts'
import type { Requester } from './requester.ts'
import { packedTrailers } from './trailers.ts'

const HELD_CHARS = 16 * 1024 // with one piece more still a small write

/** What may be offered to the client that sent this head. */
export function offerTo(compression: Compression, head: RequestHead, buf: Buffer, base: number): Offer {
  return compression.offer({
    minor: head.minor,
    headOnly: head.method === 'HEAD',
    acceptEncoding: joined(head, buf, base, 'accept-encoding'),
    cacheControl: joined(head, buf, base, 'cache-control'),
    ifNoneMatch: joined(head, buf, base, 'if-none-match'),
  })
}

function joined(head: RequestHead, buf: Buffer, base: number, name: string): string {
  let text = ''
  for (let i = 0; i < head.count; i++) {
    if (head.id(i) !== OTHER || !equals(buf, base + head.nameStart(i), base + head.nameEnd(i), name)) continue
    text += `${text === '' ? '' : ','}${buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i))}`
  }
  return text
}

export interface PackedHead {
  readonly text: string
  /** What the body is to be compressed with; null: it goes on as it is. */
  readonly start: ((sink: PackedSink) => Compressor) | null
}

/** The head of an answer that compression changes; null: it goes on as it is. */
export function packedHead(offer: Offer, text: string, status: number, length: number): PackedHead | null {
  const [line = '', ...lines] = text.slice(0, -4).split('\r\n')
  const rows = lines.map((each) => {
    const colon = each.indexOf(':')
    return [each.slice(0, colon), trimmed(each.slice(colon + 1))] as const
  })
  const changed = offer.answer(status, rows, length)
  if (changed === null) return null
  const { encoding } = changed
  return {
    text: `${line}\r\n${changed.rows.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    start: encoding === null ? null : (sink) => offer.compression.start(encoding, sink),
  }
}

/** What of an exchange its answer moves. */
export interface PackingOwner {
  bytesOut: number
  progressed: boolean
  /** The answer is out; with a reason: it can't be whole. */
  onPackedEnd(reason: Reason | ''): void
}

interface PackedBody {
  readonly kind: BodyKind
  readonly length: number
  /** They go on. */
  readonly trailers: boolean
  /** What Connection names. */
  readonly nominated: ReadonlySet<string> | null
}

export class Packing implements PackedSink {
  readonly #source: Wire
  readonly #client: Requester
  readonly #owner: PackingOwner
  readonly #compressor: Compressor
  readonly #decoder: ChunkDecoder | null
  readonly #untilEnd: boolean
  readonly #trailers: boolean
  readonly #nominated: ReadonlySet<string> | null
  /** Text that is not written yet: the head, and what is to go out with it. */
  #held: string
  #left: number
  #whole = false
  /** What was wrong with the body's framing, or ''. */
  problem = ''

  constructor(
    head: string,
    start: (sink: PackedSink) => Compressor,
    body: PackedBody,
    source: Wire,
    client: Requester,
    owner: PackingOwner,
  ) {
    const { kind, length, trailers, nominated } = body
    this.#held = head
    this.#source = source
    this.#client = client
    this.#owner = owner
    this.#decoder = kind === 'chunked' ? new ChunkDecoder() : null
    this.#untilEnd = kind === 'close'
    this.#trailers = trailers
    this.#nominated = nominated
    this.#left = kind === 'length' ? length : Number.MAX_SAFE_INTEGER
    this.#compressor = start(this)
  }

  /** Takes what belongs to the body of `buf[start..end)`; answers where that ends. */
  take(buf: Buffer, start: number, end: number): number {
    if (this.#whole) return start
    const bytes = Buffer.allocUnsafe(end - start) // the compressor works on it while the next read overwrites `buf`
    let length = 0
    let p = start
    while (p < end && !this.#whole && this.problem === '') {
      let from = p
      let to = p + Math.min(this.#left, end - p)
      if (this.#decoder === null) {
        p = to
        this.#left -= to - from
        this.#whole = this.#left === 0
      } else {
        p = this.#decoder.step(buf, p, end)
        from = this.#decoder.dataStart
        to = this.#decoder.dataEnd
        this.#whole = this.#decoder.done
        this.problem = this.#decoder.problem
      }
      length += buf.copy(bytes, length, from, to)
    }
    if (this.problem !== '') return p
    this.#client.onProgress()
    if (length > 0 && !this.#compressor.write(bytes.subarray(0, length)) && !this.#whole) this.#source.pause()
    if (this.#whole) this.#compressor.end()
    else if (length === 0) this.#write('') // a head alone does not wait for its body
    return p
  }

  /** The backend is gone. True: the answer will be whole all the same. */
  ended(properly: boolean): boolean {
    if (!this.#whole && this.#untilEnd && properly) {
      this.#whole = true
      this.#compressor.end()
    }
    return this.#whole
  }

  /** The client takes more. */
  resume(): void {
    this.#compressor.resume()
  }

  destroy(): void {
    this.#compressor.destroy()
  }

  onPacked(bytes: Buffer): boolean {
    const text = `${bytes.length.toString(16)}\r\n${bytes.latin1Slice(0, bytes.length)}\r\n`
    if (!this.#whole || this.#held.length > HELD_CHARS) return this.#write(text)
    this.#held += text // the rest is on its way and waits for nobody: head, body and end in one write
    return true
  }

  onPackedEnd(): void {
    const trailers = this.#trailers ? packedTrailers(this.#decoder?.trailers ?? '', this.#nominated) : ''
    this.#write(`0\r\n${trailers}\r\n`)
    this.#owner.onPackedEnd('')
  }

  onRoom(): void {
    this.#source.resume()
  }

  onPackFailed(): void {
    this.#owner.onPackedEnd('internal')
  }

  #write(text: string): boolean {
    const out = this.#held + text
    this.#held = ''
    if (out === '') return true
    const owner = this.#owner
    owner.bytesOut += out.length
    owner.progressed = true
    const flowed = this.#client.wire.writeText(out)
    this.#client.onProgress()
    return flowed
  }
}
