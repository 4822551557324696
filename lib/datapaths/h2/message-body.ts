/** Takes the framing of HTTP/1.1 off a message's body. */
import { ChunkDecoder } from '../http/chunked.ts'
import { ID, isTwin } from '../http/fields.ts'
import type { Head } from '../http/head.ts'

export class MessageBody {
  readonly #decoder: ChunkDecoder | null
  #left = 0
  dataStart = 0
  dataEnd = 0
  done: boolean

  /** @param bodiless whatever the head says, no body follows */
  constructor(head: Head, buf: Buffer, base: number, bodiless: boolean) {
    let chunked = false
    for (let i = 0; i < head.count && !bodiless; i++) {
      const id = head.id(i)
      if (id === ID['transfer-encoding']) chunked = true
      else if (id === ID['content-length'] && !isTwin(buf, base + head.nameStart(i), base + head.nameEnd(i)))
        this.#left = Number(buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i)))
    }
    this.#decoder = chunked ? new ChunkDecoder() : null
    this.done = !chunked && this.#left === 0
  }

  /** Finds the next piece of content; answers where it stopped. */
  step(buf: Buffer, p: number, end: number): number {
    const decoder = this.#decoder
    if (decoder !== null) {
      const stop = decoder.step(buf, p, end)
      this.dataStart = decoder.dataStart
      this.dataEnd = decoder.dataEnd
      this.done = decoder.done
      return stop
    }
    this.dataStart = p
    this.dataEnd = p + Math.min(this.#left, end - p)
    this.#left -= this.dataEnd - p
    this.done = this.#left === 0
    return this.done ? end : this.dataEnd
  }

  /** The lines behind the last chunk. */
  get trailers(): string {
    return this.#decoder?.trailers ?? ''
  }
}
