/**
 * A wire directly on libuv's TCP handle. The only file that uses node's undocumented handles.
 *
 * Why: `net.Socket` costs about 4 KiB per connection and a tick of stream machinery per write. Here all connections of
 * a thread read into one static buffer (libuv reads when the callback runs, so nobody overlaps), and a write is one
 * call. `handleWires` tells whether this runtime has what is needed, tried at load; where not, wires are plain sockets
 * (socket-wire.ts).
 */
import { isIPv6, type Server } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { type Area, giveBack, type Outbox, readBuffer } from './outbox.ts'
import { idleSink, type Wire, type WireSink } from './wire.ts'

const BULK_BYTES = 256 * 1024 // four system calls per MiB
const BULK_SPARES = 16 // kept for reuse, 4 MiB a thread
const TEXT_BYTES = 16 * 1024 // libuv's stack buffer for strings: up to here a text write is one copy and one call

/** node's TCP handle, as far as it is used here. */
export interface TcpHandle {
  onread: (this: TcpHandle) => Buffer | undefined
  onconnection?: (status: number, client: TcpHandle) => void
  wire: HandleWire | null
  readonly writeQueueSize: number
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  readStop(): number
  writeLatin1String(request: WriteRequest, text: string): number
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number
  shutdown(request: object): number
  connect(request: ConnectRequest, host: string, port: number): number
  connect6(request: ConnectRequest, host: string, port: number): number
  setNoDelay(on: boolean): number
  getpeername(out: Name): number
  getsockname(out: Name): number
  close(done?: () => void): void
  reset(done?: () => void): number
}
interface Name {
  address?: string
  port?: number
}
interface WriteRequest {
  oncomplete: ((this: WriteRequest, status: number) => void) | null
  wire: HandleWire | null
  bytes: Uint8Array | null
  area: Area
}
interface ConnectRequest {
  oncomplete: ((status: number) => void) | null
}
interface Bindings {
  tcp: { TCP: new (type: number) => TcpHandle; TCPConnectWrap: new () => ConnectRequest; constants: { SOCKET: number } }
  stream: {
    WriteWrap: new () => WriteRequest
    ShutdownWrap: new () => { oncomplete: (() => void) | null }
    streamBaseState: Int32Array
    kReadBytesOrError: number
    kLastWriteWasAsync: number
  }
}

/** node's bindings, or null where they are not what we know. */
function load(): Bindings | null {
  try {
    const binding = Reflect.get(process, 'binding') as (name: string) => unknown
    const tcp = binding.call(process, 'tcp_wrap') as Bindings['tcp']
    const stream = binding.call(process, 'stream_wrap') as Bindings['stream']
    const handle = new tcp.TCP(tcp.constants.SOCKET)
    const methods = [
      'useUserBuffer',
      'readStart',
      'readStop',
      'writeLatin1String',
      'writeBuffer',
      'shutdown',
      'connect',
      'connect6',
      'close',
      'reset',
      'getpeername',
    ]
    const whole = methods.every((name) => typeof Reflect.get(handle, name) === 'function')
    handle.close()
    const state = stream.streamBaseState
    const known =
      state instanceof Int32Array &&
      typeof stream.kReadBytesOrError === 'number' &&
      typeof stream.kLastWriteWasAsync === 'number'
    return whole && known && typeof stream.WriteWrap === 'function' ? { tcp, stream } : null
  } catch {
    return null
  }
}

const bindings = process.env['EVENKEEL_WIRES'] === 'socket' ? null : load()
const state = bindings?.stream.streamBaseState ?? new Int32Array(8)
const READ = bindings?.stream.kReadBytesOrError ?? 0
const ASYNC = bindings?.stream.kLastWriteWasAsync ?? 0
const UV_EOF = -4095

const spares: Buffer[] = []

/** Used again as long as writes end at once, which nearly all do: a request is only kept by libuv when it waits. */
let spareRequest: WriteRequest | null = null
function request(): WriteRequest {
  spareRequest ??= new (bindings as Bindings).stream.WriteWrap()
  return spareRequest
}

function onRead(this: TcpHandle): Buffer | undefined {
  const wire = this.wire
  return wire === null ? undefined : wire.read(state[READ] as number)
}

function onWritten(this: WriteRequest, status: number): void {
  const wire = this.wire
  this.wire = null
  this.bytes = null
  giveBack(this.area)
  wire?.written(status)
}

export class HandleWire implements Wire {
  sink: WireSink = idleSink
  #handle: TcpHandle | null
  #buffer: Buffer = readBuffer
  #wantBulk = false
  #reusable = false
  #inflight = 0
  #failing = false
  #ending = false
  #shutting = false
  #remote: Name | null = null

  constructor(handle: TcpHandle) {
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
    return this.writeOwned(Buffer.from(bytes.subarray(start, end)), 0, end - start)
  }

  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    const handle = this.#handle
    if (handle === null) return true
    const req = request()
    const part = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)
    return this.#sent(req, handle.writeBuffer(req, part), part)
  }

  #sent(req: WriteRequest, error: number, bytes: Uint8Array | null): boolean {
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
    const req = new (bindings as Bindings).stream.ShutdownWrap()
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

  #detach(): TcpHandle | null {
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
export const handleWires = bindings !== null

/**
 * Connects. `done` gets the wire, or the error's code.
 * @returns what gives up; `done` is then not called any more
 */
export function connectHandle(
  host: string,
  port: number,
  done: (wire: HandleWire | null, code: string) => void,
): () => void {
  const { TCP, TCPConnectWrap, constants } = (bindings as Bindings).tcp
  const handle = new TCP(constants.SOCKET)
  const req = new TCPConnectWrap()
  let settled = false
  const settle = (status: number): void => {
    if (settled) return
    settled = true
    if (status === 0) return done(new HandleWire(handle), '')
    handle.close()
    done(null, getSystemErrorName(status))
  }
  req.oncomplete = settle
  const status = isIPv6(host) ? handle.connect6(req, host, port) : handle.connect(req, host, port)
  if (status !== 0) setImmediate(settle, status)
  return () => {
    if (settled) return
    settled = true
    handle.close()
  }
}

/** Takes the handles that `server` accepts, before a socket is made of each. False: the server has no such handle. */
export function takeHandles(server: Server, accept: (handle: TcpHandle) => void): boolean {
  const listening = Reflect.get(server, '_handle') as TcpHandle | null
  if (bindings === null || listening === null || typeof listening.onconnection !== 'function') return false
  listening.onconnection = (status, client) => {
    if (status === 0) accept(client)
  }
  return true
}
