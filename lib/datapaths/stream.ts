/** The datapath of `tcp`, `tls`, `http` and `https` services in one data thread: listeners in front, sessions behind. */
import { createAffinity } from '../affinity/index.ts'
import { BackendCell, type Board, Clients, ListenerCell, PoolCell, ServiceCell, sharedTime } from '../board/index.ts'
import { BalancerError, type DeadlineWheel, formatAddress, type Logger, nowMs, tlsProblem } from '../core/index.ts'
import { policyFactory } from '../policies/index.ts'
import { Backend, Pool } from '../pool/index.ts'
import type { AccessLog } from '../telemetry/index.ts'
import { BackendTls, type BackendTlsView, ServerContexts, type TicketRing, type TlsView } from '../tls/index.ts'
import type {
  Datapath,
  ListenerView,
  PoolView,
  ServiceContext,
  ServiceGate,
  ServicePool,
  ServiceView,
  Session,
} from './contract.ts'
import { cutAll } from './cut.ts'
import { Gate, type Ticket } from './gate.ts'
import { acceptHttp } from './h2/accept.ts'
import { HandshakeSlots, type ListenerTls } from './handshake.ts'
import { HttpContext } from './http/context.ts'
import { HashKey } from './http/hash-key.ts'
import { tellAndClose, turnAway } from './http/turn-away.ts'
import type { ProxyEngine } from './http-proxy/engine.ts'
import { Listener } from './listener.ts'
import { ProxyAcceptor } from './proxy-protocol/acceptor.ts'
import { RetryBudget } from './retry-budget.ts'
import { TcpSession } from './tcp/session.ts'
import type { Wire } from './wire.ts'

/** How long an idle connection of a service that drains may bring one more request, which is answered with `Connection: close`. */
const GRACE_MS = 1000

/** What all services of a data thread share. */
export interface ThreadTools {
  readonly board: Board
  readonly thread: number
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  readonly log: Logger
  readonly tickets: TicketRing
}

export class StreamDatapath implements Datapath {
  readonly #context: ServiceContext
  readonly #http: HttpContext | null
  /** Serves HTTP in the place of our own engine. */
  readonly #engine: ProxyEngine | null
  readonly #tools: ThreadTools
  readonly #tls: ListenerTls | null
  /** Those that listen. */
  #listeners: readonly Listener[] = []
  #emptied: (() => void) | null = null

  /**
   * @param engine what serves HTTP in the place of our own engine, if anything does
   * @throws BalancerError TLS_CERTIFICATE when the certificate can't be used
   */
  constructor(view: ServiceView, tools: ThreadTools, engine: ((context: HttpContext) => ProxyEngine) | null) {
    const { board, thread, wheel, accessLog, log } = tools
    this.#tools = tools
    const cell = new ServiceCell(board, thread, view.row)
    const { limits } = view
    const [own, ...others] = view.pools
    const limited = limits.connectionsPerClient > 0 || limits.requestsPerClient !== undefined
    const clients = limited ? new Clients(board.clients, thread, view.row) : null
    const context: ServiceContext = {
      view,
      pools: [servicePool(view, own, cell, tools), ...others.map((pool) => servicePool(view, pool, cell, tools))],
      retryBudget: new RetryBudget(),
      cell,
      clients,
      wheel,
      accessLog,
      log,
      active: 0,
      draining: false,
      sessions: new Set<Session>(),
    }
    const http = view.protocol === 'http' || view.protocol === 'https'
    this.#http = http ? new HttpContext(context) : null
    this.#engine = this.#http === null || engine === null ? null : engine(this.#http)
    this.#context = this.#http ?? context
    this.#tls = listenerTls(view, tools.tickets)
  }

  #listener({ row, host, port }: ListenerView): Listener {
    const { board, thread, wheel } = this.#tools
    const { view, cell, clients } = this.#context
    const listenerCell = new ListenerCell(board, thread, row)
    const trusts = (address: string): boolean => this.#http?.trusts(address) === true
    return new Listener({
      host,
      port,
      service: view.name,
      cell: listenerCell,
      serviceCell: cell,
      wheel,
      tls: this.#tls,
      proxy: this.#proxy(view),
      gate: new Gate({ board, listenerCell, serviceCell: cell, limits: view.limits, clients, trusts }),
      accept: (wire, ticket) => this.#accept(wire, ticket),
      refuse: (wire, refusal) => (this.#http === null ? wire.reset() : tellAndClose(wire, refusal, wheel)),
      turnAway: (wire, why) => (this.#http === null ? wire.reset() : turnAway(wire, why, wheel)),
    })
  }

  #proxy({ name, protocol, proxyProtocol }: ServiceView): ProxyAcceptor | null {
    const { accept, from, timeout } = proxyProtocol
    if (accept === 'off') return null
    const { cell, wheel, accessLog, log } = this.#context
    return new ProxyAcceptor({ service: name, protocol, accept, from, timeoutMs: timeout, cell, wheel, accessLog, log })
  }

  async admit(gate: ServiceGate): Promise<void> {
    this.#context.draining = gate !== 'open'
    if (gate === 'shut') this.#shut()
    if (gate !== 'open') for (const session of [...this.#context.sessions]) session.drain(GRACE_MS)
    if (gate !== 'shut' && this.#listeners.length === 0) await this.#listen()
  }

  async #listen(): Promise<void> {
    const listeners = this.#context.view.listeners.map((listener) => this.#listener(listener))
    this.#listeners = listeners
    const results = await Promise.allSettled(listeners.map((listener) => listener.open()))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    this.#shut()
    throw failed.reason
  }

  #shut(): void {
    for (const listener of this.#listeners) listener.close()
    this.#listeners = []
  }

  #accept(wire: Wire, ticket: Ticket): void {
    const ended = (): void => {
      ticket.end()
      if (this.#context.sessions.size === 0) this.#emptied?.()
    }
    if (this.#engine !== null) this.#engine.accept(wire, ticket.client, ended)
    else if (this.#http !== null) acceptHttp(this.#http, wire, ticket.client, ended)
    else new TcpSession(this.#context, wire, ended).start()
  }

  secure(tls: TlsView): void {
    if (this.#tls !== null) this.#tls.contexts = new ServerContexts(tls, this.#tools.tickets)
  }

  async drain(): Promise<void> {
    this.#context.draining = true
    this.#shut()
    for (const session of [...this.#context.sessions]) session.drain(0)
    if (this.#context.sessions.size > 0) await new Promise<void>((resolve) => (this.#emptied = resolve))
    this.#http?.close()
    this.#engine?.close()
  }

  cut(backendName: string | null, spreadMs: number): Promise<void> {
    const sessions = [...this.#context.sessions]
    if (backendName === null) return cutAll(sessions, null, spreadMs)
    return cutAll(
      sessions.filter((session) => session.since(backendName) < Number.POSITIVE_INFINITY),
      backendName,
      spreadMs,
    )
  }

  oldest(backendName: string | null): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const session of this.#context.sessions) oldest = Math.min(oldest, session.since(backendName))
    return oldest
  }

  async close(): Promise<void> {
    this.#shut()
    for (const session of [...this.#context.sessions]) session.cut(null)
    this.#http?.close()
    this.#engine?.close()
  }
}

function listenerTls({ tls, protocol, timeouts, limits, http }: ServiceView, tickets: TicketRing): ListenerTls | null {
  if (tls === null) return null
  const http2 = http.http2.enabled && http.engine === 'native'
  return {
    contexts: new ServerContexts(tls, tickets),
    slots: new HandshakeSlots(limits.handshakes),
    alpn: protocol !== 'https' ? [] : http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    timeoutMs: timeouts.handshake,
  }
}

const TELL_MS = 60_000 // a handshake that fails with every flow is told once in that time

function backendTls(service: string, protocol: ServiceView['protocol'], view: BackendTlsView, log: Logger): BackendTls {
  const told = new Map<string, number>()
  return new BackendTls(view, protocol.startsWith('http') ? ['http/1.1'] : [], (host, port, error) => {
    const at = formatAddress(host, port)
    const now = nowMs()
    if (now - (told.get(at) ?? Number.NEGATIVE_INFINITY) < TELL_MS) return
    told.set(at, now)
    log.warn({ service, backend: at }, `backend ${at}: ${tlsProblem(error)}`)
  })
}

function servicePool(
  { name, protocol }: ServiceView,
  view: PoolView,
  service: ServiceCell,
  { board, thread, log }: ThreadTools,
): ServicePool {
  const policy = policyFactory(view.balance, view.hash)
  if (policy === undefined)
    throw new BalancerError('CONFIG_INVALID', `service ${name}: there is no policy ${view.balance}`)
  const security = view.tls === null ? null : backendTls(name, protocol, view.tls, log)
  const backends = view.backends.map(
    ({ name, host, port, row, sendProxy, tier }) =>
      new Backend(name, host, port, new BackendCell(board, thread, row), {
        sendProxy,
        tier,
        watched: view.watched,
        security,
      }),
  )
  const cell = new PoolCell(board, thread, view.row)
  const built =
    view.affinity === null
      ? null
      : createAffinity(view.affinity, {
          backends,
          table: board.bindings,
          thread,
          secure: protocol === 'https',
          onEvicted: () => service.affinityEvicted(),
          now: () => sharedTime(nowMs()),
          wall: Date.now,
        })
  const pool = new Pool({
    backends,
    cell,
    policy,
    queue: view.queue,
    panics: view.allDown === 'panic',
    affinity: built?.affinity ?? null,
    onAffinity: (result) => service.affinity(result),
  })
  return {
    view,
    pool,
    timed: view.balance === 'least-time',
    hashKey: HashKey.of(view),
    http: built?.http ?? null,
    stream: built?.stream ?? null,
  }
}
