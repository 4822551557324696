/** Runs the virtual services of a configuration: rows, certificates, ports, probes and data threads. */
import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'
import { Board, newBindings, RowBook, sharedTime } from '../board/index.ts'
import type { Config, ServiceConfig } from '../config/index.ts'
import { BalancerError, type Clock, formatAddress, type Logger } from '../core/index.ts'
import type { BackendView, ListenerView, PoolView, ServiceView } from '../datapaths/index.ts'
import { type Credentials, loadCredentials, newTicketKeys } from '../tls/index.ts'
import { AffinityPlan, usesTable } from './affinity.ts'
import { Leftovers } from './leftovers.ts'
import { descriptorMeans, MemoryUse, memoryMeans } from './means.ts'
import { OverloadWatch } from './overload.ts'
import { membersOf, poolsOf, sizeOf } from './pools.ts'
import { type Claim, claimPort } from './ports.ts'
import { Threads } from './threads.ts'
import { BackendTracker, type StateChange } from './tracker.ts'

const ENTRIES_MS = 1000 // a full table takes 10 ms to count
const TICK_MS = 200 // how soon a drained backend is seen as down
const FLOOD_OVER_TICKS = 15 // 3 s with few connections, then what a flood left is collected

export interface ManagerOptions {
  readonly config: Config
  /** Where what must outlive the process is kept. */
  readonly stateFolder: string
  readonly clock: Clock
  readonly log: Logger
  readonly onHopeless: (error: BalancerError) => void
}

/** A virtual service as the control thread knows it. */
export interface RunningService {
  readonly name: string
  readonly config: ServiceConfig
  readonly view: ServiceView
  readonly trackers: readonly BackendTracker[]
  readonly credentials: Credentials | null
}

export class Manager {
  readonly board: Board
  readonly startedAt: number
  readonly #options: ManagerOptions
  readonly #rows = new RowBook()
  readonly #affinity: AffinityPlan
  readonly #services = new Map<string, RunningService>()
  readonly #listeners = new Set<(change: StateChange) => void>()
  #threads: Threads | null = null
  readonly #overload: OverloadWatch
  readonly #leftovers: Leftovers
  #ticker: NodeJS.Timeout | null = null
  #draining = false
  #entries: Int32Array | null = null
  #entriesAt = 0

  constructor(options: ManagerOptions) {
    const { threads, affinity } = options.config.appliance
    this.#options = options
    const count = threads === 'auto' ? Math.min(availableParallelism(), 32) : threads
    this.board = new Board(count, undefined, newBindings(affinity.maxEntries))
    this.#affinity = new AffinityPlan(options.stateFolder, options.log)
    this.startedAt = options.clock.wall()
    setFlagsFromString('--expose-gc') // for threads that start from now on: see `collect`
    const use = new MemoryUse()
    const collect = () => this.#threads?.broadcast({ type: 'collect' })
    this.#overload = new OverloadWatch({
      limits: options.config.appliance.overload,
      board: this.board,
      log: options.log,
      means: { memory: () => memoryMeans(use, this.#threads?.held() ?? 0), descriptors: descriptorMeans },
      collect,
    })
    this.#leftovers = new Leftovers({ active: () => this.activeConnections(), looks: FLOOD_OVER_TICKS, collect })
  }

  get services(): ReadonlyMap<string, RunningService> {
    return this.#services
  }
  get threads(): Threads | null {
    return this.#threads
  }
  get log(): Logger {
    return this.#options.log
  }
  get draining(): boolean {
    return this.#draining
  }

  /**
   * Starts everything or nothing.
   * @throws BalancerError LISTEN_FAILED, TLS_CERTIFICATE or CONFIG_INVALID, naming the service and what is wrong
   */
  async start(): Promise<void> {
    const { config, clock, log, onHopeless } = this.#options
    const claims: Claim[] = []
    try {
      const total = Object.values(config.virtualServices).reduce((sum, service) => sum + sizeOf(service), 0)
      let index = 0
      for (const [name, service] of Object.entries(config.virtualServices)) {
        const running = await this.#prepare(name, service, claims, index, total)
        index += sizeOf(service)
        this.#services.set(name, running)
      }
    } finally {
      await Promise.all(claims.map((claim) => claim.release()))
    }
    const views = [...this.#services.values()].map((service) => service.view)
    this.#threads = new Threads({
      board: this.board,
      accessLog: config.accessLog,
      services: views,
      clock,
      log,
      onHopeless,
    })
    // Probes start first, so that the first connection finds their results.
    for (const tracker of this.trackers()) tracker.start()
    this.#ticker = setInterval(() => {
      for (const tracker of this.trackers()) tracker.tick()
      this.#leftovers.look()
      this.board.bindings.sweep(sharedTime(performance.now()))
    }, TICK_MS)
    try {
      await this.#overload.look() // before the first connection
      await this.#threads.start()
    } catch (error) {
      this.#stopTrackers()
      throw error
    }
    this.#overload.start()
  }

  /** Tells of each state change of a backend from now on; the answer ends that. */
  onChange(listener: (change: StateChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  *trackers(): Generator<BackendTracker> {
    for (const service of this.#services.values()) yield* service.trackers
  }

  /** Clients of a service that the table keeps on their backends, a second ago at most; null: it keeps none there. */
  affinityEntriesOf({ view }: RunningService): number | null {
    const scopes = new Set<number>()
    for (const { affinity } of view.pools)
      if (affinity !== null && usesTable(affinity)) scopes.add(affinity.scope.number)
    if (scopes.size === 0) return null
    const now = this.#options.clock.now()
    if (this.#entries === null || now - this.#entriesAt > ENTRIES_MS) {
      this.#entries = this.board.bindings.entriesByScope()
      this.#entriesAt = now
    }
    let sum = 0
    for (const scope of scopes) sum += this.#entries[scope] ?? 0
    return sum
  }

  /** Flows of clients under way, over all services. */
  activeConnections(): number {
    let sum = 0
    for (const { view } of this.#services.values()) sum += this.board.active('service', view.row)
    return sum
  }

  /** Takes no new flows and resolves when the last has ended. */
  async drain(): Promise<void> {
    this.#draining = true
    await this.#threads?.drain()
  }

  async stop(): Promise<void> {
    this.#draining = true
    this.#overload.stop()
    this.#stopTrackers()
    await this.#threads?.stop()
  }

  #stopTrackers(): void {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    for (const tracker of this.trackers()) tracker.stop()
  }

  async #prepare(
    name: string,
    service: ServiceConfig,
    claims: Claim[],
    index: number,
    total: number,
  ): Promise<RunningService> {
    const { clock, log } = this.#options
    const row = this.#rows.row('service', name)
    const certificate = service.tls?.certificates[0]
    const credentials = certificate === undefined ? null : await credentialsOf(name, certificate)
    for (const warning of credentials?.warnings ?? []) log.warn({ service: name }, warning)
    const listeners: ListenerView[] = []
    for (const { host, first, last } of service.listen) {
      for (let port = first; port <= last; port++) {
        const claim = await claimPort(`service ${name}`, host, port)
        claims.push(claim)
        listeners.push({
          host,
          port: claim.port,
          row: this.#rows.row('listener', `${name} ${formatAddress(host, claim.port)}`),
        })
      }
    }
    const pools = poolsOf(service)
    const trackers: BackendTracker[] = []
    const poolViews: PoolView[] = []
    const cookies = new Set<string>()
    for (const [poolName, pool] of pools) {
      const poolRow = this.#rows.row('pool', `${name} ${poolName}`)
      const backends: BackendView[] = []
      for (const { backend, tier, health, load } of membersOf(pool)) {
        const tracker = new BackendTracker({
          service: name,
          pool: poolName,
          poolRow,
          backend,
          tier,
          row: this.#rows.row('backend', `${name}/${backend.name}`),
          health,
          load,
          drainTimeoutMs: pool.drain.timeout,
          slowStartMs: pool.slowStart,
          board: this.board,
          clock,
          log,
          index: index + trackers.length,
          total,
          onDeadline: () => this.#threads?.broadcast({ type: 'cut', service: name, backend: backend.name }),
          onChange: (change) => {
            for (const listener of this.#listeners) listener(change)
          },
        })
        const { row, host, port } = tracker
        trackers.push(tracker)
        backends.push({ row, name: backend.name, host, port, tier, sendProxy: backend.sendProxy ?? service.sendProxy })
      }
      const { balance, hash, queue, allDown, sorry } = pool
      const affinity = await this.#affinity.viewOf(name, poolName, poolRow, pool.affinity, cookies)
      const { startGrace } = pool.health
      poolViews.push({
        name: poolName,
        row: poolRow,
        balance,
        hash,
        affinity,
        backends,
        queue,
        allDown,
        sorry,
        startGrace,
      })
    }
    const [own, ...others] = poolViews as [PoolView, ...PoolView[]]
    const view: ServiceView = {
      name,
      row,
      protocol: service.protocol,
      listeners,
      pools: [own, ...others],
      routes: service.routes,
      proxyProtocol: service.proxyProtocol,
      limits: service.limits,
      timeouts: service.timeouts,
      http: service.http,
      filters: service.filters,
      retries: service.retries,
      tls:
        credentials === null
          ? null
          : { credentials, minVersion: service.tls?.minVersion ?? 'TLSv1.2', ticketKeys: newTicketKeys() },
    }
    return { name, config: service, view, trackers, credentials }
  }
}

async function credentialsOf(name: string, certificate: { cert: string; key: string }): Promise<Credentials> {
  try {
    return await loadCredentials(certificate)
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    throw new BalancerError(error.code, `service ${name}: ${error.message}`, { cause: error })
  }
}
