/** Reads the frames of a WebSocket client from bytes that come in any pieces, RFC 6455 §5. */

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export const CLOSE = { normal: 1000, protocol: 1002, noStatus: 1005, notUtf8: 1007, tooBig: 1009 } as const

export interface Frame {
  readonly opcode: number
  readonly fin: boolean
  /** Unmasked. */
  readonly payload: Buffer
}

/** Broken rules end the connection with a code of RFC 6455 §7.4.1. */
export class FrameError extends Error {
  readonly closeCode: number
  constructor(closeCode: number, message: string) {
    super(message)
    this.name = 'FrameError'
    this.closeCode = closeCode
  }
}

const MAX_HEAD_BYTES = 14 // 2, a 64-bit length, a 4-byte mask
const MAX_CONTROL_BYTES = 125

/** The payload is allocated once its length is known and checked, so small pieces cost no memory of their own. */
export class FrameReader {
  readonly #maxPayload: number
  readonly #head = Buffer.alloc(MAX_HEAD_BYTES)
  #headBytes = 0
  #payload: Buffer | null = null
  #payloadBytes = 0

  constructor(maxPayload: number) {
    this.#maxPayload = maxPayload
  }

  /** Yields each frame that `chunk` completes. Throws FrameError; the reader is of no use after that. */
  *read(chunk: Buffer): Generator<Frame> {
    let at = 0
    while (at < chunk.length || this.#payload !== null) {
      if (this.#payload === null) {
        this.#head[this.#headBytes++] = chunk[at++] ?? 0
        if (this.#headBytes === 2) checkFirstBytes(this.#head)
        if (this.#headBytes < this.#headLength()) continue
        this.#payload = Buffer.alloc(this.#payloadLength())
        this.#payloadBytes = 0
      }
      const copied = chunk.copy(this.#payload, this.#payloadBytes, at)
      at += copied
      this.#payloadBytes += copied
      if (this.#payloadBytes < this.#payload.length) return
      yield this.#take(this.#payload)
    }
  }

  #headLength(): number {
    if (this.#headBytes < 2) return 2
    const length = (this.#head[1] ?? 0) & 0x7f
    return length === 127 ? 14 : length === 126 ? 8 : 6
  }

  #payloadLength(): number {
    const short = (this.#head[1] ?? 0) & 0x7f
    const length =
      short < 126 ? BigInt(short) : short === 126 ? BigInt(this.#head.readUInt16BE(2)) : this.#head.readBigUInt64BE(2)
    if ((short === 126 && length < 126n) || (short === 127 && length < 65_536n))
      throw new FrameError(CLOSE.protocol, 'a length in more bytes than it needs')
    if (length > BigInt(this.#maxPayload)) throw new FrameError(CLOSE.tooBig, `above ${this.#maxPayload} bytes`)
    return Number(length)
  }

  #take(payload: Buffer): Frame {
    const mask = this.#head.subarray(this.#headBytes - 4, this.#headBytes)
    for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0)
    const first = this.#head[0] ?? 0
    this.#payload = null
    this.#headBytes = 0
    return { opcode: first & 0x0f, fin: (first & 0x80) !== 0, payload }
  }
}

function checkFirstBytes(head: Buffer): void {
  const first = head[0] ?? 0
  const second = head[1] ?? 0
  const opcode = first & 0x0f
  const control = opcode >= OPCODE.close
  if ((first & 0x70) !== 0) throw new FrameError(CLOSE.protocol, 'a reserved bit without an extension')
  if (!Object.values<number>(OPCODE).includes(opcode)) throw new FrameError(CLOSE.protocol, `opcode ${opcode}`)
  if ((second & 0x80) === 0) throw new FrameError(CLOSE.protocol, 'a frame of a client without a mask')
  if (control && (first & 0x80) === 0) throw new FrameError(CLOSE.protocol, 'a control frame in fragments')
  if (control && (second & 0x7f) > MAX_CONTROL_BYTES) throw new FrameError(CLOSE.protocol, 'a long control frame')
}

/** Frames of a server are not masked. */
export function encodeFrame(opcode: number, fin: boolean, payload: Buffer): Buffer {
  const n = payload.length
  const head = Buffer.alloc(n < 126 ? 2 : n < 65_536 ? 4 : 10)
  head[0] = (fin ? 0x80 : 0) | opcode
  head[1] = n < 126 ? n : n < 65_536 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(n, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(n), 2)
  return Buffer.concat([head, payload])
}
