/**
 * libuv's TCP handle as node has it, and that of a TLS socket, which node does not document: the only file that reaches for it. `tcpHandles` tells whether
 * this runtime has what is needed, tried at load; where not, or with EVENKEEL_WIRES=socket, sockets do the work.
 *
 * Why: `net.Socket` costs about 4 KiB per connection, and a tick of stream machinery per connect, write and end.
 */
import { EventEmitter } from 'node:events'
import { isIPv6, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

/** node's TCP handle, as far as it is used. */
export interface TcpHandle {
  /** A read is over: `read()` tells how. May answer the buffer for the next one. */
  onread: () => Buffer | undefined
  onconnection?: (status: number, client: TcpHandle) => void
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
  unref(): void
  reset(done?: () => void): number
}
/** What reads and writes below a TLS socket. */
export interface TlsHandle
  extends Pick<TcpHandle, 'useUserBuffer' | 'readStart' | 'readStop' | 'writeBuffer' | 'shutdown'> {
  onread: () => undefined
  onerror: (error: Error) => void
}
/** The handle of a TLS socket that let go of it. */
export interface FreeTlsHandle extends TlsHandle {
  /** What was shown to the client, in node's old form; the types leave out that there may be none. */
  getCertificate(): { readonly raw?: Buffer } | undefined
  /** Frees what OpenSSL has. Never in a callback of TLS. */
  destroySSL(): void
}
/** An address and its port. */
export interface Name {
  address?: string
  port?: number
}
export interface WriteRequest {
  oncomplete: ((status: number) => void) | null
}
export interface ConnectRequest {
  oncomplete: ((status: number) => void) | null
}
export interface TcpHandles {
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
function load(): TcpHandles | null {
  try {
    const binding = Reflect.get(process, 'binding') as (name: string) => unknown
    const tcp = binding.call(process, 'tcp_wrap') as TcpHandles['tcp']
    const stream = binding.call(process, 'stream_wrap') as TcpHandles['stream']
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
      'unref',
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

export const tcpHandles = process.env['EVENKEEL_WIRES'] === 'socket' ? null : load()

const READING = ['useUserBuffer', 'readStart', 'readStop']
const TLS = [...READING, 'writeBuffer', 'shutdown']
const FREE_TLS = [...TLS, 'getCertificate', 'destroySSL']
const FREE_TCP = ['setNoDelay', 'getsockname', 'getpeername', 'close', 'reset']

/** The handle of a socket that is open; null where it is not what we know. */
function handleOf(socket: object, methods: readonly string[]): object | null {
  const handle: unknown = tcpHandles === null ? null : Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null) return null
  return methods.every((name) => typeof Reflect.get(handle, name) === 'function') ? handle : null
}

/** The handle of a TLS socket that is open; null where it is not what we know. */
export const tlsHandleOf = (socket: object): TlsHandle | null => handleOf(socket, TLS) as TlsHandle | null

/**
 * Reads what comes on a TCP socket that nobody has read of, past its streams. `onRead` is told what libuv tells, the bytes are in
 * `buffer`.
 * @returns what ends it; null: the socket has no handle that we know
 */
export function readBelow(socket: Socket, buffer: Buffer, onRead: (count: number) => void): (() => void) | null {
  const handle = handleOf(socket, READING) as TcpHandle | null
  if (tcpHandles === null || handle === null) return null
  const { streamBaseState, kReadBytesOrError } = tcpHandles.stream
  const { onread } = handle
  handle.useUserBuffer(buffer)
  handle.onread = () => {
    onRead(streamBaseState[kReadBytesOrError] as number)
    return undefined
  }
  handle.readStart()
  return () => {
    handle.readStop()
    handle.onread = onread
  }
}

/**
 * Gives a TLS socket what was read before it was there. From the first bytes that come this way node makes a buffer of their size;
 * reading itself it would take 64 KiB and keep them.
 */
export function receiveBelow(socket: TLSSocket, bytes: Uint8Array): void {
  const handle = handleOf(socket, ['receive']) as { receive(bytes: Uint8Array): void } | null
  handle?.receive(bytes)
}

/**
 * Takes the handles of a server's TLS socket, whose handshake is over, and of the TCP socket below it: nobody else holds them then,
 * and both sockets are of no use any more. null: they are not what we know, and nothing has changed.
 */
export function freeTls(socket: TLSSocket, raw: Socket): { tls: FreeTlsHandle; tcp: TcpHandle } | null {
  const tls = handleOf(socket, FREE_TLS) as FreeTlsHandle | null
  const tcp = handleOf(raw, FREE_TCP) as TcpHandle | null
  if (tls === null || tcp === null || Reflect.get(tls, '_parent') !== tcp) return null
  const owned = ownerOf(tls, socket)
  const ownedBelow = ownerOf(tcp, raw)
  if (owned === undefined || ownedBelow === undefined) return null
  Reflect.set(tls, owned, null)
  Reflect.set(tcp, ownedBelow, null)
  Reflect.set(tls, '_parentWrap', null)
  // What they would tell their socket: there are no more handshakes (SSL_OP_NO_RENEGOTIATION).
  for (const event of ['onhandshakestart', 'onhandshakedone']) Reflect.set(tls, event, () => {})
  Reflect.set(raw, '_handle', null)
  EventEmitter.prototype.removeAllListeners.call(raw) // that of streams looks at them once more in the next tick
  raw.destroy() // its server counts it
  // The handle below has a getter that holds the socket for good (`reading`): it is left empty.
  for (const key of Object.keys(socket)) Reflect.set(socket, key, Reflect.get(HUSK, key) ?? null)
  return { tls, tcp }
}

/** A socket that has ended: another takes its state, which is safe to touch. */
const HUSK = new Socket().destroy()

/** The symbol under which a handle has its socket. */
const ownerOf = (handle: object, socket: object): symbol | undefined =>
  Object.getOwnPropertySymbols(handle).find((symbol) => Reflect.get(handle, symbol) === socket)

/** What libuv reads at the end of what the peer sends. */
export const UV_EOF = -4095

/** Begins to connect; `done` is told how it ended unless the call itself fails: then its error (below 0) is answered. */
export function connectTcp(
  { tcp }: TcpHandles,
  handle: TcpHandle,
  host: string,
  port: number,
  done: (status: number) => void,
): number {
  const req = new tcp.TCPConnectWrap()
  req.oncomplete = done
  return isIPv6(host) ? handle.connect6(req, host, port) : handle.connect(req, host, port)
}
