/** Takes the connections of one address for one view of a service in one data thread, and turns them into wires. */
import type { Socket } from 'node:net'
import type { ListenerCell, ServiceCell } from '../board/index.ts'
import { type DeadlineWheel, formatAddress, Roster, type TcpHandle } from '../core/index.ts'
import type { ClientIdentity } from '../tls/index.ts'
import type { Door, Doors, Taker } from './doors.ts'
import type { Denial, Gate, Ticket } from './gate.ts'
import { HandleWire } from './handle-wire.ts'
import { Handshake, type ListenerTls } from './handshake.ts'
import type { ProxyAcceptor } from './proxy-protocol/acceptor.ts'
import type { ProxyHeader } from './proxy-protocol/header.ts'
import { introduce } from './proxy-protocol/introduced-wire.ts'
import { SocketWire } from './socket-wire.ts'
import { clientWire } from './tls-wire.ts'
import type { Wire } from './wire.ts'

const NOTHING = Buffer.alloc(0)

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

export class Listener implements Taker {
  readonly #options: ListenerOptions
  readonly onHandle: ((handle: TcpHandle) => void) | null
  readonly #handshakes = new Roster<Handshake>()
  #door: Door | null = null

  constructor(options: ListenerOptions) {
    this.#options = options
    this.onHandle = options.tls === null ? (handle) => this.#arrived(new HandleWire(handle)) : null
  }

  /** `127.0.0.1:8080` */
  get address(): string {
    return formatAddress(this.#options.host, this.#options.port)
  }

  /** Connections are on their way to a session. */
  get busy(): boolean {
    return this.#handshakes.size > 0 || this.#options.proxy?.busy === true
  }

  /** Listens, or joins who does already; takes nothing yet. @throws BalancerError LISTEN_FAILED */
  async open(doors: Doors): Promise<void> {
    const { service, host, port } = this.#options
    this.#door ??= await doors.open(service, host, port)
  }

  /** Connections are its from now on. Only when it is open. */
  take(): void {
    this.#door?.give(this)
  }

  /** No new connections. Those that are on their way to a session go on. */
  leave(): void {
    this.#door?.leave(this)
    this.#door = null
  }

  /** No new connections; those there go on. Handshakes and PROXY headers under way are ended. */
  close(): void {
    this.leave()
    this.#options.proxy?.close()
    for (const handshake of this.#handshakes) handshake.fail(null) // our doing, not a failure
  }

  onSocket(socket: Socket): void {
    const { tls, proxy, gate } = this.#options
    if (tls === null) this.#arrived(new SocketWire(socket))
    else if (gate.shut !== null) denySocket(socket, gate, gate.shut)
    else if (proxy === null) this.#shake(socket, tls, null)
    else proxy.socket(socket, (header) => this.#shake(socket, tls, header))
  }

  #arrived(wire: Wire): void {
    const { gate, proxy } = this.#options
    if (gate.shut !== null) this.#deny(wire, gate.shut)
    else if (proxy === null) this.#accept(wire)
    else proxy.wire(wire, (introduced) => this.#accept(introduced))
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
    const unread = header === null
    const handshake = new Handshake(raw, tls, { cell: serviceCell, wheel, unread }, (socket, client) => {
      this.#handshakes.delete(handshake)
      if (socket === null) return ticket.end()
      const wire = clientWire(socket, raw, client?.fields ?? '')
      if (client !== null && client.refusal !== null) {
        ticket.end()
        // An answer in HTTP/1.1 is no answer in another protocol.
        return wire.protocol === 'h2' ? wire.reset() : this.#options.refuse(wire, client.refusal)
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
