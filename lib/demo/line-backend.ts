/** A TCP server that greets with its name and echoes whole lines. */
import { createServer, type Socket } from 'node:net'
import type { DemoServer } from './backends.ts'

const MAX_LINE_BYTES = 64 * 1024 // one read; a longer line is echoed in pieces
const LF = 0x0a

export function createLineBackend(name: string): DemoServer {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.write(`${name} ready\n`)
    echoLines(socket)
  })
  return {
    server,
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** What came without its line end is echoed when the client ends its side. */
function echoLines(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const end = all.length > MAX_LINE_BYTES ? all.length : all.lastIndexOf(LF) + 1
    rest = all.subarray(end)
    if (end > 0 && !socket.write(all.subarray(0, end))) socket.pause()
  })
  socket.on('drain', () => socket.resume())
  socket.on('end', () => socket.end(rest))
}
