/**
 * A wire on the native handle of a TLS socket: node's own socket makes the handshake and ends the connection, what flows in between
 * goes past its streams (docs/performance.md). Where the runtime has no such handle, wires are plain sockets (socket-wire.ts).
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { getSystemErrorName } from 'node:util'
import {
  codeOf,
  FAULT,
  fault,
  formatAddress,
  type TcpHandles,
  type TlsHandle,
  tcpHandles,
  UV_EOF,
  type WriteRequest,
} from '../core/index.ts'
import { giveBackBlock, takeBlock } from './blocks.ts'
import { type Outbox, readBuffer } from './outbox.ts'
import { SocketWire } from './socket-wire.ts'
import { type Below, handlesBelow, socketsBelow } from './tls-below.ts'
import { freeUntouched, SMALL_WRITE } from './untouched.ts'
import { idleSink, type Wire, type WireSink } from './wire.ts'

const HIGH_WATER = 64 * 1024 // beyond so much the writer is asked to wait
const JOIN_BYTES = 16 * 1024 // what waits is joined to records of so much; larger pieces go as they are
const joined = Buffer.allocUnsafeSlow(JOIN_BYTES)

const state = tcpHandles?.stream.streamBaseState ?? new Int32Array(8)
const READ = tcpHandles?.stream.kReadBytesOrError ?? 0

interface WireHandle extends TlsHandle {
  wire: TlsWire | null
}
interface WireWrite extends WriteRequest {
  wire: TlsWire | null
}

/** Something to be written when the write under way is over. */
interface Piece {
  readonly bytes: Uint8Array
  /** The memory that it was copied into; null: it lies in the writer's. */
  readonly block: Buffer | null
}

function onRead(this: WireHandle): undefined {
  const wire = this.wire
  try {
    wire?.read(state[READ] as number)
  } catch (error) {
    wire?.fault(error)
  }
}

function onError(this: WireHandle, error: Error): void {
  this.wire?.fail(codeOf(error))
}

function onWritten(this: WireWrite, status: number): void {
  const wire = this.wire
  this.wire = null
  try {
    wire?.written(status)
  } catch (error) {
    wire?.fault(error)
  }
}

/**
 * The wire of a backend's TLS socket whose handshake has just ended, in the very call that tells so: nothing has been read since.
 */
export function secureWire(socket: TLSSocket, raw: Socket): Wire {
  const below = socketsBelow(socket, raw)
  if (below === null) return new SocketWire(socket, raw)
  return new TlsWire(below, raw.remoteAddress ?? '', raw.remotePort ?? 0, raw.localPort ?? 0, '')
}

/** The same of a client. The sockets are not to be used any more. */
export function clientWire(socket: TLSSocket, raw: Socket, clientFields: string): Wire {
  const { remoteAddress = '', remotePort = 0, localPort = 0 } = raw
  const below = handlesBelow(socket, raw) ?? socketsBelow(socket, raw)
  if (below === null) return new SocketWire(socket, raw, clientFields)
  return new TlsWire(below, remoteAddress, remotePort, localPort, clientFields)
}

function copyOf(bytes: Uint8Array): Piece {
  const block = takeBlock(bytes.length)
  block.set(bytes)
  return { bytes: block.subarray(0, bytes.length), block }
}

function giveBackAll(pieces: readonly Piece[]): void {
  for (const { block } of pieces) if (block !== null) giveBackBlock(block)
}

class TlsWire implements Wire {
  sink: WireSink = idleSink
  readonly owned = false // OpenSSL gives record after record, whoever still reads the one before
  readonly settled = false // TLS has an end of its own to send
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localPort: number
  readonly clientFields: string
  readonly #below: Below
  #handle: WireHandle | null
  #paused = true
  /** What came while nobody read: the rest of what the kernel gave, at most a record or two. */
  #held: Buffer[] = []
  /** The peer's end has come and the sink has not heard of it. */
  #ended = false
  /** Bytes of the write under way; 0: there is none. OpenSSL has them already, and the handle takes no other until they are gone. */
  #inflight = 0
  #sending = false
  /** Bytes of `#waiting`. */
  #queued = 0
  #waiting: Piece[] = []
  #ending = false
  #shutting = false
  /** Node has its large buffer for what is to be sent. */
  #grown = false

  constructor(below: Below, remoteAddress: string, remotePort: number, localPort: number, clientFields: string) {
    const handle = below.handle as WireHandle
    this.#below = below
    this.#handle = handle
    this.remoteAddress = remoteAddress
    this.remotePort = remotePort
    this.localPort = localPort
    this.clientFields = clientFields
    below.onFailure((code) => this.fail(code))
    handle.wire = this
    handle.onread = onRead
    handle.onerror = onError
    handle.useUserBuffer(readBuffer)
    handle.readStop()
  }

  get localAddress(): string {
    return this.#below.localAddress
  }

  get serverName(): string {
    return this.#below.serverName
  }

  get protocol(): string {
    return this.#below.protocol
  }

  covers(authority: string): boolean {
    return this.#below.covers(authority)
  }

  get pending(): boolean {
    return this.#inflight > 0
  }

  get queued(): number {
    return this.#inflight + this.#queued
  }

  /** OpenSSL has read what is in flight. */
  get borrowing(): boolean {
    return this.#waiting.length > 0
  }

  /** Called for each record that was read, and for the end. */
  read(count: number): void {
    if (count > 0) {
      if (this.#paused || this.#held.length > 0) this.#held.push(Buffer.from(readBuffer.subarray(0, count)))
      else this.sink.onBytes(readBuffer, count)
    } else if (count === UV_EOF) {
      if (!this.#shutting && this.#below.wasReset) return this.fail('ECONNRESET')
      this.#ended = true
      this.#tellHeld()
    } else if (count < 0) this.fail(getSystemErrorName(count))
  }

  pause(): void {
    this.#paused = true
    this.#handle?.readStop()
  }

  resume(): void {
    if (this.#handle === null) return
    this.#paused = false
    this.#handle.readStart()
    if (this.#held.length > 0 || this.#ended) process.nextTick(this.#tellHeld)
  }

  readonly #tellHeld = (): void => {
    while (!this.#paused && this.#held.length > 0) {
      const bytes = this.#held.shift() as Buffer
      try {
        this.sink.onBytes(bytes, bytes.length)
      } catch (error) {
        return this.fault(error)
      }
    }
    if (this.#paused || !this.#ended || this.#handle === null) return
    this.#ended = false
    try {
      this.sink.onEnd()
    } catch (error) {
      this.fault(error)
    }
  }

  writeText(text: string): boolean {
    return this.#write(Buffer.from(text, 'latin1'), false)
  }

  writeOut(out: Outbox): boolean {
    return this.#write(out.view(), true)
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    return this.#write(bytes.subarray(start, end), true)
  }

  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    const direct = this.#inflight === 0
    return this.#write(bytes.subarray(start, end), false) && direct
  }

  /** @param lent the memory is the writer's again when this returns */
  #write(bytes: Uint8Array, lent: boolean): boolean {
    if (this.#handle === null || bytes.length === 0) return true
    if (this.#inflight === 0) this.#send(bytes)
    else {
      this.#waiting.push(lent ? copyOf(bytes) : { bytes, block: null })
      this.#queued += bytes.length
    }
    return this.#inflight + this.#queued < HIGH_WATER
  }

  /** Nothing is under way. OpenSSL has read the bytes when this returns. */
  #send(bytes: Uint8Array): void {
    if (!this.#grown && bytes.length > SMALL_WRITE) {
      this.#grown = true
      freeUntouched()
    }
    const req = new (tcpHandles as TcpHandles).stream.WriteWrap() as WireWrite
    req.wire = this
    req.oncomplete = onWritten
    this.#inflight = bytes.length
    this.#sending = true
    const error = (this.#handle as WireHandle).writeBuffer(req, bytes)
    this.#sending = false
    if (error === 0) return
    req.wire = null
    this.#failLater(error)
  }

  /** The caller is in the middle of its own work. */
  #failLater(error: number): void {
    setImmediate(() => this.fail(getSystemErrorName(error)))
  }

  /** Everything of the last write is with the kernel, or it failed. */
  written(status: number): void {
    if (this.#handle === null) return
    this.#inflight = 0
    if (status < 0) return this.#sending ? this.#failLater(status) : this.fail(getSystemErrorName(status))
    if (this.#waiting.length > 0) return this.#sendWaiting()
    if (this.#ending) this.end()
    this.sink.onDrain()
  }

  /** One large piece, or as many small ones as make up a record. */
  #sendWaiting(): void {
    const waiting = this.#waiting
    let [length, n] = [0, 0]
    for (let piece = waiting[0]; piece !== undefined && length + piece.bytes.length <= JOIN_BYTES; piece = waiting[n]) {
      joined.set(piece.bytes, length)
      length += piece.bytes.length
      n++
    }
    const first = waiting[0] as Piece
    const sent = waiting.splice(0, Math.max(n, 1))
    const bytes = n > 1 ? joined.subarray(0, length) : first.bytes
    this.#queued -= bytes.length
    this.#send(bytes)
    giveBackAll(sent)
  }

  end(): void {
    const handle = this.#handle
    if (handle === null || this.#shutting) return
    this.#ending = this.#inflight > 0
    if (this.#ending) return
    this.#shutting = true
    const req = new (tcpHandles as TcpHandles).stream.ShutdownWrap()
    req.oncomplete = () => {} // a failure shows as a read or write error
    handle.shutdown(req)
  }

  bulk(): void {}

  destroy(): void {
    if (this.#detach()) this.#below.destroy()
  }

  reset(): void {
    if (!this.#detach()) return
    // Everything is with the kernel and the end follows it: nothing is cut. A reset would fail, and leave the handle open for good.
    const shutting = this.#shutting
    setImmediate(() => this.#below.cut(shutting))
  }

  #detach(): boolean {
    const handle = this.#handle
    if (handle === null) return false
    this.#handle = null
    handle.wire = null
    this.sink = idleSink
    this.#held = []
    giveBackAll(this.#waiting)
    this.#waiting = []
    return true
  }

  /** Its sink threw: the connection ends. @throws `error` when it was gone by then, or is in the middle of a write */
  fault(error: unknown): void {
    if (this.#handle === null || this.#sending) throw error
    fault(error, formatAddress(this.remoteAddress, this.remotePort))
    const sink = this.sink
    this.reset()
    sink.onClose(FAULT)
  }

  fail(code: string): void {
    if (this.#handle === null) return
    const sink = this.sink
    this.destroy()
    sink.onClose(code)
  }
}
