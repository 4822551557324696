/**
 * libuv's TCP handle as node has it, and that of a TLS socket, which node does not document: the only file that reaches for it. `tcpHandles` tells whether
 * this runtime has what is needed, tried at load; where not, or with EVENKEEL_WIRES=socket, sockets do the work.
 *
 * Why: `net.Socket` costs about 4 KiB per connection, and a tick of stream machinery per connect, write and end.
 */
import { isIPv6 } from 'node:net'

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

/** The handle of a TLS socket that is open; null where it is not what we know. */
export function tlsHandleOf(socket: object): TlsHandle | null {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null) return null
  const methods = ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'shutdown']
  return methods.every((name) => typeof Reflect.get(handle, name) === 'function') ? (handle as TlsHandle) : null
}

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
