/** What the exchanges of one HTTP service share in one data thread. */
import { isDeepStrictEqual } from 'node:util'
import type { Clients, ServiceCell } from '../../board/index.ts'
import { AddressSet, type DeadlineWheel, type Logger, type Roster } from '../../core/index.ts'
import { compileRoutes, fixedReply, type Reply, type RequestView } from '../../filters/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { AccessLog } from '../../telemetry/index.ts'
import type { Challenges } from '../../tls/index.ts'
import { Compression } from '../compression/compression.ts'
import type { Life, ServiceContext, ServicePool, ServiceView, Session } from '../contract.ts'
import { H2Connections } from '../h2-backend/connections.ts'
import { backendOptions } from '../h2-backend/options.ts'
import type { RetryBudget } from '../retry-budget.ts'
import { trimmed } from '../trimmed.ts'
import { AffinityFields } from './affinity-fields.ts'
import { ConnectionCache } from './backend-connection.ts'
import { ID, isTwin } from './fields.ts'
import { Filtering } from './filtering.ts'
import type { Head, HeadLimits } from './head.ts'
import { RequestLimit } from './request-limit.ts'

export class HttpContext implements ServiceContext {
  readonly life: Life
  readonly view: ServiceView
  readonly pools: readonly [ServicePool, ...ServicePool[]]
  readonly retryBudget: RetryBudget
  readonly cell: ServiceCell
  readonly preamble = null
  readonly clients: Clients | null
  /** Some pool hashes its requests by more than the client's address. */
  readonly hashing: boolean
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  readonly load: ServiceContext['load']
  readonly log: Logger
  readonly challenges: Challenges
  readonly sessions: Roster<Session>
  readonly limits: HeadLimits
  /** null: clients may send as many requests as they like. */
  readonly requestLimit: RequestLimit | null
  /** null: heads go on as they are. */
  readonly filtering: Filtering | null
  /** null: bodies go on as they are. */
  readonly compression: Compression | null
  /** null: no client is known by what its requests say. */
  readonly affinityFields: AffinityFields | null
  /** Exchanges under way. */
  active = 0
  /** Which of `routes` a request takes; null: there are none. */
  readonly #route: ((request: RequestView) => number) | null
  /** The pool of each route. */
  readonly #routePools: readonly ServicePool[]
  readonly #sorry = new Map<ServicePool, Reply>()
  readonly #old = new Set<Backend>()
  readonly #caches = new Map<Backend, ConnectionCache>()
  readonly #trusted: AddressSet

  /** @param before of the view before, whose idle connections are taken over as far as they fit */
  constructor(context: ServiceContext, before: HttpContext | null) {
    this.life = context.life
    this.sessions = context.sessions
    this.view = context.view
    this.pools = context.pools
    this.retryBudget = context.retryBudget
    this.cell = context.cell
    this.clients = context.clients
    this.hashing = context.pools.some(({ hashKey }) => hashKey !== null)
    this.wheel = context.wheel
    this.accessLog = context.accessLog
    this.load = context.load
    this.log = context.log
    this.challenges = context.challenges
    this.limits = context.view.http
    this.requestLimit = RequestLimit.of(context.view.limits, context.clients, context.cell)
    const { filters, routes, http } = context.view
    const same =
      before !== null &&
      isDeepStrictEqual(before.view.http, http) &&
      isDeepStrictEqual(before.view.timeouts, context.view.timeouts)
    const kept = same ? before : null
    for (const each of context.pools) {
      for (const backend of each.pool.backends) {
        this.#caches.set(backend, kept?.idleOf(backend) ?? this.#connectionsTo(backend))
        if (kept?.isOld(backend)) this.#old.add(backend)
      }
      const { allDown, sorry } = each.view
      if (allDown === 'sorry' && sorry !== undefined) {
        const reply = sorryReply(sorry)
        if (reply !== null) this.#sorry.set(each, reply)
      }
    }
    this.#route = routes.length === 0 ? null : compileRoutes(routes.map(({ match }) => match))
    this.#routePools = routes.map(
      ({ pool }) => context.pools.find(({ view }) => view.name === pool) ?? context.pools[0],
    )
    this.filtering = Filtering.of(filters, http.paths, routes.length > 0)
    this.compression = Compression.of(http.compression, context.cell)
    this.affinityFields = AffinityFields.of(context.pools)
    this.#trusted = new AddressSet(context.view.http.trustedProxies)
  }

  /** No new flows: those in progress finish, idle connections close. */
  get draining(): boolean {
    return this.life.draining
  }

  /** What a client's next request is served under; null: HTTP is served in another way by now, or not at all. */
  get latest(): HttpContext | null {
    const { latest } = this.life
    return latest instanceof HttpContext && latest.view.http.engine === this.view.http.engine ? latest : null
  }

  /** The pool that a request goes to; null: no route matches it, and there are no other backends. */
  poolFor(request: RequestView | null): ServicePool | null {
    const [own] = this.pools
    if (this.#route === null || request === null) return own
    const found = this.#routePools[this.#route(request)]
    if (found !== undefined) return found
    return own.pool.backends.length > 0 ? own : null
  }

  /** What clients get while no backend of a pool takes new flows; undefined: an error. */
  sorryOf(pool: ServicePool): Reply | undefined {
    return this.#sorry.get(pool)
  }

  #connectionsTo(backend: Backend): ConnectionCache {
    const { view, wheel, log, limits } = this
    if (backend.protocol === 'http1') return new ConnectionCache(limits, view.http.maxIdleBackendConnections)
    const options = backendOptions(view.http.backendHttp2)
    const { backendIdle: idleMs, connect: greetingMs } = view.timeouts
    return new H2Connections(backend, { service: view.name, wheel, log, limits, options, idleMs, greetingMs })
  }

  /** The connections to a backend with HTTP/2; null: it speaks HTTP/1.1. */
  streamsOf(backend: Backend): H2Connections | null {
    if (backend.protocol === 'http1') return null
    const connections = this.cacheOf(backend)
    return connections instanceof H2Connections ? connections : null
  }

  cacheOf(backend: Backend): ConnectionCache {
    return this.#caches.get(backend) ?? this.#latestCacheOf(backend)
  }

  /** undefined: it is none of this view's. */
  idleOf(backend: Backend): ConnectionCache | undefined {
    return this.#caches.get(backend)
  }

  /** For a flow that began under this view, and got a backend of a later one. */
  #latestCacheOf(backend: Backend): ConnectionCache {
    const found = this.latest?.idleOf(backend)
    if (found !== undefined) return found
    const once = this.#connectionsTo(backend)
    once.close()
    return once
  }

  /** Keeps what version `backend` has just answered in. */
  heard(backend: Backend, minor: number): void {
    if (minor === 0) this.#old.add(backend)
    else if (this.#old.size > 0) this.#old.delete(backend)
  }

  /** Its last answer was HTTP/1.0, which knows no interim answers. */
  isOld(backend: Backend): boolean {
    return this.#old.has(backend)
  }

  /** Are the forwarding fields of this peer believed? */
  trusts(address: string): boolean {
    return this.#trusted.has(address)
  }

  /** The client behind trusted proxies: the rightmost hop of X-Forwarded-For that is not one of them. */
  clientOf(head: Head, buf: Buffer, base: number, peer: string): string {
    let hops: string[] = []
    for (let i = 0; i < head.count; i++) {
      if (head.id(i) !== ID['x-forwarded-for']) continue
      if (isTwin(buf, base + head.nameStart(i), base + head.nameEnd(i))) continue
      hops = hops.concat(buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i)).split(','))
    }
    return this.clientBehind(hops, peer)
  }

  /** The rightmost of `hops` that is not trusted; `peer` without any. */
  clientBehind(hops: readonly string[], peer: string): string {
    let client = peer
    for (const hop of hops.toReversed()) {
      const address = trimmed(hop)
      if (!ADDRESS.test(address)) break // a chain is believed up to the first hop that is not an address
      client = address
      if (!this.trusts(address)) break
    }
    return client
  }

  /** Closes the idle connections, but for those that `after` goes on with. */
  close(after: HttpContext | null): void {
    for (const [backend, cache] of this.#caches) if (after?.idleOf(backend) !== cache) cache.close()
  }
}

const ADDRESS = /^[0-9a-fA-F:.]{2,45}$/

/** null: a backend says sorry. */
function sorryReply({ respond, redirect }: NonNullable<ServicePool['view']['sorry']>): Reply | null {
  if (respond !== undefined) return fixedReply(respond)
  return redirect === undefined ? null : { status: 302, fields: [['Location', redirect]], body: '', detail: null }
}
