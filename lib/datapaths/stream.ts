/** The datapath of `tcp`, `tls`, `http` and `https` services in one data thread: listeners in front, sessions behind. */
import { createAffinity } from '../affinity/index.ts'
import { BackendCell, type Board, Clients, ListenerCell, PoolCell, ServiceCell, sharedTime } from '../board/index.ts'
import { BalancerError, type DeadlineWheel, type Logger } from '../core/index.ts'
import { policyFactory } from '../policies/index.ts'
import { Backend, Pool } from '../pool/index.ts'
import type { AccessLog } from '../telemetry/index.ts'
import { createServerContext } from '../tls/index.ts'
import type { Datapath, PoolView, ServiceContext, ServicePool, ServiceView, Session } from './contract.ts'
import { Gate, type Ticket } from './gate.ts'
import { HttpContext } from './http/context.ts'
import { H1Session } from './http/h1.ts'
import { HashKey } from './http/hash-key.ts'
import { turnAway } from './http/turn-away.ts'
import { ProxyEngine } from './http-proxy/engine.ts'
import { Listener, type ListenerTls } from './listener.ts'
import { ProxyAcceptor } from './proxy-protocol/acceptor.ts'
import { RetryBudget } from './retry-budget.ts'
import { TcpSession } from './tcp/session.ts'
import type { Wire } from './wire.ts'

/** What all services of a data thread share. */
export interface ThreadTools {
  readonly board: Board
  readonly thread: number
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  readonly log: Logger
}

export class StreamDatapath implements Datapath {
  readonly #context: ServiceContext
  readonly #http: HttpContext | null
  /** Serves HTTP in the place of our own engine. */
  readonly #engine: ProxyEngine | null
  readonly #listeners: Listener[]
  #emptied: (() => void) | null = null

  /** @throws BalancerError TLS_CERTIFICATE when the certificate can't be used */
  constructor(view: ServiceView, tools: ThreadTools) {
    const { board, thread, wheel, accessLog, log } = tools
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
    this.#engine = this.#http !== null && view.http.engine === 'http-proxy' ? new ProxyEngine(this.#http) : null
    this.#context = this.#http ?? context
    const tls = this.#tls(view)
    const trusts = (address: string): boolean => this.#http?.trusts(address) === true
    this.#listeners = view.listeners.map(({ row, host, port }) => {
      const listenerCell = new ListenerCell(board, thread, row)
      return new Listener({
        host,
        port,
        service: view.name,
        cell: listenerCell,
        serviceCell: cell,
        wheel,
        tls,
        proxy: this.#proxy(view),
        gate: new Gate({ board, listenerCell, serviceCell: cell, limits, clients, trusts }),
        accept: (wire, ticket) => this.#accept(wire, ticket),
        turnAway: (wire, why) => (http ? turnAway(wire, why, wheel) : wire.reset()),
      })
    })
  }

  #tls(view: ServiceView): ListenerTls | null {
    if (view.tls === null) return null
    const { credentials, minVersion, ticketKeys } = view.tls
    const protocol = view.protocol === 'https' ? 'https' : 'tls'
    return {
      context: createServerContext(credentials, { minVersion, ticketKeys }),
      protocol,
      timeoutMs: view.timeouts.handshake,
    }
  }

  #proxy({ name, protocol, proxyProtocol }: ServiceView): ProxyAcceptor | null {
    const { accept, from, timeout } = proxyProtocol
    if (accept === 'off') return null
    const { cell, wheel, accessLog, log } = this.#context
    return new ProxyAcceptor({ service: name, protocol, accept, from, timeoutMs: timeout, cell, wheel, accessLog, log })
  }

  async open(): Promise<void> {
    const results = await Promise.allSettled(this.#listeners.map((listener) => listener.open()))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    for (const listener of this.#listeners) listener.close()
    throw failed.reason
  }

  #accept(wire: Wire, ticket: Ticket): void {
    const ended = (): void => {
      ticket.end()
      if (this.#context.sessions.size === 0) this.#emptied?.()
    }
    if (this.#engine !== null) this.#engine.accept(wire, ticket.client, ended)
    else if (this.#http !== null) new H1Session(this.#http, wire, ticket.client, ended).start()
    else new TcpSession(this.#context, wire, ended).start()
  }

  async drain(): Promise<void> {
    this.#context.draining = true
    for (const listener of this.#listeners) listener.close()
    for (const session of [...this.#context.sessions]) session.drain()
    if (this.#context.sessions.size > 0) await new Promise<void>((resolve) => (this.#emptied = resolve))
    this.#http?.close()
    this.#engine?.close()
  }

  cut(backendName: string): void {
    for (const session of [...this.#context.sessions]) session.cut(backendName)
  }

  async close(): Promise<void> {
    for (const listener of this.#listeners) listener.close()
    for (const session of [...this.#context.sessions]) session.cut(null)
    this.#http?.close()
    this.#engine?.close()
  }
}

function servicePool(
  { name, protocol }: ServiceView,
  view: PoolView,
  service: ServiceCell,
  { board, thread }: ThreadTools,
): ServicePool {
  const policy = policyFactory(view.balance, view.hash)
  if (policy === undefined)
    throw new BalancerError('CONFIG_INVALID', `service ${name}: there is no policy ${view.balance}`)
  const backends = view.backends.map(
    ({ name, host, port, row, sendProxy, tier }) =>
      new Backend(name, host, port, new BackendCell(board, thread, row), { sendProxy, tier }),
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
          now: () => sharedTime(performance.now()),
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
