/**
 * A wire directly on libuv's TCP handle (core/tcp-handle.ts). All connections of a thread read into one static buffer (libuv
 * reads when the callback runs, so nobody overlaps), and a write is one call. Where the runtime has no such handles
 * (`handleWires`), wires are plain sockets (socket-wire.ts).
 */
import type { Server } from 'node:net'
import { getSystemErrorName } from 'node:util'
import {
  connectTcp,
  FAULT,
  fault,
  formatAddress,
  type Name,
  type TcpHandle,
  type TcpHandles,
  tcpHandles,
  UV_EOF,
  type WriteRequest,
} from '../core/index.ts'
import { giveBackBlock, takeBlock } from './blocks.ts'
import { type Area, giveBack, type Outbox, readBuffer } from './outbox.ts'
import { idleSink, type Wire, type WireSink } from './wire.ts'

const BULK_BYTES = 256 * 1024 // four system calls per MiB
const BULK_SPARES = 16 // kept for reuse, 4 MiB a thread
const TEXT_BYTES = 16 * 1024 // libuv's stack buffer for strings: up to here a text write is one copy and one call

const state = tcpHandles?.stream.streamBaseState ?? new Int32Array(8)
const READ = tcpHandles?.stream.kReadBytesOrError ?? 0
const ASYNC = tcpHandles?.stream.kLastWriteWasAsync ?? 0

/** A handle, and the wire that it belongs to. */
interface WireHandle extends TcpHandle {
  wire: HandleWire | null
}
interface WireWrite extends WriteRequest {
  wire: HandleWire | null
  bytes: Uint8Array | null
  area: Area
  /** What its bytes were copied into; null: nothing that is used again. */
  block: Buffer | null
}

const spares: Buffer[] = []

/** Used again as long as writes end at once, which nearly all do: a request is only kept by libuv when it waits. */
let spareRequest: WireWrite | null = null
function request(): WireWrite {
  spareRequest ??= new (tcpHandles as TcpHandles).stream.WriteWrap() as WireWrite
  return spareRequest
}

function onRead(this: WireHandle): Buffer | undefined {
  const wire = this.wire
  if (wire === null) return undefined
  try {
    return wire.read(state[READ] as number)
  } catch (error) {
    wire.fault(error)
    return undefined
  }
}

function onWritten(this: WireWrite, status: number): void {
  const wire = this.wire
  this.wire = null
  this.bytes = null
  giveBack(this.area)
  if (this.block !== null) giveBackBlock(this.block)
  this.block = null
  if (wire === null) return
  try {
    wire.written(status)
  } catch (error) {
    wire.fault(error)
  }
}

export class HandleWire implements Wire {
  sink: WireSink = idleSink
  #handle: WireHandle | null
  #buffer: Buffer = readBuffer
  #wantBulk = false
  #reusable = false
  #inflight = 0
  #failing = false
  #ending = false
  #shutting = false
  #remote: Name | null = null

  constructor(bare: TcpHandle) {
    const handle = bare as WireHandle
    this.#handle = handle
    handle.wire = this
    handle.onread = onRead
    handle.useUserBuffer(readBuffer)
    handle.setNoDelay(true)
  }

  get owned(): boolean {
    return this.#buffer !== readBuffer
  }

  get pending(): boolean {
    return this.#inflight > 0
  }

  get settled(): boolean {
    return this.#inflight === 0
  }

  get borrowing(): boolean {
    return this.#inflight > 0
  }

  get queued(): number {
    return this.#handle?.writeQueueSize ?? 0
  }

  get remoteAddress(): string {
    return this.#peer().address ?? ''
  }

  get remotePort(): number {
    return this.#peer().port ?? 0
  }

  get serverName(): string {
    return ''
  }

  get clientFields(): string {
    return ''
  }

  get protocol(): string {
    return ''
  }

  covers(): boolean {
    return true
  }

  get localAddress(): string {
    return this.#own().address ?? ''
  }

  get localPort(): number {
    return this.#own().port ?? 0
  }

  #own(): Name {
    const name: Name = {}
    this.#handle?.getsockname(name)
    return name
  }

  #peer(): Name {
    if (this.#remote === null) {
      this.#remote = {}
      this.#handle?.getpeername(this.#remote)
    }
    return this.#remote
  }

  /** Called by libuv's read callback; answers the buffer for the next read where that changes. */
  read(count: number): Buffer | undefined {
    if (count > 0) this.sink.onBytes(this.#buffer, count)
    else if (count === UV_EOF) this.sink.onEnd()
    else if (count < 0) this.#fail(count)
    if (this.#wantBulk === (this.#buffer !== readBuffer)) return undefined
    if (this.#buffer !== readBuffer && this.#reusable && spares.length < BULK_SPARES) spares.push(this.#buffer)
    this.#buffer = this.#wantBulk ? (spares.pop() ?? Buffer.allocUnsafeSlow(BULK_BYTES)) : readBuffer
    return this.#buffer
  }

  writeText(text: string): boolean {
    const handle = this.#handle
    if (handle === null) return true
    const req = request()
    return this.#sent(req, handle.writeLatin1String(req, text), null)
  }

  writeOut(out: Outbox): boolean {
    const handle = this.#handle
    if (handle === null) return true
    const req = request()
    const bytes = out.view()
    const error = handle.writeBuffer(req, bytes)
    const area = error === 0 && state[ASYNC] !== 0 ? out.leave() : -1
    const flowed = this.#sent(req, error, bytes)
    if (area >= 0) req.area = area
    return flowed
  }

  write(bytes: Buffer, start: number, end: number): boolean {
    if (end - start <= TEXT_BYTES) return this.writeText(bytes.latin1Slice(start, end))
    const handle = this.#handle
    if (handle === null) return true
    const block = takeBlock(end - start)
    const part = block.subarray(0, bytes.copy(block, 0, start, end))
    const req = request()
    const error = handle.writeBuffer(req, part)
    const waits = error === 0 && state[ASYNC] !== 0
    const flowed = this.#sent(req, error, part)
    if (waits) req.block = block
    else giveBackBlock(block)
    return flowed
  }

  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    const handle = this.#handle
    if (handle === null) return true
    const req = request()
    const part = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)
    return this.#sent(req, handle.writeBuffer(req, part), part)
  }

  #sent(req: WireWrite, error: number, bytes: Uint8Array | null): boolean {
    if (error !== 0) {
      // Told later: the caller is in the middle of its own work.
      if (!this.#failing) {
        this.#failing = true
        setImmediate(() => this.#fail(error))
      }
      return true
    }
    if (state[ASYNC] === 0) return this.#inflight === 0
    spareRequest = null
    req.wire = this
    req.bytes = bytes
    req.area = -1
    req.block = null
    req.oncomplete = onWritten
    this.#inflight++
    return false
  }

  /** A pending write ended. */
  written(status: number): void {
    this.#inflight--
    if (this.#handle === null) return
    if (status < 0) this.#fail(status)
    else if (this.#inflight === 0) {
      if (this.#ending) this.end()
      this.sink.onDrain()
    }
  }

  end(): void {
    const handle = this.#handle
    if (handle === null) return
    // libuv would keep it behind pending writes, but then refuse to reset the connection: a cut answer would look whole.
    this.#ending = this.#inflight > 0
    if (this.#ending) return
    const req = new (tcpHandles as TcpHandles).stream.ShutdownWrap()
    req.oncomplete = () => {
      this.#shutting = false // a failure shows as a read or write error
    }
    this.#shutting = handle.shutdown(req) === 0
  }

  pause(): void {
    this.#handle?.readStop()
  }

  resume(): void {
    this.#handle?.readStart()
  }

  bulk(on: boolean, reusable: boolean): void {
    this.#wantBulk = on
    this.#reusable = reusable
  }

  destroy(): void {
    this.#detach()?.close()
  }

  reset(): void {
    const handle = this.#detach()
    if (handle === null) return
    // Everything is with the kernel then and the end follows it: nothing is cut. A reset would fail, and leave the handle open for good.
    if (this.#shutting) handle.close()
    else handle.reset()
  }

  /** Its sink threw: the connection ends. @throws `error` when it was gone by then, and nobody can be told */
  fault(error: unknown): void {
    if (this.#handle === null) throw error
    fault(error, formatAddress(this.remoteAddress, this.remotePort))
    const sink = this.sink
    this.reset()
    sink.onClose(FAULT)
  }

  #detach(): WireHandle | null {
    const handle = this.#handle
    this.#handle = null
    this.sink = idleSink
    if (handle !== null) handle.wire = null
    return handle
  }

  #fail(code: number): void {
    if (this.#handle === null) return
    const sink = this.sink
    this.destroy()
    sink.onClose(getSystemErrorName(code))
  }
}

/** Are wires on raw handles possible in this runtime? */
export const handleWires = tcpHandles !== null

/**
 * Connects. `done` gets the wire, or the error's code.
 * @returns what gives up; `done` is then not called any more
 */
export function connectHandle(
  host: string,
  port: number,
  done: (wire: HandleWire | null, code: string) => void,
): () => void {
  const handles = tcpHandles as TcpHandles
  const handle = new handles.tcp.TCP(handles.tcp.constants.SOCKET)
  let settled = false
  const settle = (status: number): void => {
    if (settled) return
    settled = true
    if (status === 0) return done(new HandleWire(handle), '')
    handle.close()
    done(null, getSystemErrorName(status))
  }
  const status = connectTcp(handles, handle, host, port, settle)
  if (status !== 0) setImmediate(settle, status)
  return () => {
    if (settled) return
    settled = true
    handle.close()
  }
}

/** The descriptor of the socket that a server listens with; -1: there is none. */
export function descriptorOf(server: Server): number {
  const listening = Reflect.get(server, '_handle') as { readonly fd?: number } | null
  return listening?.fd ?? -1
}

/**
 * Takes the handles that `server` accepts, before a socket is made of each; the answer makes one after all, which the server
 * tells of. null: the server has no such handle.
 */
export function takeHandles(server: Server, accept: (handle: TcpHandle) => void): ((handle: TcpHandle) => void) | null {
  const listening = Reflect.get(server, '_handle') as TcpHandle | null
  if (tcpHandles === null || listening === null) return null
  const { onconnection: make } = listening
  if (typeof make !== 'function') return null
  listening.onconnection = (status, client) => {
    if (status === 0) accept(client)
  }
  return (handle) => make.call(listening, 0, handle)
}
