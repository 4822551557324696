/** The engine `http-proxy` of one service in one data thread: node:http in front, the http-proxy package behind. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { isDeepStrictEqual } from 'node:util'
import { ProxyServer } from 'http-proxy'
import type { Backend } from '../../pool/index.ts'
import type { HttpContext } from '../http/context.ts'
import type { Wire } from '../wire.ts'
import { BackendAgent } from './agent.ts'
import { Answer } from './answer.ts'
import { elementsOf, type Field, isTwin } from './fields.ts'
import { ProxySession } from './session.ts'

/** By what they serve: the one that follows is found by it. */
const engines = new WeakMap<HttpContext, ProxyEngine>()

const START_LINE = 2 * 1024 // of a head without the target: method, version; status, reason

export class ProxyEngine {
  readonly context: HttpContext
  readonly proxy = new ProxyServer()
  /** What node's parser takes of an answer's head; oversized fields are found by us where they are fewer. */
  readonly answerBytes: number
  readonly #server: Server<typeof IncomingMessage, typeof Answer>
  readonly #sessions = new WeakMap<object, ProxySession>()
  readonly #agents = new Map<Backend, BackendAgent>()

  /** @param before of the view before, whose idle connections are taken over as far as they fit */
  constructor(context: HttpContext, before: ProxyEngine | null) {
    const { http } = context.view
    engines.set(context, this)
    const kept = before !== null && isDeepStrictEqual(before.context.view.http, http) ? before : null
    this.context = context
    this.answerBytes = http.maxHead + START_LINE
    for (const { pool } of context.pools)
      for (const backend of pool.backends)
        this.#agents.set(backend, kept?.idleOf(backend) ?? new BackendAgent(http.maxIdleBackendConnections))
    // Times and Host are looked after by the session and by request.ts: so that they are logged and answered as by the other engine.
    this.#server = createServer({
      ServerResponse: Answer,
      insecureHTTPParser: false,
      joinDuplicateHeaders: false,
      maxHeaderSize: http.maxTarget + http.maxHead + START_LINE,
      requireHostHeader: false,
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
    })
    this.#server.maxHeadersCount = 0 // it would drop what is too much, without a word
    this.#listen()
  }

  #listen(): void {
    const server = this.#server
    const serve = (req: IncomingMessage, res: Answer): void => this.#of(req.socket)?.onRequest(req, res)
    server.on('request', serve)
    server.on('checkContinue', serve)
    server.on('checkExpectation', serve)
    const upgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => this.#of(socket)?.onUpgrade(req, head)
    server.on('upgrade', upgrade)
    server.on('connect', upgrade) // refused like any other head
    server.on('clientError', (error, socket) => this.#of(socket)?.onMalformed(error))
    this.proxy.on('proxyReq', (request, _req, res, _options, socket) => {
      if (res instanceof Answer) res.attempt?.onRequest(request, socket)
    })
    this.proxy.on('econnreset', () => {}) // the client is gone: its stream has told
    this.proxy.on('error', (error) => this.context.log.debug({ error }, 'http-proxy'))
  }

  #of(stream: object): ProxySession | undefined {
    return this.#sessions.get(stream)
  }

  accept(wire: Wire, client: number, closed: () => void): void {
    new ProxySession(this, wire, client, closed).start()
  }

  /** node:http reads requests from `stream` from now on. */
  connect(stream: Duplex, session: ProxySession): void {
    this.#sessions.set(stream, session)
    this.#server.emit('connection', stream)
  }

  /** node:http works on any duplex stream; its types know sockets only. */
  asSocket(stream: Duplex): Socket {
    return stream as unknown as Socket
  }

  /** What a client's next request is served by; null: HTTP is served in another way by now. */
  get latest(): ProxyEngine | null {
    const { latest } = this.context
    return latest === null ? null : (engines.get(latest) ?? null)
  }

  agentOf(backend: Backend): BackendAgent {
    return this.#agents.get(backend) ?? this.#latestAgentOf(backend)
  }

  /** undefined: it is none of this view's. */
  idleOf(backend: Backend): BackendAgent | undefined {
    return this.#agents.get(backend)
  }

  /** For a flow that began under this view, and got a backend of a later one. */
  #latestAgentOf(backend: Backend): BackendAgent {
    return this.latest?.idleOf(backend) ?? new BackendAgent(0)
  }

  /** The client behind trusted proxies: the rightmost hop of X-Forwarded-For that is not one of them. */
  clientOf(fields: readonly Field[], peer: string): string {
    const hops = fields
      .filter((field) => field.key === 'x-forwarded-for' && !isTwin(field))
      .flatMap(({ value }) => elementsOf(value))
    return this.context.clientBehind(hops, peer)
  }

  /** Closes the idle connections, but for those that `after` goes on with. */
  close(after: ProxyEngine | null): void {
    for (const [backend, agent] of this.#agents) if (after?.idleOf(backend) !== agent) agent.retire()
  }
}
