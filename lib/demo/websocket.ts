/** Echoes a WebSocket client's messages, frame by frame, on the socket of an upgraded request. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { TextDecoder } from 'node:util'
import { CLOSE, encodeFrame, type Frame, FrameError, FrameReader, OPCODE } from './frames.ts'
import { answerHandshake } from './handshake.ts'

const MAX_MESSAGE_BYTES = 1024 * 1024
const CLOSE_WAIT_MS = 2000 // for a client to close its side after our Close frame

export function echoWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer, name: string): void {
  socket.on('error', () => socket.destroy())
  const handshake = answerHandshake(request, name)
  if (!handshake.accepted) {
    socket.end(handshake.head)
    endLater(socket)
    return
  }
  socket.write(handshake.head)
  const reader = new FrameReader(MAX_MESSAGE_BYTES)
  const echo = new Echo()
  let closing = false
  const close = (frame: Buffer) => {
    closing = true
    socket.end(frame)
    endLater(socket)
  }
  const onBytes = (chunk: Buffer) => {
    if (closing) return
    try {
      for (const frame of reader.read(chunk)) {
        const reply = echo.reply(frame)
        if (frame.opcode === OPCODE.close) return close(reply ?? Buffer.alloc(0))
        if (reply !== null && !socket.write(reply)) socket.pause()
      }
    } catch (error) {
      close(closeFrame(error instanceof FrameError ? error.closeCode : CLOSE.protocol))
    }
  }
  socket.on('drain', () => socket.resume())
  socket.on('end', () => socket.end())
  if (head.length > 0) onBytes(head)
  socket.on('data', onBytes)
}

/** Keeps reading what the client still sends, so that our last bytes are not lost to a reset, but not for ever. */
function endLater(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), CLOSE_WAIT_MS)
  socket.on('close', () => clearTimeout(timer))
  socket.resume()
}

function closeFrame(code: number): Buffer {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return encodeFrame(OPCODE.close, true, payload)
}

/** The rules that span frames: fragments, the size of a message, text that is UTF-8. */
class Echo {
  #fragmented = false
  #messageBytes = 0
  #text: TextDecoder | null = null

  /** The frame to send back, or null. Throws FrameError. */
  reply(frame: Frame): Buffer | null {
    switch (frame.opcode) {
      case OPCODE.close:
        return closeReply(frame.payload)
      case OPCODE.ping:
        return encodeFrame(OPCODE.pong, true, frame.payload)
      case OPCODE.pong:
        return null
      default:
        this.#check(frame)
        return encodeFrame(frame.opcode, frame.fin, frame.payload)
    }
  }

  #check({ opcode, fin, payload }: Frame): void {
    if ((opcode === OPCODE.continuation) !== this.#fragmented)
      throw new FrameError(CLOSE.protocol, 'a continuation of nothing, or a new message inside another')
    if (!this.#fragmented) {
      this.#messageBytes = 0
      this.#text = opcode === OPCODE.text ? new TextDecoder('utf-8', { fatal: true }) : null
    }
    this.#fragmented = !fin
    this.#messageBytes += payload.length
    if (this.#messageBytes > MAX_MESSAGE_BYTES) throw new FrameError(CLOSE.tooBig, 'a message above 1 MiB')
    try {
      this.#text?.decode(payload, { stream: !fin })
    } catch {
      throw new FrameError(CLOSE.notUtf8, 'text that is not UTF-8')
    }
  }
}

function closeReply(payload: Buffer): Buffer {
  if (payload.length === 0) return encodeFrame(OPCODE.close, true, payload)
  const code = payload.length === 1 ? 0 : payload.readUInt16BE(0)
  if (!isCloseCode(code)) throw new FrameError(CLOSE.protocol, 'a code that no endpoint may send')
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(payload.subarray(2))
  } catch {
    throw new FrameError(CLOSE.notUtf8, 'a reason that is not UTF-8')
  }
  return closeFrame(code)
}

/** RFC 6455 §7.4 and the registry: 1004 to 1006 and 1015 never travel. */
const isCloseCode = (code: number): boolean =>
  (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999)
