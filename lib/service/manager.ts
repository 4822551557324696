/** Runs the virtual services of a configuration: rows, certificates, ports, probes, operators' wishes and data threads. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { Board, newBindings, RowBook, sharedTime } from '../board/index.ts'
import type { Config, OutliersConfig, PoolConfig, ServiceConfig } from '../config/index.ts'
import { type BalancerError, type Clock, formatAddress, type Logger } from '../core/index.ts'
import type { BackendView, ListenerView, PoolView, ServiceView } from '../datapaths/index.ts'
import type { CertificateStore } from '../tls/index.ts'
import { AffinityPlan, usesTable } from './affinity.ts'
import { spreadOf } from './drain.ts'
import { Leftovers } from './leftovers.ts'
import { descriptorMeans, MemoryUse, memoryMeans } from './means.ts'
import { Memory } from './memory.ts'
import { type OperationChange, Operator } from './operator.ts'
import { OutlierWatch } from './outliers.ts'
import { OverloadWatch } from './overload.ts'
import { membersOf, poolsOf, sizeOf } from './pools.ts'
import { type Claim, claimPort } from './ports.ts'
import { type Entry, entryOf, NOTHING, probedOf, type Recalled, type SavedBackend, type Snapshot } from './saved.ts'
import { Security } from './security.ts'
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
  /** null: it does not end TLS. */
  readonly certificates: CertificateStore | null
  readonly outliers: readonly OutlierWatch[]
}

export class Manager {
  readonly board: Board
  readonly startedAt: number
  readonly #options: ManagerOptions
  readonly #rows = new RowBook()
  readonly #affinity: AffinityPlan
  readonly #security: Security
  readonly #services = new Map<string, RunningService>()
  readonly #listeners = new Set<(change: StateChange) => void>()
  #threads: Threads | null = null
  readonly #overload: OverloadWatch
  readonly #leftovers: Leftovers
  #ticker: NodeJS.Timeout | null = null
  readonly #memory: Memory
  #recalled: Recalled = NOTHING
  #operator: Operator | null = null
  readonly #operationListeners = new Set<(change: OperationChange) => void>()
  #draining = false
  #entries: Int32Array | null = null
  #entriesAt = 0

  constructor(options: ManagerOptions) {
    const { threads, affinity } = options.config.appliance
    this.#options = options
    const count = threads === 'auto' ? Math.min(availableParallelism(), 32) : threads
    this.board = new Board(count, undefined, newBindings(affinity.maxEntries))
    this.#affinity = new AffinityPlan(options.stateFolder, options.log)
    this.#security = new Security({
      tickets: options.config.appliance.tickets,
      folder: join(options.stateFolder, 'ocsp'),
      clock: options.clock,
      log: options.log,
      threads: () => this.#threads,
    })
    this.startedAt = options.clock.wall()
    setFlagsFromString('--expose-gc') // for threads that start from now on: see `collect`
    const { stateFile } = options.config.appliance
    const path = stateFile === 'off' ? null : stateFile
    this.#memory = new Memory({ path, clock: options.clock, log: options.log })
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
  /** The process is about to end. */
  get draining(): boolean {
    return this.#draining
  }
  /** @throws Error before the start */
  get operator(): Operator {
    if (this.#operator === null) throw new Error('the services have not started yet')
    return this.#operator
  }

  /**
   * Starts everything or nothing.
   * @throws BalancerError LISTEN_FAILED, TLS_CERTIFICATE or CONFIG_INVALID, naming the service and what is wrong
   */
  async start(): Promise<void> {
    const { config, clock, log, onHopeless } = this.#options
    const claims: Claim[] = []
    await this.#security.load()
    this.#recalled = await this.#memory.recall(new Set(Object.keys(config.virtualServices)), entriesOf(config))
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
    const operator = this.#newOperator()
    this.#operator = operator
    this.#threads = new Threads({
      board: this.board,
      accessLog: config.accessLog,
      services: () =>
        [...this.#services.values()].map(({ name, view }) => ({ ...view, tls: this.#security.viewOf(name) })),
      gates: () => operator.gates(),
      tickets: () => this.#security.tickets,
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
      operator.tick()
      for (const { outliers } of this.#services.values())
        for (const watch of outliers) if (watch.tick()) void this.#memory.save()
    }, TICK_MS)
    try {
      await this.#overload.look() // before the first connection
      await this.#threads.start()
    } catch (error) {
      this.#stopTrackers()
      throw error
    }
    this.#overload.start()
    this.#security.start()
    this.#memory.start(() => this.#snapshot())
  }

  #newOperator(): Operator {
    const { config, clock, log } = this.#options
    return new Operator({
      services: this.#services,
      world: { board: this.board, threads: () => this.#threads },
      drainTimeoutMs: config.appliance.drain.timeout,
      clock,
      log,
      recalled: this.#recalled,
      save: () => this.#memory.save(),
      onChange: (change) => {
        for (const listener of this.#operationListeners) listener(change)
      },
    })
  }

  /** What is to survive a restart. */
  #snapshot(): Omit<Snapshot, 'at'> {
    const { appliance, services, backends } = this.operator
    const touched = [...services].filter(([, { last }]) => last !== null)
    const rows: Record<string, SavedBackend> = {}
    for (const { name, trackers, outliers } of this.#services.values()) {
      const ejections = new Map(outliers.flatMap((watch) => [...watch.saved()]))
      for (const tracker of trackers) {
        const key = `${name}/${tracker.name}`
        const ejection = ejections.get(tracker.name)
        const subject = backends.get(key)
        rows[key] = {
          ...tracker.saved(),
          ...(subject !== undefined && subject.last !== null ? { standing: subject.saved } : {}),
          ...(ejection === undefined ? {} : { ejection }),
        }
      }
    }
    return {
      ...(appliance.last === null ? {} : { appliance: appliance.saved }),
      services: Object.fromEntries(touched.map(([name, subject]) => [name, subject.saved])),
      backends: rows,
    }
  }

  /** Tells of each change by an operator, and of the ends of drains; the answer ends that. */
  onOperation(listener: (change: OperationChange) => void): () => void {
    this.#operationListeners.add(listener)
    return () => this.#operationListeners.delete(listener)
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
    this.#security.stop()
    await this.#memory.stop()
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
    const tls = service.tls === undefined ? null : await this.#security.prepare(name, service.tls)
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
    const outliers: OutlierWatch[] = []
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
          recalled: this.#recalled.backends.get(`${name}/${backend.name}`)?.health ?? null,
          drainTimeoutMs: pool.drain.timeout,
          slowStartMs: pool.slowStart,
          board: this.board,
          clock,
          log,
          index: index + trackers.length,
          total,
          onDeadline: () => {
            const spreadMs = spreadOf(pool.drain.timeout)
            const cut = this.#threads?.ask({ type: 'cut', service: name, backend: backend.name, spreadMs })
            cut?.catch((error: unknown) => log.error({ err: error }, `flows on ${name}/${backend.name} were not cut`))
          },
          onChange: (change) => {
            for (const listener of this.#listeners) listener(change)
          },
        })
        const { row, host, port } = tracker
        trackers.push(tracker)
        backends.push({ row, name: backend.name, host, port, tier, sendProxy: backend.sendProxy ?? service.sendProxy })
      }
      if (pool.outliers !== undefined) outliers.push(this.#watch(name, poolName, pool, pool.outliers, trackers))
      const { balance, hash, queue, allDown, sorry } = pool
      const affinity = await this.#affinity.viewOf(name, poolName, poolRow, pool.affinity, cookies)
      const { startGrace } = pool.health
      const watched = pool.outliers !== undefined
      const backendTls =
        pool.backendTls === undefined ? null : await this.#security.prepareBackends(name, pool.backendTls)
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
        watched,
        startGrace,
        tls: backendTls,
        backendProtocol: pool.backendProtocol,
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
      tls: tls?.view ?? null,
    }
    return { name, config: service, view, trackers, certificates: tls?.certificates ?? null, outliers }
  }

  #watch(
    service: string,
    name: string,
    pool: PoolConfig,
    config: OutliersConfig,
    trackers: readonly BackendTracker[],
  ): OutlierWatch {
    const members = trackers.filter((tracker) => tracker.pool === name)
    const watch = new OutlierWatch(config, members, pool.health.rise, this.board, this.#options.clock)
    for (const tracker of members) {
      const ejection = this.#recalled.backends.get(`${service}/${tracker.name}`)?.ejection
      if (ejection !== undefined) watch.recall(tracker.name, ejection)
    }
    return watch
  }
}

/** Every backend's part of the configuration, to compare it with what it was. */
function entriesOf(config: Config): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const [name, service] of Object.entries(config.virtualServices))
    for (const [, pool] of poolsOf(service))
      for (const { backend, health } of membersOf(pool))
        entries.set(`${name}/${backend.name}`, { config: entryOf(backend), probed: probedOf(backend, health) })
  return entries
}
