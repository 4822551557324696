/** One view of a service made to work in a data thread: its pools, TLS contexts and HTTP engine. What stays the same is taken over from the view before. */
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import { createAffinity } from '../affinity/index.ts'
import { BackendCell, Clients, ListenerCell, PoolCell, ServiceCell, sharedTime } from '../board/index.ts'
import { BalancerError, formatAddress, isHostName, type Logger, nowMs, tlsProblem } from '../core/index.ts'
import { policyFactory } from '../policies/index.ts'
import { Backend, Pool, type Security } from '../pool/index.ts'
import { BackendTls, type BackendTlsView, ServerContexts, type TlsView } from '../tls/index.ts'
import type { Life, ListenerView, PoolView, ServiceContext, ServicePool, ServiceView } from './contract.ts'
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
import { preambles } from './starttls/index.ts'
import type { ThreadTools } from './stream.ts'
import { NameRoutes } from './tcp/name-routes.ts'
import { TcpSession } from './tcp/session.ts'
import type { Wire } from './wire.ts'

/** Makes what serves HTTP in the place of our own engine. */
export type EngineFactory = (context: HttpContext, before: ProxyEngine | null) => ProxyEngine

export interface GenerationOptions {
  readonly view: ServiceView
  readonly life: Life
  readonly tools: ThreadTools
  /** null: our own engine serves HTTP. */
  readonly engine: EngineFactory | null
  /** null: it is the first. */
  readonly before: Generation | null
  /** A session has ended. */
  readonly onEnded: () => void
}

export class Generation {
  readonly context: ServiceContext
  readonly listeners: readonly Listener[]
  readonly #http: HttpContext | null
  readonly #engine: ProxyEngine | null
  readonly #tools: ThreadTools
  readonly #tls: ListenerTls | null
  /** null: connections are not routed by the name that they ask for. */
  readonly #names: NameRoutes | null
  readonly #onEnded: () => void

  /** @throws BalancerError TLS_CERTIFICATE when a certificate can't be used */
  constructor({ view, life, tools, engine, before, onEnded }: GenerationOptions) {
    const { board, thread, wheel, accessLog, log, challenges } = tools
    this.#tools = tools
    this.#onEnded = onEnded
    const cell = new ServiceCell(board, thread, view.row)
    const { limits } = view
    const limited = limits.connectionsPerClient > 0 || limits.requestsPerClient !== undefined
    const pool = (each: PoolView): ServicePool => servicePool(view, each, cell, tools, before?.context ?? null)
    const [own, ...others] = view.pools
    const context: ServiceContext = {
      life,
      view,
      pools: [pool(own), ...others.map(pool)],
      retryBudget: new RetryBudget(),
      cell,
      preamble: view.startTls === null ? null : preambles[view.startTls](nameOf(view)),
      clients: limited ? new Clients(board.clients, thread, view.row) : null,
      wheel,
      accessLog,
      load: tools.load,
      log,
      active: 0,
      get draining() {
        return life.draining
      },
      sessions: life.sessions,
      challenges,
    }
    const http = view.protocol === 'http' || view.protocol === 'https'
    this.#http = http ? new HttpContext(context, before === null ? null : before.#http) : null
    this.#engine =
      this.#http === null || engine === null ? null : engine(this.#http, before === null ? null : before.#engine)
    this.context = this.#http ?? context
    this.#names = http ? null : NameRoutes.of(context)
    this.#tls = listenerTls(this.context, tools, before === null ? null : before.#tls)
    this.listeners = view.listeners.map((each) => this.#listener(each))
  }

  #listener({ row, host, port }: ListenerView): Listener {
    const { board, thread, wheel, load } = this.#tools
    const { view, cell, clients } = this.context
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
      gate: new Gate({ board, load, listenerCell, serviceCell: cell, limits: view.limits, clients, trusts }),
      accept: (wire, ticket) => this.#accept(wire, ticket),
      refuse: (wire, refusal) => (this.#http === null ? wire.reset() : tellAndClose(wire, refusal, wheel)),
      turnAway: (wire, why) => (this.#http === null ? wire.reset() : turnAway(wire, why, wheel)),
    })
  }

  #proxy({ name, protocol, proxyProtocol }: ServiceView): ProxyAcceptor | null {
    const { accept, from, timeout } = proxyProtocol
    if (accept === 'off') return null
    const { cell, wheel, accessLog, log } = this.context
    return new ProxyAcceptor({ service: name, protocol, accept, from, timeoutMs: timeout, cell, wheel, accessLog, log })
  }

  #accept(wire: Wire, ticket: Ticket): void {
    const ended = (): void => {
      ticket.end()
      this.#onEnded()
    }
    if (this.#engine !== null) this.#engine.accept(wire, ticket.client, ended)
    else if (this.#http !== null) acceptHttp(this.#http, wire, ticket.client, ended)
    else new TcpSession(this.context, wire, this.#names, ended).start()
  }

  /** Handshakes that begin from now on are as `tls` says. */
  secure(tls: TlsView): void {
    if (this.#tls === null) return
    this.#tls.contexts = new ServerContexts(tls, this.#tools.tickets)
    this.#tls.view = tls
  }

  /** Closes the idle connections to backends, but for those that `after` goes on with. */
  close(after: Generation | null): void {
    this.#http?.close(after === null ? null : after.#http)
    this.#engine?.close(after === null ? null : after.#engine)
  }
}

/** What we call ourselves to clients that ask for TLS: a name that they will find in the certificate. */
const nameOf = ({ tls }: ServiceView): string =>
  tls?.credentials[0]?.names.find((name) => isHostName(name) && isIP(name) === 0) ?? hostname()

function listenerTls(
  { view, preamble }: ServiceContext,
  { tickets, challenges }: ThreadTools,
  before: ListenerTls | null,
): ListenerTls | null {
  const { tls, protocol, timeouts, limits, http } = view
  if (tls === null) return null
  const http2 = http.http2.enabled && http.engine === 'native'
  const same = before !== null && isDeepStrictEqual(before.view, tls)
  return {
    view: tls,
    contexts: same ? before.contexts : new ServerContexts(tls, tickets),
    slots: before?.slots.most === limits.handshakes ? before.slots : new HandshakeSlots(limits.handshakes),
    alpn: protocol !== 'https' ? [] : http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    preamble,
    timeoutMs: timeouts.handshake,
    challenges,
  }
}

const TELL_MS = 60_000 // a handshake that fails with every flow is told once in that time

function backendTls(service: string, alpn: readonly string[], view: BackendTlsView, log: Logger): BackendTls {
  const told = new Map<string, number>()
  return new BackendTls(view, alpn, (host, port, error) => {
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
  tools: ThreadTools,
  before: ServiceContext | null,
): ServicePool {
  const { board, thread } = tools
  const policy = policyFactory(view.balance, view.hash)
  if (policy === undefined)
    throw new BalancerError('CONFIG_INVALID', `service ${name}: there is no policy ${view.balance}`)
  const old = before?.pools.find((each) => each.view.row === view.row) ?? null
  const backends = backendsOf(name, protocol, view, tools, before?.view.protocol === protocol ? old : null)
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
    before: old?.pool ?? null,
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

/** Those that are as they were are the same objects: so are the idle connections to them. */
function backendsOf(
  service: string,
  protocol: ServiceView['protocol'],
  view: PoolView,
  { board, thread, log }: ThreadTools,
  old: ServicePool | null,
): Backend[] {
  const { backendProtocol: spoken } = view
  const same = old !== null && isDeepStrictEqual(old.view.tls, view.tls) && old.view.backendProtocol === spoken
  const security: Security | null = same
    ? (old.pool.backends[0]?.security ?? secured(service, protocol, view, log))
    : secured(service, protocol, view, log)
  const kept = new Map<string, Backend>()
  if (same && old.view.watched === view.watched)
    for (const [i, each] of old.view.backends.entries()) {
      const backend = old.pool.backends[i]
      if (backend !== undefined) kept.set(JSON.stringify(each), backend)
    }
  return view.backends.map((each) => {
    const { name, host, port, row, sendProxy, tier } = each
    const { watched } = view
    return (
      kept.get(JSON.stringify(each)) ??
      new Backend(name, host, port, new BackendCell(board, thread, row), {
        sendProxy,
        tier,
        watched,
        security,
        protocol: spoken,
      })
    )
  })
}

const secured = (
  service: string,
  protocol: ServiceView['protocol'],
  { tls, backendProtocol }: PoolView,
  log: Logger,
): Security | null => {
  const alpn = !protocol.startsWith('http') ? [] : backendProtocol === 'h2' ? ['h2'] : ['http/1.1']
  return tls === null ? null : backendTls(service, alpn, tls, log)
}
