/** Handshake messages out of TLS records that are still in the clear, however they are split over both. */

const RECORD_HEADER = 5
const MESSAGE_HEADER = 4
const HANDSHAKE = 22
/** A fatal alert `unrecognized_name` in a record of its own (RFC 6066 §3), for a client that has not heard of us yet. */
export const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112])
const MAX_RECORD = 16 * 1024

/** A handshake message: its type and its body. */
export interface HandshakeMessage {
  readonly type: number
  readonly body: Buffer
}

/**
 * Reads one side's stream. Its end is reached where something else than the handshake begins: then the rest is encrypted,
 * or it never was TLS.
 */
export class HandshakeReader {
  readonly #most: number
  #records: Buffer = Buffer.alloc(0)
  #messages: Buffer = Buffer.alloc(0)
  #read = 0
  ended = false

  /** @param most bytes that are looked at */
  constructor(most: number) {
    this.#most = most
  }

  push(bytes: Buffer): void {
    if (this.ended) return
    this.#read += bytes.length
    this.#records = this.#records.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#records, bytes])
    while (!this.ended && this.#record());
    if (this.#read > this.#most) this.ended = true
  }

  #record(): boolean {
    const { length } = this.#records
    if (length === 0) return false
    if (this.#records[0] !== HANDSHAKE || (length > 1 && this.#records[1] !== 3)) {
      this.ended = true
      return false
    }
    if (length < RECORD_HEADER) return false
    const size = this.#records.readUInt16BE(3)
    if (size === 0 || size > MAX_RECORD) {
      this.ended = true
      return false
    }
    if (length < RECORD_HEADER + size) return false
    const piece = this.#records.subarray(RECORD_HEADER, RECORD_HEADER + size)
    this.#messages = this.#messages.length === 0 ? piece : Buffer.concat([this.#messages, piece])
    this.#records = this.#records.subarray(RECORD_HEADER + size)
    return true
  }

  /** The next whole message; null: there is none yet. */
  next(): HandshakeMessage | null {
    const { length } = this.#messages
    if (length < MESSAGE_HEADER) return null
    const size = this.#messages.readUIntBE(1, 3)
    if (size > this.#most) {
      this.ended = true
      return null
    }
    if (length < MESSAGE_HEADER + size) return null
    const message = {
      type: this.#messages[0] as number,
      body: this.#messages.subarray(MESSAGE_HEADER, MESSAGE_HEADER + size),
    }
    this.#messages = this.#messages.subarray(MESSAGE_HEADER + size)
    return message
  }
}

/** Reads fields one after the other; past the end everything is empty and `broken` says so. */
export class Cursor {
  readonly #bytes: Buffer
  #at = 0
  broken = false

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  number(size: 1 | 2): number {
    const bytes = this.bytes(size)
    return bytes.length === size ? bytes.readUIntBE(0, size) : 0
  }

  bytes(size: number): Buffer {
    if (size > this.left) {
      this.broken = true
      this.#at = this.#bytes.length
      return this.#bytes.subarray(0, 0)
    }
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  /** What follows its own length. */
  vector(lengthSize: 1 | 2): Buffer {
    return this.bytes(this.number(lengthSize))
  }
}
