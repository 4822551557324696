/** The incremental decoder of chunked bodies (RFC 9112 §7.1): pure, strict, resumable at any byte. */
import { CLASS, COLON, CR, LF, TOKEN, VALUE } from './bytes.ts'

const MAX_SIZE_DIGITS = 16
const MAX_EXTENSION = 256 // bytes a chunk
const MAX_EXTENSIONS = 16 * 1024 // bytes a body
const MAX_TRAILERS = 16 * 1024

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILER_START = 6
const TRAILER_NAME = 7
const TRAILER_VALUE = 8
const TRAILER_LF = 9
const END_LF = 10
const DONE = 11
const FAILED = 12

export class ChunkDecoder {
  /** Data that the last step found, `buf[dataStart..dataEnd)`; empty where they are equal. */
  dataStart = 0
  dataEnd = 0
  /** What was wrong, or ''. */
  problem = ''
  /** The trailer lines so far, each with its CRLF. */
  trailers = ''
  #state = SIZE
  #digits = 0
  #left = 0
  #extension = 0
  #extensions = 0
  #nameBytes = 0

  get done(): boolean {
    return this.#state === DONE
  }

  #refuse(problem: string, at: number): number {
    this.problem = problem
    this.#state = FAILED
    return at
  }

  #trailer(byte: number): boolean {
    this.trailers += String.fromCharCode(byte)
    return this.trailers.length <= MAX_TRAILERS
  }

  /** Consumes up to the end of the next run of data, of the body or of the input; answers where it stopped. */
  step(buf: Buffer, start: number, end: number): number {
    this.dataStart = start
    this.dataEnd = start
    let p = start
    while (p < end) {
      const byte = buf[p] as number
      switch (this.#state) {
        case SIZE: {
          const digit = hex(byte)
          if (digit >= 0) {
            if (++this.#digits > MAX_SIZE_DIGITS) return this.#refuse('a chunk size is too long', p)
            this.#left = this.#left * 16 + digit
            if (this.#left > Number.MAX_SAFE_INTEGER) return this.#refuse('a chunk size is too large', p)
          } else if (this.#digits === 0) return this.#refuse('a chunk size is not a hexadecimal number', p)
          else if (byte === CR) this.#state = SIZE_LF
          else if (byte === 59) this.#state = EXTENSION
          else return this.#refuse('a chunk size is not a hexadecimal number', p)
          p++
          break
        }
        case EXTENSION:
          if (byte === CR) this.#state = SIZE_LF
          else if (((CLASS[byte] as number) & VALUE) === 0)
            return this.#refuse('a chunk extension has a control character', p)
          else if (++this.#extension > MAX_EXTENSION || ++this.#extensions > MAX_EXTENSIONS)
            return this.#refuse('chunk extensions are too long', p)
          p++
          break
        case SIZE_LF:
          if (byte !== LF) return this.#refuse('a chunk size line does not end in CRLF', p)
          this.#state = this.#left === 0 ? TRAILER_START : DATA
          this.#digits = 0
          this.#extension = 0
          p++
          break
        case DATA: {
          const take = Math.min(this.#left, end - p)
          this.dataStart = p
          this.dataEnd = p + take
          this.#left -= take
          if (this.#left === 0) this.#state = DATA_CR
          return p + take
        }
        case DATA_CR:
          if (byte !== CR) return this.#refuse('a chunk is longer than its size', p)
          this.#state = DATA_LF
          p++
          break
        case DATA_LF:
          if (byte !== LF) return this.#refuse('a chunk does not end in CRLF', p)
          this.#state = SIZE
          p++
          break
        case TRAILER_START:
          if (byte === CR) this.#state = END_LF
          else if (((CLASS[byte] as number) & TOKEN) === 0) return this.#refuse('a trailer is malformed', p)
          else {
            this.#nameBytes = 0
            this.#state = TRAILER_NAME
            break // the byte is the name's first
          }
          p++
          break
        case TRAILER_NAME:
          if (byte === COLON && this.#nameBytes > 0) this.#state = TRAILER_VALUE
          else if (((CLASS[byte] as number) & TOKEN) === 0) return this.#refuse('a trailer is malformed', p)
          this.#nameBytes++
          if (!this.#trailer(byte)) return this.#refuse('trailers are too long', p)
          p++
          break
        case TRAILER_VALUE:
          if (byte === CR) this.#state = TRAILER_LF
          else if (((CLASS[byte] as number) & VALUE) === 0) return this.#refuse('a trailer has a control character', p)
          if (!this.#trailer(byte)) return this.#refuse('trailers are too long', p)
          p++
          break
        case TRAILER_LF:
          if (byte !== LF) return this.#refuse('a trailer does not end in CRLF', p)
          this.trailers += '\n'
          this.#state = TRAILER_START
          p++
          break
        case END_LF:
          if (byte !== LF) return this.#refuse('the body does not end in CRLF', p)
          this.#state = DONE
          return p + 1
        default:
          return p
      }
    }
    return p
  }
}

function hex(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 0x20
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
