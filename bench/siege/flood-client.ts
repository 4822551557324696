/**
 * Floods as fast as it is let to, connection after connection; `node flood-client.ts ADDRESS FLOOD SECONDS`. Prints how much it sent
 * over how many connections, how many of them were ended by the other side, and how many of those were told why (GOAWAY) or, of
 * handshakes, how many were answered.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { comeBehind } from '../priority.ts'
import { FLOODS, type Flood, GOAWAY } from './flood-frames.ts'

const BATCH = 64 // pieces in one write
const HANDSHAKE = 22 // type of a record of TLS
const HEAD_BYTES = 9

const [address = '', name = '', seconds = ''] = process.argv.slice(2)
const [host = '', port = ''] = address.split(':')
const end = performance.now() + Number(seconds) * 1000
const figures = { sent: 0, connections: 0, ended: 0, answered: 0 }

/** Calls `told` when a frame GOAWAY has come, however the frames are cut into pieces. */
function watchFrames(socket: Socket, told: () => void): void {
  let rest = Buffer.alloc(0)
  let skip = 0
  socket.on('data', (piece: Buffer) => {
    const bytes = Buffer.concat([rest, piece.subarray(Math.min(skip, piece.length))])
    skip = Math.max(0, skip - piece.length)
    let at = 0
    while (skip === 0 && at + HEAD_BYTES <= bytes.length) {
      if (bytes[at + 3] === GOAWAY) told()
      at += HEAD_BYTES + bytes.readUIntBE(at, 3)
      skip = Math.max(0, at - bytes.length)
    }
    rest = skip > 0 ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at))
  })
}

/** Resolves when the socket is closed; `ended` says whether the other side did it. */
function closed(socket: Socket): Promise<void> {
  let theirs = false
  socket.on('end', () => {
    theirs = true
  })
  socket.on('error', () => {
    theirs = true
  })
  const timer = setTimeout(() => socket.destroy(), Math.max(0, end - performance.now()))
  return new Promise((resolve) =>
    socket.once('close', () => {
      clearTimeout(timer)
      if (theirs) figures.ended++
      resolve()
    }),
  )
}

function open(): Socket {
  const socket = connect({ host, port: Number(port), noDelay: true })
  socket.once('connect', () => figures.connections++)
  return socket
}

async function pourFrames(start: Buffer, again: (i: number) => Buffer): Promise<void> {
  const socket = open()
  let i = 0
  let told = false
  const pour = (): void => {
    if (socket.destroyed || socket.writableEnded) return
    if (performance.now() > end) return void socket.destroy()
    const pieces: Buffer[] = []
    for (let n = 0; n < BATCH; n++) pieces.push(again(i++))
    figures.sent += BATCH
    if (socket.write(Buffer.concat(pieces))) setImmediate(pour)
    else socket.once('drain', pour)
  }
  watchFrames(socket, () => {
    if (!told) figures.answered++
    told = true
  })
  socket.once('connect', () => {
    socket.write(start)
    pour()
  })
  await closed(socket)
}

/** Begins a handshake, waits for the answer, which is the costly part, and leaves. */
async function shake(hello: Buffer, ready: Promise<unknown>): Promise<void> {
  const socket = open()
  const over = closed(socket)
  socket.on('data', ([type]: Buffer) => {
    if (type === HANDSHAKE) figures.answered++
    socket.resetAndDestroy()
  })
  await Promise.race([once(socket, 'connect'), over]).catch(() => undefined)
  await Promise.race([ready, over])
  if (!socket.destroyed) socket.write(hello)
  figures.sent++
  await over
}

async function pour({ start, again, atATime, together }: Flood): Promise<void> {
  const one = (): Promise<void> => (again === null ? shake(start, Promise.resolve()) : pourFrames(start, again))
  if (!together) {
    await Promise.all(
      Array.from({ length: atATime }, async () => {
        while (performance.now() < end) await one()
      }),
    )
    return
  }
  while (performance.now() < end) {
    const go = Promise.withResolvers<undefined>()
    const all = Array.from({ length: atATime }, () => shake(start, go.promise))
    setTimeout(() => go.resolve(undefined), 100)
    await Promise.all(all)
  }
}

const chosen = FLOODS[name]
if (chosen === undefined) throw new Error(`there is no flood ${name}`)
comeBehind(19) // what is measured beside it does not wait for its own core
await pour(chosen)
process.stdout.write(JSON.stringify(figures))
