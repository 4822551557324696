/**
 * The listening sockets of a data thread. Each outlives the listeners that take its connections: when a service changes, or
 * hands an address to another one, the socket stays, and nobody who connects meanwhile is refused.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { BalancerError, codeOf, formatAddress, messageOf, type TcpHandle } from '../core/index.ts'
import { takeHandles } from './handle-wire.ts'

const BACKLOG = 4096 // the kernel caps it at net.core.somaxconn
const MAX_HELD = 1024 // connections that come between preparing and commit, which is some ms

/** Who takes the connections of a door. */
export interface Taker {
  /** null: it wants sockets. */
  readonly onHandle: ((handle: TcpHandle) => void) | null
  onSocket(socket: Socket): void
}

export class Door {
  readonly #server: Server
  readonly #key: string
  readonly #doors: Map<string, Door>
  /** Those that have it open, or mean to. */
  users = 0
  #taker: Taker | null = null
  /** Connections that nobody takes yet. */
  readonly #held: (TcpHandle | Socket)[] = []
  /** Makes a socket of a handle, which `onSocket` gets; null: there are only sockets. */
  #make: ((handle: TcpHandle) => void) | null = null
  readonly opened: Promise<void>

  constructor(key: string, doors: Map<string, Door>, service: string, host: string, port: number) {
    this.#key = key
    this.#doors = doors
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
    this.opened = this.#open(service, host, port)
  }

  async #open(service: string, host: string, port: number): Promise<void> {
    const server = this.#server
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        const why = codeOf(error) === 'EACCES' ? 'ports below 1024 need root or CAP_NET_BIND_SERVICE' : messageOf(error)
        const message = `service ${service} can't listen on ${formatAddress(host, port)}: ${why}`
        reject(new BalancerError('LISTEN_FAILED', message, { cause: error }))
      })
      server.listen({ host, port, backlog: BACKLOG, reusePort: true, ipv6Only: host.includes(':') }, resolve)
    })
    server.removeAllListeners('error')
    server.on('error', () => {}) // accept errors (EMFILE) are retried by libuv with the next connection
    this.#make = takeHandles(server, (handle) => this.#onHandle(handle))
    server.on('connection', (socket: Socket) => this.#onSocket(socket))
  }

  /** Its connections are `taker`'s from now on, those that came before first. */
  give(taker: Taker): void {
    this.#taker = taker
    for (const held of this.#held.splice(0)) {
      if ('readStart' in held) this.#onHandle(held)
      else this.#onSocket(held)
    }
  }

  /** `taker` has done with it; null: who meant to have it has. The last one closes it. */
  leave(taker: Taker | null): void {
    if (this.#taker === taker) this.#taker = null
    if (--this.users > 0) return
    if (this.#doors.get(this.#key) === this) this.#doors.delete(this.#key)
    this.#server.close()
    for (const held of this.#held.splice(0)) refuse(held)
  }

  #onHandle(handle: TcpHandle): void {
    const taker = this.#taker
    if (taker === null) this.#hold(handle)
    else if (taker.onHandle !== null) taker.onHandle(handle)
    else this.#make?.(handle)
  }

  #onSocket(socket: Socket): void {
    if (this.#taker === null) this.#hold(socket)
    else this.#taker.onSocket(socket)
  }

  #hold(connection: TcpHandle | Socket): void {
    if (this.#held.length < MAX_HELD) this.#held.push(connection)
    else refuse(connection)
  }
}

function refuse(connection: TcpHandle | Socket): void {
  if ('readStart' in connection) return void connection.reset()
  connection.on('error', () => {}) // it is of no interest any more
  connection.resetAndDestroy()
}

export class Doors {
  readonly #doors = new Map<string, Door>()

  /** Opens the door, unless it is open. Every call wants a `leave`. @throws BalancerError LISTEN_FAILED */
  async open(service: string, host: string, port: number): Promise<Door> {
    const key = formatAddress(host, port)
    const door = this.#doors.get(key) ?? new Door(key, this.#doors, service, host, port)
    this.#doors.set(key, door)
    door.users++
    try {
      await door.opened
    } catch (error) {
      door.leave(null)
      throw error
    }
    return door
  }
}
