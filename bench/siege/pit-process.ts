/**
 * Takes floods and throws them away, `node pit-process.ts`: prints its address. It ends each connection as a balancer would (GOAWAY, or a
 * record of a handshake, and its end) and reads on, so that attackers do all that they do to a balancer.
 */
import { createServer } from 'node:net'
import { comeBehind } from '../priority.ts'
import { frame, GOAWAY, SETTINGS } from './flood-frames.ts'

const ENOUGH = 2048 // bytes that a balancer has read before it ends a connection
const HANDSHAKE = 22
const ENHANCE_YOUR_CALM = Buffer.from([0, 0, 0, 0, 0, 0, 0, 11])
const LAST_WORDS = Buffer.concat([frame(SETTINGS, 0, 0), frame(GOAWAY, 0, 0, ENHANCE_YOUR_CALM)])
const SERVER_HELLO = Buffer.from([HANDSHAKE, 3, 3, 0, 0])

const server = createServer({ allowHalfOpen: true }, (socket) => {
  let bytes = 0
  socket.on('data', (piece) => {
    if (bytes === 0 && piece[0] === HANDSHAKE) socket.end(SERVER_HELLO)
    bytes += piece.length
    if (bytes > ENOUGH && !socket.writableEnded) socket.end(LAST_WORDS)
  })
  socket.on('end', () => socket.destroy())
  socket.on('error', () => undefined) // 'close' follows
})
comeBehind(19) // of the balancer, whose core it is on
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.stdout.write(`127.0.0.1:${address.port}\n`)
})
