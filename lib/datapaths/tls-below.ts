/** What a TLS wire stands on: the two sockets that made the handshake, or their handles without them. */
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import {
  codeOf,
  type FreeTlsHandle,
  freeTls,
  type Name,
  type TcpHandle,
  type TlsHandle,
  tlsHandleOf,
} from '../core/index.ts'
import { certificateCovers, covers, cutSecure, isAlone, protocolOf, serverNameOf, wasReset } from './tls-socket.ts'

export interface Below {
  readonly handle: TlsHandle
  readonly localAddress: string
  readonly serverName: string
  readonly protocol: string
  /** As `wasReset` of tls-socket.ts. */
  readonly wasReset: boolean
  covers(authority: string): boolean
  /** What is not told by the handle. */
  onFailure(failed: (code: string) => void): void
  /** Once. */
  destroy(): void
  /** The same by RST, unless the end is on its way (`shutting`). Never inside of a callback of TLS. */
  cut(shutting: boolean): void
}

/** Sockets that stay: of a backend, to whom they tell new sessions. null: their handle is not what we know. */
export function socketsBelow(socket: TLSSocket, raw: Socket): Below | null {
  const handle = tlsHandleOf(socket)
  return handle === null ? null : new SocketsBelow(socket, raw, handle)
}

/** The handles of a client's sockets, which are of no use any more, nor kept. null: they are not what we know. */
export function handlesBelow(socket: TLSSocket, raw: Socket): Below | null {
  const serverName = serverNameOf(socket)
  const protocol = protocolOf(socket)
  const free = freeTls(socket, raw)
  return free === null ? null : new HandlesBelow(free.tls, free.tcp, serverName, protocol)
}

class SocketsBelow implements Below {
  readonly handle: TlsHandle
  readonly #socket: TLSSocket
  readonly #raw: Socket

  constructor(socket: TLSSocket, raw: Socket, handle: TlsHandle) {
    this.handle = handle
    this.#socket = socket
    this.#raw = raw
    raw.setNoDelay(true)
  }

  get localAddress(): string {
    return this.#raw.localAddress ?? ''
  }

  get serverName(): string {
    return serverNameOf(this.#socket)
  }

  get protocol(): string {
    return protocolOf(this.#socket)
  }

  get wasReset(): boolean {
    return wasReset(this.#raw)
  }

  covers(authority: string): boolean {
    return certificateCovers(this.#socket, authority)
  }

  onFailure(failed: (code: string) => void): void {
    const told = (error: Error): void => failed(codeOf(error))
    this.#socket.on('error', told)
    this.#raw.on('error', told)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  cut(shutting: boolean): void {
    cutSecure(this.#socket, this.#raw, shutting)
  }
}

class HandlesBelow implements Below {
  readonly handle: FreeTlsHandle
  readonly serverName: string
  readonly protocol: string
  readonly #tcp: TcpHandle & { below?: Below }
  /** The handle must not be asked any more: node would abort. */
  #gone = false

  constructor(handle: FreeTlsHandle, tcp: TcpHandle, serverName: string, protocol: string) {
    this.handle = handle
    this.#tcp = tcp
    this.serverName = serverName
    this.protocol = protocol
    // Only the lower one is kept by the runtime while it is open.
    this.#tcp.below = this
    tcp.setNoDelay(true)
  }

  get localAddress(): string {
    const name: Name = {}
    this.#tcp.getsockname(name)
    return name.address ?? ''
  }

  get wasReset(): boolean {
    return isAlone(this.#tcp)
  }

  covers(authority: string): boolean {
    const shown = this.#gone ? undefined : this.handle.getCertificate()?.raw
    return covers(shown && new X509Certificate(shown), authority)
  }

  onFailure(): void {}

  destroy(): void {
    this.#tcp.close(this.#closed)
  }

  cut(shutting: boolean): void {
    if (shutting) this.#tcp.close(this.#closed)
    else this.#tcp.reset(this.#closed)
  }

  /** Called from the event loop: OpenSSL is not at work. */
  readonly #closed = (): void => {
    this.#gone = true
    this.handle.destroySSL()
  }
}
