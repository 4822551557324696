/** Listens on one address in one data thread, and turns what is accepted into wires. */
import { createServer, type Server, type Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import type { HandshakeFailure, ListenerCell, ServiceCell } from '../board/index.ts'
import {
  BalancerError,
  codeOf,
  Deadline,
  type DeadlineOwner,
  type DeadlineWheel,
  formatAddress,
  messageOf,
} from '../core/index.ts'
import { serverOptions } from '../tls/index.ts'
import type { Denial, Gate, Ticket } from './gate.ts'
import { HandleWire, takeHandles } from './handle-wire.ts'
import type { ProxyAcceptor } from './proxy-protocol/acceptor.ts'
import type { ProxyHeader } from './proxy-protocol/header.ts'
import { introduce } from './proxy-protocol/introduced-wire.ts'
import { SocketWire } from './socket-wire.ts'
import type { Wire } from './wire.ts'

const NOTHING = Buffer.alloc(0)
const BACKLOG = 4096 // the kernel caps it at net.core.somaxconn

/** What TLS needs here; null for plain TCP. */
export interface ListenerTls {
  readonly context: SecureContext
  /** Protocols that clients may choose from, the best first; empty: whatever they want. */
  readonly alpn: readonly string[]
  readonly timeoutMs: number
}

export interface ListenerOptions {
  readonly host: string
  readonly port: number
  readonly service: string
  readonly cell: ListenerCell
  readonly serviceCell: ServiceCell
  readonly wheel: DeadlineWheel
  readonly tls: ListenerTls | null
  /** Reads PROXY headers; null where none is expected. */
  readonly proxy: ProxyAcceptor | null
  readonly gate: Gate
  /** A client is there, not reading yet. `ticket` is to be ended once, when its session has ended. */
  accept(wire: Wire, ticket: Ticket): void
  /** Closes a connection that is not taken. */
  turnAway(wire: Wire, why: Denial): void
}

export class Listener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #handshakes = new Set<Handshake>()

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  }

  async open(): Promise<void> {
    const { host, port, service, tls, proxy, gate } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        const why = codeOf(error) === 'EACCES' ? 'ports below 1024 need root or CAP_NET_BIND_SERVICE' : messageOf(error)
        reject(
          new BalancerError(
            'LISTEN_FAILED',
            `service ${service} can't listen on ${formatAddress(host, port)}: ${why}`,
            { cause: error },
          ),
        )
      })
      this.#server.listen({ host, port, backlog: BACKLOG, reusePort: true, ipv6Only: host.includes(':') }, resolve)
    })
    this.#server.removeAllListeners('error')
    this.#server.on('error', () => {}) // accept errors (EMFILE) are retried by libuv with the next connection
    const accept = (wire: Wire): void => {
      if (gate.shut) this.#deny(wire, 'overload')
      else if (proxy === null) this.#accept(wire)
      else proxy.wire(wire, (introduced) => this.#accept(introduced))
    }
    if (tls === null && takeHandles(this.#server, (handle) => accept(new HandleWire(handle)))) return
    this.#server.on('connection', (socket: Socket) => {
      if (tls === null) accept(new SocketWire(socket))
      else if (gate.shut) denySocket(socket, gate, 'overload')
      else if (proxy === null) this.#shake(socket, tls, null)
      else proxy.socket(socket, (header) => this.#shake(socket, tls, header))
    })
  }

  /** No new connections; those there go on. Handshakes and PROXY headers under way are ended. */
  close(): void {
    this.#server.close()
    this.#options.proxy?.close()
    for (const handshake of this.#handshakes) handshake.fail(null) // our doing, not a failure
  }

  #accept(wire: Wire): void {
    const { gate, cell } = this.#options
    const ticket = gate.admit(wire)
    if (typeof ticket === 'string') return this.#deny(wire, ticket)
    cell.connection()
    this.#options.accept(wire, ticket)
  }

  #deny(wire: Wire, why: Denial): void {
    this.#options.gate.denied(why)
    this.#options.turnAway(wire, why)
  }

  /** A handshake is a connection too: the gate comes before it. */
  #shake(raw: Socket, tls: ListenerTls, header: ProxyHeader | null): void {
    const { gate, cell } = this.#options
    const ticket = gate.admit(header?.ends ?? raw)
    if (typeof ticket === 'string') return denySocket(raw, gate, ticket)
    const handshake = new Handshake(raw, tls, this.#options, (socket) => {
      this.#handshakes.delete(handshake)
      if (socket === null) return ticket.end()
      cell.connection()
      const wire = new SocketWire(socket, raw)
      this.#options.accept(header === null ? wire : introduce(wire, header, NOTHING), ticket)
    })
    this.#handshakes.add(handshake)
  }
}

function denySocket(socket: Socket, gate: Gate, why: Denial): void {
  gate.denied(why)
  socket.on('error', () => {}) // it is of no interest any more
  socket.resetAndDestroy()
}

/** One TLS handshake with a client: ends with a socket or with null, once. */
class Handshake implements DeadlineOwner {
  readonly #raw: Socket
  readonly #socket: TLSSocket
  readonly #deadline: Deadline
  readonly #cell: ServiceCell
  readonly #done: (socket: TLSSocket | null) => void
  #settled = false

  constructor(raw: Socket, tls: ListenerTls, options: ListenerOptions, done: (socket: TLSSocket | null) => void) {
    this.#raw = raw
    this.#cell = options.serviceCell
    this.#done = done
    raw.on('error', () => this.fail('closed'))
    this.#socket = new TLSSocket(raw, serverOptions(tls.context, tls.alpn))
    this.#socket.on('error', (error) => this.fail(codeOf(error).startsWith('ERR_SSL') ? 'protocol' : 'closed'))
    this.#socket.on('_tlsError', () => this.fail('protocol')) // what a server's socket says of a failed handshake
    this.#socket.on('end', () => this.fail('closed')) // a half-open client can't finish a handshake
    this.#socket.on('close', () => this.fail('closed'))
    this.#socket.once('secure', () => this.#secure())
    this.#deadline = new Deadline(options.wheel, this)
    this.#deadline.set(tls.timeoutMs)
  }

  onDeadline(): void {
    this.fail('timeout')
  }

  fail(reason: HandshakeFailure | null): void {
    if (this.#settled) return
    this.#settled = true
    this.#deadline.release()
    if (reason !== null) this.#cell.handshakeFailure(reason)
    this.#socket.destroy()
    this.#raw.destroy()
    this.#done(null)
  }

  #secure(): void {
    if (this.#settled) return
    this.#settled = true
    this.#deadline.release()
    this.#cell.handshake(this.#socket.getProtocol() ?? '', this.#socket.isSessionReused())
    this.#done(this.#socket)
  }
}
