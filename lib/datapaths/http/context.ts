/** What the exchanges of one HTTP service share in one data thread. */
import type { Clients, ServiceCell } from '../../board/index.ts'
import { AddressSet, type DeadlineWheel, type Logger } from '../../core/index.ts'
import type { Backend, Pool } from '../../pool/index.ts'
import type { AccessLog } from '../../telemetry/index.ts'
import type { ServiceContext, ServiceView, Session } from '../contract.ts'
import { ConnectionCache } from './backend-connection.ts'
import { ID } from './fields.ts'
import { Filtering } from './filtering.ts'
import type { Head, HeadLimits } from './head.ts'
import { RequestLimit } from './request-limit.ts'

export class HttpContext implements ServiceContext {
  readonly view: ServiceView
  readonly pool: Pool
  readonly cell: ServiceCell
  readonly clients: Clients | null
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  readonly log: Logger
  readonly sessions = new Set<Session>()
  readonly limits: HeadLimits
  /** null: clients may send as many requests as they like. */
  readonly requestLimit: RequestLimit | null
  /** null: heads go on as they are. */
  readonly filtering: Filtering | null
  draining = false
  /** Exchanges under way. */
  active = 0
  readonly #caches = new Map<Backend, ConnectionCache>()
  readonly #trusted: AddressSet

  constructor(context: ServiceContext) {
    this.view = context.view
    this.pool = context.pool
    this.cell = context.cell
    this.clients = context.clients
    this.wheel = context.wheel
    this.accessLog = context.accessLog
    this.log = context.log
    this.limits = context.view.http
    this.requestLimit = RequestLimit.of(context.view.limits, context.clients, context.cell)
    for (const backend of context.pool.backends)
      this.#caches.set(backend, new ConnectionCache(this.limits, this.view.http.maxIdleBackendConnections))
    this.filtering = Filtering.of(context.view.filters, context.view.http.paths)
    this.#trusted = new AddressSet(context.view.http.trustedProxies)
  }

  cacheOf(backend: Backend): ConnectionCache {
    return this.#caches.get(backend) as ConnectionCache
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
      hops = hops.concat(buf.latin1Slice(base + head.valueStart(i), base + head.valueEnd(i)).split(','))
    }
    let client = peer
    for (const hop of hops.reverse()) {
      const address = hop.trim()
      if (!ADDRESS.test(address)) break // a chain is believed up to the first hop that is not an address
      client = address
      if (!this.trusts(address)) break
    }
    return client
  }

  close(): void {
    for (const cache of this.#caches.values()) cache.close()
  }
}

const ADDRESS = /^[0-9a-fA-F:.]{2,45}$/
