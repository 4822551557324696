/** Backends on raw TCP that record every byte they get and answer by script. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { eventually, within } from './eventually.ts'
import { BodyReader, type Field, type Framing, framingOf, MalformedMessage, readHead, valuesOf } from './message.ts'
import type { Ending } from './raw.ts'

/** What of a test these helpers need, so that a subtest serves as well as the file's own. */
export interface Teardown {
  teardown(fn: () => unknown): void
}

export interface BackendRequest {
  readonly method: string
  readonly target: string
  readonly version: string
  /** The whole head as it arrived, as latin1. */
  readonly head: string
  readonly fields: readonly Field[]
  readonly framing: Framing
  /** Filled as it arrives; whole when the request is in `requests`. */
  readonly reader: BodyReader
  readonly connection: BackendConnection
}

export type Script = (x: BackendExchange) => unknown

export class BackendConnection {
  readonly socket: Socket
  /** How the balancer ended it. */
  readonly closed: Promise<Ending>
  readonly requests: BackendRequest[] = []
  ending: Ending | undefined
  received: Buffer[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    this.closed = new Promise((resolve) => {
      const end = (ending: Ending) => {
        this.ending ??= ending
        resolve(this.ending)
      }
      socket.on('end', () => end('end'))
      socket.on('error', () => end('reset'))
      socket.on('close', () => end('end'))
    })
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received)
  }
  get text(): string {
    return this.bytes.toString('latin1')
  }
  async untilClosed(deadline = 5000): Promise<Ending> {
    return within(this.closed, 'the end of a backend connection', deadline)
  }
  write(bytes: string | Buffer): void {
    if (this.socket.writable) this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }
}

/** One request and the means to answer it, in any way a broken server might. */
export class BackendExchange {
  readonly request: BackendRequest
  readonly connection: BackendConnection
  /** The how-many-th request this backend got, from 1. */
  readonly number: number
  #takeOver: (onData: (bytes: Buffer) => void) => void

  constructor(request: BackendRequest, number: number, takeOver: (onData: (bytes: Buffer) => void) => void) {
    this.request = request
    this.connection = request.connection
    this.number = number
    this.#takeOver = takeOver
  }

  write(bytes: string | Buffer): void {
    this.connection.write(bytes)
  }
  end(bytes?: string | Buffer): void {
    if (bytes !== undefined) this.write(bytes)
    this.connection.socket.end()
  }
  reset(): void {
    this.connection.socket.resetAndDestroy()
  }
  /** A proper answer with Content-Length. */
  answer(body: string, fields = '', status = '200 OK'): void {
    this.write(`HTTP/1.1 ${status}\r\n${fields}Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n\r\n${body}`)
  }
  /** From here on the connection carries bytes, not requests; those that came already are handed over at once. */
  takeOver(onData: (bytes: Buffer) => void): void {
    this.#takeOver(onData)
  }
}

export class Backend {
  readonly name: string
  readonly port: number
  readonly address: string
  readonly connections: BackendConnection[] = []
  /** Requests whose head arrived, in order of arrival. */
  readonly heads: BackendRequest[] = []
  /** Requests that arrived whole, in order of their end. */
  readonly requests: BackendRequest[] = []
  /** What no correct balancer ever sends. */
  readonly faults: string[] = []
  /** Answers a whole request that no script is for. */
  onRequest: Script
  /** Sees every head before the body has arrived. */
  onHead: Script = () => undefined
  #scripts = new Map<string, Script>()
  #headScripts = new Map<string, Script>()

  constructor(name: string, port: number) {
    this.name = name
    this.port = port
    this.address = `127.0.0.1:${port}`
    this.onRequest = (x) => x.answer(`${name} ${x.number}`)
  }

  /** The script for whole requests to this target. */
  on(target: string, script: Script): void {
    this.#scripts.set(target, script)
  }
  /** The script for requests to this target that runs as soon as the head is there; nothing else answers them. */
  onHeadOf(target: string, script: Script): void {
    this.#headScripts.set(target, script)
  }
  async waitForRequests(n: number, deadline = 5000): Promise<readonly BackendRequest[]> {
    await eventually(`${n} requests at ${this.name}`, () => this.requests.length >= n, deadline)
    return this.requests
  }
  async waitForHeads(n: number, deadline = 5000): Promise<readonly BackendRequest[]> {
    await eventually(`${n} heads at ${this.name}`, () => this.heads.length >= n, deadline)
    return this.heads
  }
  /** The last whole request to a target. */
  last(target: string): BackendRequest {
    const request = this.requests.findLast((r) => r.target === target)
    if (request === undefined) throw new Error(`no request to ${target} at ${this.name}`)
    return request
  }

  accept(socket: Socket): void {
    const connection = new BackendConnection(socket)
    this.connections.push(connection)
    let pending: Buffer = Buffer.alloc(0)
    let current: BackendRequest | undefined
    let tunnel: ((bytes: Buffer) => void) | undefined
    const exchangeOf = (request: BackendRequest) =>
      new BackendExchange(request, this.heads.indexOf(request) + 1, (onData) => {
        tunnel = onData
        const early = pending
        pending = Buffer.alloc(0)
        if (early.length > 0) onData(early)
      })
    const fault = (error: unknown) => {
      this.faults.push(error instanceof Error ? error.message : String(error))
      socket.destroy()
    }
    const run = (script: Script, request: BackendRequest): Promise<void> =>
      Promise.resolve()
        .then(() => script(exchangeOf(request)))
        .then(() => undefined, fault)
    let held = false // after an Upgrade, until its script has taken over or answered otherwise
    const step = (): boolean => {
      if (current === undefined) {
        const request = this.#readRequest(pending, connection)
        if (request === undefined) return false
        pending = pending.subarray(request.head.length)
        current = request
        this.heads.push(request)
        void run(this.#headScripts.get(request.target) ?? this.onHead, request)
      }
      pending = current.reader.push(pending)
      if (!current.reader.done) return false
      const request = current
      current = undefined
      this.requests.push(request)
      connection.requests.push(request)
      if (this.#headScripts.has(request.target)) return true
      const answered = run(this.#scripts.get(request.target) ?? this.onRequest, request)
      if (request.framing !== 'none' || valuesOf(request.fields, 'upgrade').length === 0) return true
      held = true
      void answered.then(() => {
        held = false
        drain()
      })
      return false
    }
    const drain = () => {
      try {
        while (pending.length > 0 && !held && tunnel === undefined && step());
      } catch (error) {
        fault(error)
      }
    }
    socket.on('data', (bytes: Buffer) => {
      connection.received.push(bytes)
      if (tunnel !== undefined) return tunnel(bytes)
      pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes])
      drain()
    })
    socket.on('end', () => {
      if (tunnel === undefined) socket.end()
    })
  }

  #readRequest(bytes: Buffer, connection: BackendConnection): BackendRequest | undefined {
    const head = readHead(bytes)
    if (head === undefined) return undefined
    const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\/[\x21-\x22\x24-\x7e]*|\*) (HTTP\/1\.[01])$/.exec(head.startLine)
    if (match === null) throw new MalformedMessage(`request line ${JSON.stringify(head.startLine)}`)
    if (match[3] === 'HTTP/1.1' && valuesOf(head.fields, 'host').length !== 1)
      throw new MalformedMessage(`not one Host: ${head.text}`)
    const { framing, length } = framingOf(head.fields)
    return {
      method: match[1] ?? '',
      target: match[2] ?? '',
      version: match[3] ?? '',
      head: head.text,
      fields: head.fields,
      framing,
      reader: new BodyReader(framing, length),
      connection,
    }
  }
}

async function listen(t: Teardown, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

/** A recording HTTP backend on a free port of 127.0.0.1. */
export async function startBackend(t: Teardown, name = 'backend'): Promise<Backend> {
  const accepted: { backend?: Backend } = {}
  const port = await listen(t, (socket) => accepted.backend?.accept(socket))
  accepted.backend = new Backend(name, port)
  return accepted.backend
}

export interface TcpBackend {
  readonly port: number
  readonly address: string
  readonly connections: BackendConnection[]
}

/** A recording TCP backend; `onConnection` greets and answers. Default: echoes, and ends when the client ends. */
export async function startTcpBackend(
  t: Teardown,
  onConnection: (connection: BackendConnection) => void = ({ socket }) => socket.pipe(socket),
): Promise<TcpBackend> {
  const connections: BackendConnection[] = []
  const port = await listen(t, (socket) => {
    const connection = new BackendConnection(socket)
    connections.push(connection)
    socket.on('data', (bytes: Buffer) => connection.received.push(bytes))
    onConnection(connection)
  })
  return { port, address: `127.0.0.1:${port}`, connections }
}

/**
 * A port of 127.0.0.1 that refuses connections. It lies below the ports that the kernel gives out by itself, so that no
 * other test's listener on port 0 gets it meanwhile.
 */
export async function refusedPort(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 32_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
