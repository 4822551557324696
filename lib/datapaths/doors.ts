/**
 * The listening sockets of a data thread. Each outlives the listeners that take its connections: when a service changes, or
 * hands an address to another one, the socket stays, and nobody who connects meanwhile is refused. It outlives the process too:
 * one that comes in its place goes on with the same sockets, and with what waits in their queues.
 */
import { closeSync } from 'node:fs'
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net'
import { addressBytes, BalancerError, codeOf, formatAddress, messageOf, type TcpHandle } from '../core/index.ts'
import { descriptorOf, takeHandles } from './handle-wire.ts'

const BACKLOG = 4096 // the kernel caps it at net.core.somaxconn
const NO_BYTES = Buffer.alloc(0)
const MAX_HELD = 1024 // connections that come between preparing and commit, which is some ms

/** Descriptors of listening sockets by their address, `127.0.0.1:80`. */
export type Sockets = Readonly<Record<string, readonly number[]>>

/** Who takes the connections of a door. */
export interface Taker {
  /** null: it wants sockets. */
  readonly onHandle: ((handle: TcpHandle) => void) | null
  onSocket(socket: Socket): void
}

interface DoorOptions {
  readonly key: string
  readonly doors: Map<string, Door>
  readonly service: string
  readonly host: string
  readonly port: number
  /** Sockets that listen there already; none: it makes one. */
  readonly handed: readonly number[]
}

export class Door {
  readonly #options: DoorOptions
  readonly #servers: Server[] = []
  /** Those that have it open, or mean to. */
  users = 0
  #taker: Taker | null = null
  /** Connections that nobody takes yet. */
  readonly #held: (TcpHandle | Socket)[] = []
  /** Makes a socket of a handle, which `onSocket` gets; null: there are only sockets. */
  #make: ((handle: TcpHandle) => void) | null = null
  #opened: Promise<void> | null = null

  constructor(options: DoorOptions) {
    this.#options = options
  }

  /** Listens, once. @throws BalancerError LISTEN_FAILED */
  listen(): Promise<void> {
    this.#opened ??= this.#open()
    return this.#opened
  }

  async #open(): Promise<void> {
    const { host, port, handed } = this.#options
    if (handed.length > 0) await Promise.all(handed.map((fd) => this.#serve({ fd })))
    else await this.#serve({ host, port, reusePort: true, ipv6Only: host.includes(':') })
  }

  async #serve(where: ListenOptions & { readonly fd?: number }): Promise<void> {
    const { key, service } = this.#options
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
    const failure = (why: string, cause?: unknown): BalancerError =>
      new BalancerError('LISTEN_FAILED', `service ${service} can't listen on ${key}: ${why}`, { cause })
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        const why = codeOf(error) === 'EACCES' ? 'ports below 1024 need root or CAP_NET_BIND_SERVICE' : messageOf(error)
        reject(failure(why, error))
      })
      server.listen({ ...where, backlog: BACKLOG }, resolve)
    })
    if (where.fd !== undefined && !this.#listensHere(server)) {
      server.close()
      throw failure('a socket that was handed over listens elsewhere')
    }
    server.removeAllListeners('error')
    server.on('error', () => {}) // accept errors (EMFILE) are retried by libuv with the next connection
    this.#make = takeHandles(server, (handle) => this.#onHandle(handle))
    server.on('connection', (socket: Socket) => this.#onSocket(socket))
    this.#servers.push(server)
  }

  #listensHere(server: Server): boolean {
    const { host, port } = this.#options
    const at = server.address()
    if (typeof at !== 'object' || at === null) return false
    return at.port === port && addressBytes(at.address)?.equals(addressBytes(host) ?? NO_BYTES) === true
  }

  /** The descriptors of its sockets. */
  get descriptors(): number[] {
    return this.#servers.map(descriptorOf).filter((fd) => fd >= 0)
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
    if (taker !== null && this.#taker === taker) this.#taker = null
    if (--this.users > 0) return
    const { key, doors, handed } = this.#options
    if (doors.get(key) === this) doors.delete(key)
    if (this.#opened === null) handed.forEach(closeQuietly)
    this.#opened ??= Promise.resolve()
    for (const server of this.#servers) server.close()
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

/** One that is not open is somebody else's mistake, and no harm. */
function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {}
}

export class Doors {
  readonly #doors = new Map<string, Door>()
  /** What another process listened with, and nobody has asked for yet. */
  readonly #handed: Map<string, readonly number[]>
  /** Doors are got ready, and none listens until `listen`. */
  #waits: boolean
  #lent: Door[] = []

  /** @param handed null: the thread has its addresses for itself, and listens when a door is opened */
  constructor(handed: Sockets | null = null) {
    this.#handed = new Map(Object.entries(handed ?? {}))
    this.#waits = handed !== null
  }

  /** Opens the door, unless it is open. Every call wants a `leave`. @throws BalancerError LISTEN_FAILED */
  async open(service: string, host: string, port: number): Promise<Door> {
    const key = formatAddress(host, port)
    const door = this.#doors.get(key) ?? this.#make(key, service, host, port)
    door.users++
    try {
      if (!this.#waits) await door.listen()
    } catch (error) {
      door.leave(null)
      throw error
    }
    return door
  }

  #make(key: string, service: string, host: string, port: number): Door {
    const handed = this.#handed.get(key) ?? []
    this.#handed.delete(key)
    const door = new Door({ key, doors: this.#doors, service, host, port, handed })
    this.#doors.set(key, door)
    return door
  }

  /** All doors listen, and what was handed over for nothing is closed. @throws BalancerError LISTEN_FAILED */
  async listen(): Promise<void> {
    this.#waits = false
    await Promise.all([...this.#doors.values()].map((door) => door.listen()))
    for (const descriptors of this.#handed.values()) descriptors.forEach(closeQuietly)
    this.#handed.clear()
  }

  /** The sockets of all doors, which stay open until `takeBack`. */
  lend(): Sockets {
    this.takeBack()
    const sockets: Record<string, number[]> = {}
    for (const [key, door] of this.#doors) {
      sockets[key] = door.descriptors
      door.users++
      this.#lent.push(door)
    }
    return sockets
  }

  takeBack(): void {
    for (const door of this.#lent.splice(0)) door.leave(null)
  }
}
