/**
 * Floods as fast as it is let to, connection after connection; `node flood-client.ts ADDRESS FLOOD SECONDS`. Prints how much it sent
 * over how many connections, how many of them were ended by the other side, and how many of those were told why (GOAWAY) or, of
 * handshakes, how many were answered.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { comeBehind } from '../priority.ts'
import { FLOODS, type Flood, GOAWAY } from './flood-frames.ts'

const WRITE_BYTES = 64 * 1024 // of a write, and a write a turn: what the other side reads at once, and its core is left to others in between
const KEPT = 32 // batches that are the same for each connection: what most are ended within
const HANDSHAKE = 22 // type of a record of TLS
const HEAD_BYTES = 9

const [address = '', name = '', seconds = ''] = process.argv.slice(2)
const [host = '', port = ''] = address.split(':')
const end = performance.now() + Number(seconds) * 1000
const figures = { sent: 0, connections: 0, ended: 0, answered: 0 }

interface Batch {
  readonly bytes: Buffer
  readonly pieces: number
}

const kept = new Map<number, Batch>()

/** A write full of what comes again and again, from the `first` on. It costs us less than whom it is for. */
function batchFrom(first: number, again: (i: number) => Buffer): Batch {
  const known = kept.get(first)
  if (known !== undefined) return known
  const all: Buffer[] = []
  for (let bytes = 0; bytes < WRITE_BYTES; ) {
    const piece = again(first + all.length)
    bytes += piece.length
    all.push(piece)
  }
  const batch = { bytes: Buffer.concat(all), pieces: all.length }
  if (kept.size < KEPT) kept.set(first, batch)
  return batch
}

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
    const { bytes, pieces } = batchFrom(i, again)
    i += pieces
    figures.sent += pieces
    if (socket.write(bytes)) setImmediate(pour)
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
