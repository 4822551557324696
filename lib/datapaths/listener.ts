/** Listens on one address in one data thread, and turns what is accepted into wires. */
import { createServer, type Server, type Socket } from 'node:net'
import type { ListenerCell, ServiceCell } from '../board/index.ts'
import { BalancerError, codeOf, type DeadlineWheel, formatAddress, messageOf } from '../core/index.ts'
import type { ClientIdentity } from '../tls/index.ts'
import type { Denial, Gate, Ticket } from './gate.ts'
import { HandleWire, takeHandles } from './handle-wire.ts'
import { Handshake, type ListenerTls } from './handshake.ts'
import type { ProxyAcceptor } from './proxy-protocol/acceptor.ts'
import type { ProxyHeader } from './proxy-protocol/header.ts'
import { introduce } from './proxy-protocol/introduced-wire.ts'
import { SocketWire } from './socket-wire.ts'
import type { Wire } from './wire.ts'

const NOTHING = Buffer.alloc(0)
const BACKLOG = 4096 // the kernel caps it at net.core.somaxconn

export interface ListenerOptions {
  readonly host: string
  readonly port: number
  readonly service: string
  readonly cell: ListenerCell
  readonly serviceCell: ServiceCell
  readonly wheel: DeadlineWheel
  /** null for plain TCP. */
  readonly tls: ListenerTls | null
  /** Reads PROXY headers; null where none is expected. */
  readonly proxy: ProxyAcceptor | null
  readonly gate: Gate
  /** A client is there, not reading yet. `ticket` is to be ended once, when its session has ended. */
  accept(wire: Wire, ticket: Ticket): void
  /** Closes a connection that is not taken. */
  turnAway(wire: Wire, why: Denial): void
  /** Closes a connection whose client may not come in. */
  refuse(wire: Wire, refusal: NonNullable<ClientIdentity['refusal']>): void
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
    const { gate, cell, serviceCell, wheel } = this.#options
    const ticket = gate.admit(header?.ends ?? raw)
    if (typeof ticket === 'string') return denySocket(raw, gate, ticket)
    const handshake = new Handshake(raw, tls, { cell: serviceCell, wheel }, (socket, client) => {
      this.#handshakes.delete(handshake)
      if (socket === null) return ticket.end()
      const wire = new SocketWire(socket, raw, client?.fields)
      if (client !== null && client.refusal !== null) {
        ticket.end()
        // An answer in HTTP/1.1 is no answer in another protocol.
        return socket.alpnProtocol === 'h2' ? wire.reset() : this.#options.refuse(wire, client.refusal)
      }
      cell.connection()
      this.#options.accept(header === null ? wire : introduce(wire, header, NOTHING), ticket)
    })
    this.#handshakes.add(handshake)
    handshake.start()
  }
}

function denySocket(socket: Socket, gate: Gate, why: Denial): void {
  gate.denied(why)
  socket.on('error', () => {}) // it is of no interest any more
  socket.resetAndDestroy()
}
