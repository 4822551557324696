/** Every echo of a demo backend stops reading from a client that does not read, and loses nothing. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startDemoBackends } from '../../lib/demo/index.ts'

const PIECE = Buffer.alloc(256 * 1024, 'a line of thirty-one characters\n')
const PIECES = 256 // 64 MiB: well above what the kernel buffers on both legs together
const STILL_MS = 300 // without progress for so long, the sender counts as held

const demo = await startDemoBackends({ ports: [0] })
t.teardown(() => demo.close())
const [address] = demo.addresses

const mask = Buffer.from([0, 0, 0, 0]) // a mask of zeros leaves the payload as it is
const length = Buffer.from([0, 0, 0, 0, 0, 4, 0, 0])
const frame = (second: number, tail: Buffer) => Buffer.concat([Buffer.from([0x82, second]), length, tail, PIECE])
const upgrade =
  'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
const post = `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${PIECE.length * PIECES}\r\n\r\n`

const ECHOES = [
  { what: 'lines', port: address?.tcp.port, hello: '', headEnd: '\n', sent: PIECE, back: PIECE },
  {
    ...{ what: 'WebSocket messages', port: address?.http.port, hello: upgrade, headEnd: '\r\n\r\n' },
    ...{ sent: frame(0xff, mask), back: frame(0x7f, Buffer.alloc(0)) },
  },
  { what: 'a body', port: address?.http.port, hello: post, headEnd: '\r\n\r\n', sent: PIECE, back: PIECE },
]

/** Sends a piece whenever the one before has left, and tells how many have. */
function sender(socket: Socket, piece: Buffer) {
  const progress = { left: 0 }
  const next = () => {
    if (progress.left < PIECES)
      socket.write(piece, (error) => {
        if (error) return
        progress.left++
        next()
      })
  }
  next()
  return progress
}

async function stillness(progress: { left: number }): Promise<void> {
  let last = -1
  while (last !== progress.left && progress.left < PIECES) {
    last = progress.left
    await sleep(STILL_MS)
  }
}

for (const { what, port, hello, headEnd, sent, back } of ECHOES) {
  t.test(`the echo of ${what} holds a client that does not read, and goes on when it does`, async (t) => {
    const socket = connect({ port: port ?? 0, host: '127.0.0.1' })
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(hello)
    const progress = sender(socket, sent)
    await stillness(progress)
    t.ok(progress.left < PIECES, `held after ${progress.left} of ${PIECES} pieces`)

    const expected = createHash('sha1')
    for (let i = 0; i < PIECES; i++) expected.update(back)
    const hash = createHash('sha1')
    let head = Buffer.alloc(0)
    let left = back.length * PIECES
    let inHead = true
    const signal = AbortSignal.timeout(20_000)
    socket.on('data', (chunk: Buffer) => {
      let body = chunk
      if (inHead) {
        head = Buffer.concat([head, chunk])
        const end = head.indexOf(headEnd)
        if (end === -1) return
        inHead = false
        body = head.subarray(end + headEnd.length)
      }
      hash.update(body)
      left -= body.length
      if (left <= 0) socket.emit('whole')
    })
    await once(socket, 'whole', { signal })
    t.equal(left, 0)
    t.equal(hash.digest('hex'), expected.digest('hex'))
  })
}
