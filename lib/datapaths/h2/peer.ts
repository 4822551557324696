/** What the peer's SETTINGS say (RFC 9113 §6.5). */
import { FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR } from './errors.ts'
import { readUint32 } from './frames.ts'

export const HEADER_TABLE_SIZE = 1
export const ENABLE_PUSH = 2
export const MAX_CONCURRENT_STREAMS = 3
export const INITIAL_WINDOW_SIZE = 4
export const MAX_FRAME_SIZE = 5
export const MAX_HEADER_LIST_SIZE = 6
export const ENABLE_CONNECT_PROTOCOL = 8

export const MAX_WINDOW = 2 ** 31 - 1
/** Of every connection, and of streams until SETTINGS say otherwise (RFC 9113 §6.9.2). */
export const FIRST_WINDOW = 65_535
/** Of every connection's header tables until then (RFC 9113 §6.5.2). */
export const FIRST_TABLE = 4096
const LEAST_FRAME = 16_384
const MOST_FRAME = 2 ** 24 - 1

export class Peer {
  initialWindow = FIRST_WINDOW
  headerTable = FIRST_TABLE
  /** Streams that we may have open at once. */
  maxStreams = Number.POSITIVE_INFINITY
  /** It takes extended CONNECT (RFC 8441). */
  connectProtocol = false

  /** Reads the payload of a SETTINGS frame; answers what is wrong with it, or NO_ERROR. */
  read(buf: Buffer, start: number, end: number): number {
    for (let p = start; p < end; p += 6) {
      const error = this.#set(((buf[p] as number) << 8) | (buf[p + 1] as number), readUint32(buf, p + 2))
      if (error !== NO_ERROR) return error
    }
    return NO_ERROR
  }

  #set(id: number, value: number): number {
    switch (id) {
      case HEADER_TABLE_SIZE:
        this.headerTable = value
        return NO_ERROR
      case ENABLE_PUSH:
        return value > 1 ? PROTOCOL_ERROR : NO_ERROR
      case MAX_CONCURRENT_STREAMS:
        this.maxStreams = value
        return NO_ERROR
      case ENABLE_CONNECT_PROTOCOL:
        this.connectProtocol = value === 1
        return value > 1 ? PROTOCOL_ERROR : NO_ERROR
      case INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW) return FLOW_CONTROL_ERROR
        this.initialWindow = value
        return NO_ERROR
      case MAX_FRAME_SIZE:
        return value < LEAST_FRAME || value > MOST_FRAME ? PROTOCOL_ERROR : NO_ERROR
      default:
        return NO_ERROR
    }
  }
}
