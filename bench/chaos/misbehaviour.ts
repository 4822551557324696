/** The ways in which a backend breaks HTTP, each done to a socket whose request has come whole. */
import type { Socket } from 'node:net'

const STORM_MS = 1
const STORM_LINES = 50
const FIELD = `X-Endless: ${'x'.repeat(1000)}\r\n`

export type Misbehaviour = (socket: Socket, body: Buffer) => void

const headOf = (length: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`

/** Writes `text` as long as somebody takes it. */
function pour(socket: Socket, text: string): void {
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer)
    else if (!socket.writableNeedDrain) socket.write(text)
  }, STORM_MS)
  socket.once('close', () => clearInterval(timer))
}

const half = (body: Buffer): Buffer => body.subarray(0, body.length >> 1)

export const MISBEHAVIOURS = {
  'reset-in-body': (socket, body) => {
    socket.write(headOf(body.length + 1))
    socket.write(half(body), () => socket.resetAndDestroy())
  },
  'end-before-head': (socket) => void socket.end(),
  'end-in-head': (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
  // The other direction stays open: a reader that waits for it waits for ever.
  'half-close-in-body': (socket, body) => {
    socket.write(headOf(body.length + 1))
    socket.end(half(body))
  },
  'cut-chunks': (socket, body) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    socket.write(`${(body.length + 1).toString(16)}\r\n`)
    socket.end(body)
  },
  stall: () => undefined,
  'stall-in-body': (socket, body) => {
    socket.write(headOf(body.length + 1))
    socket.write(body)
  },
  'garbage-status': (socket, body) => {
    socket.write(`HTTP/1.1 2OO OK\r\nContent-Length: ${body.length}\r\n\r\n`)
    socket.write(body)
  },
  'endless-head': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    pour(socket, FIELD.repeat(4))
  },
  'interim-storm': (socket) => pour(socket, 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(STORM_LINES)),
  'too-short': (socket, body) => void socket.end(Buffer.concat([Buffer.from(headOf(body.length + 100)), body])),
  // What is behind the answer must not be the next client's.
  'too-long': (socket, body) =>
    void socket.write(Buffer.concat([Buffer.from(headOf(body.length)), body, Buffer.from(`${headOf(4)}evil`)])),
} satisfies Record<string, Misbehaviour>

export type MisbehaviourName = keyof typeof MISBEHAVIOURS
export const MISBEHAVIOUR_NAMES = Object.keys(MISBEHAVIOURS) as readonly MisbehaviourName[]
