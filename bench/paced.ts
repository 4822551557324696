/**
 * Sends requests at a constant rate; `node paced.ts ADDRESS PATH CONNECTIONS RATE SECONDS WARMUP [shared]`, prints figures as wrk.lua
 * does. `shared`: others need its core too, so it sleeps where it can.
 * A request's time counts from when it was due, not from when a connection was free for it: a stall weighs on all
 * requests that fell due meanwhile, as it would on users who don't wait for each other.
 */
import { connect, type Socket } from 'node:net'
import { setPriority } from 'node:os'
import { quantile } from './stats.ts'

const LATE_MS = 5000 // an answer later than this after the last request is an error
const RECONNECT_MS = 20

const [address = '', path = '', connections = '', perSecond = '', seconds = '', warmup = '', use] =
  process.argv.slice(2)
const SPIN_MS = use === 'shared' ? 1.3 : 2 // timers are no finer than 1 ms, and come some 0.1 ms late
const [host = '', port = ''] = address.split(':')
const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${address}\r\n\r\n`)
const rate = Number(perSecond)
const skipped = Math.round(rate * Number(warmup))
const total = skipped + Math.round(rate * Number(seconds))
const latencies = new Float64Array(total)
const errors = { connect: 0, read: 0, write: 0, timeout: 0, status: 0 }

let began = 0
let sent = 0
let ended = 0
let bytes = 0
const idle: Connection[] = []
const finished = Promise.withResolvers<undefined>()

const dueAt = (index: number): number => began + (index * 1000) / rate

const BUFFER = Buffer.allocUnsafe(64 * 1024) // every connection reads into it; nothing of it is kept
const OK = Buffer.from('HTTP/1.1 200')
const HEAD_END = Buffer.from('\r\n\r\n')
let bodyBytes = -1 // of an answer to `path`, once one has told

class Connection {
  #socket: Socket
  #connected = false
  /** The request that is being answered; -1: none. */
  #current = -1
  /** Bytes of the body that are still to come; -1 while the head is. */
  #left = -1

  constructor() {
    this.#socket = this.#open()
  }

  send(index: number): void {
    this.#current = index
    this.#socket.write(request)
  }

  #open(): Socket {
    const callback = (size: number): true => {
      this.#onData(BUFFER.subarray(0, size))
      return true
    }
    const socket = connect({ host, port: Number(port), noDelay: true, onread: { buffer: BUFFER, callback } })
    socket.on('connect', () => {
      this.#connected = true
      idle.push(this)
    })
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => this.#onClose())
    return socket
  }

  #onData(piece: Buffer): void {
    bytes += piece.length
    if (this.#left === -1) {
      const end = piece.indexOf(HEAD_END)
      if (end === -1) return void this.#socket.destroy() // a head in two pieces: none of those we measure does it
      if (piece.compare(OK, 0, OK.length, 0, OK.length) !== 0) return this.#refuse()
      if (bodyBytes === -1) bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(piece.latin1Slice(0, end + 2))?.[1])
      if (Number.isNaN(bodyBytes)) throw new Error(`an answer without Content-Length: ${piece.latin1Slice(0, end)}`)
      this.#left = bodyBytes - (piece.length - end - HEAD_END.length)
    } else this.#left -= piece.length
    if (this.#left > 0) return
    this.#left = -1
    this.#finish()
    idle.push(this)
    sendDue()
  }

  /** An answer that is an error ends its connection, so that its body needs no reading. */
  #refuse(): void {
    errors.status += 1
    this.#finish()
    this.#socket.destroy()
  }

  /** The current request has its answer, or will have none. */
  #finish(): void {
    if (this.#current === -1) return
    latencies[this.#current] = performance.now() - dueAt(this.#current)
    this.#current = -1
    if (++ended === total) finished.resolve(undefined)
  }

  #onClose(): void {
    if (!this.#connected) errors.connect += 1
    else if (this.#current !== -1) errors.read += 1
    const free = idle.indexOf(this)
    if (free !== -1) idle.splice(free, 1)
    this.#finish()
    this.#connected = false
    this.#left = -1
    setTimeout(() => {
      this.#socket = this.#open()
    }, RECONNECT_MS)
  }
}

/** Sends what is due while a connection is free. */
function sendDue(): void {
  const now = performance.now()
  while (sent < total && dueAt(sent) <= now) {
    const free = idle.shift()
    if (free === undefined) return
    free.send(sent++)
  }
}

function tick(): void {
  sendDue()
  if (sent === total) return
  const wait = dueAt(sent) - performance.now()
  if (wait < SPIN_MS) setImmediate(tick)
  else setTimeout(tick, wait - 1)
}

if (use !== 'shared') setPriority(5) // it looks at the clock without a pause: the backends on its core come first
for (let i = 0; i < Number(connections); i++) new Connection()
began = performance.now() + 100
tick()
setTimeout(() => finished.resolve(undefined), (total * 1000) / rate + LATE_MS).unref()
await finished.promise
errors.timeout = total - ended
const counted = [...latencies.subarray(skipped)].map((ms) => ms || LATE_MS)
const figures = {
  requests: counted.length - errors.timeout,
  micros: Number(seconds) * 1e6,
  bytes,
  p50Micros: Math.round(quantile(counted, 0.5) * 1000),
  p99Micros: Math.round(quantile(counted, 0.99) * 1000),
  errors,
}
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit())
