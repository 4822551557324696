/** Draws what a service consists of from its configuration: view, backends, certificates. Nothing of a blueprint is in force. */
import type { Board, RowBook, RowKey } from '../board/index.ts'
import type { PoolConfig, ServiceConfig } from '../config/index.ts'
import { BalancerError, type Clock, formatAddress, type Logger } from '../core/index.ts'
import type { BackendView, ListenerView, PoolView, ServiceView } from '../datapaths/index.ts'
import { createProbe, type Probe } from '../probes/index.ts'
import type { CertificateStore } from '../tls/index.ts'
import type { AffinityPlan } from './affinity.ts'
import { OutlierWatch } from './outliers.ts'
import { type Member, membersOf, poolsOf, sizeOf } from './pools.ts'
import type { Claims } from './ports.ts'
import type { BackendFiles, SecureService, Security } from './security.ts'
import { BackendTracker, type StateChange, type TrackerOptions } from './tracker.ts'

/** A virtual service as the control thread knows it. Replaced whole when its configuration changes; the trackers go on. */
export interface RunningService {
  readonly name: string
  readonly config: ServiceConfig
  readonly view: ServiceView
  readonly trackers: readonly BackendTracker[]
  /** null: it does not end TLS. */
  readonly certificates: CertificateStore | null
  readonly outliers: readonly OutlierWatch[]
}

export interface Blueprint {
  readonly name: string
  readonly config: ServiceConfig
  readonly view: ServiceView
  readonly members: readonly TrackerOptions[]
  /** null: it does not end TLS. */
  readonly secure: SecureService | null
  /** Of those of its pools that speak TLS to their backends. */
  readonly backendFiles: readonly BackendFiles[]
}

export interface DraughtsmanOptions {
  readonly board: Board
  readonly rows: RowBook
  readonly affinity: AffinityPlan
  readonly security: Security
  readonly clock: Clock
  readonly log: Logger
  /** What is known of a backend's health from before it was here. */
  readonly recall: (key: string, probed: Member) => 'passing' | 'failing' | null
  /** The time of a backend's drain is up. */
  readonly onDeadline: (service: string, backend: string, timeoutMs: number) => void
  readonly onChange: (change: StateChange) => void
}

/** A listening address. */
export interface Bound {
  readonly host: string
  readonly port: number
}

export interface Surroundings {
  /** Ports that the kernel gave it, by host: they stay. */
  readonly free: ReadonlyMap<string, readonly number[]>
  /** It will listen. */
  readonly listens: boolean
  /** What the data threads listen on already, whichever service. */
  readonly bound: readonly Bound[]
  readonly claims: Claims
  /** Place among all backends of the appliance. */
  readonly index: number
  readonly total: number
}

export class Draughtsman {
  readonly #options: DraughtsmanOptions

  constructor(options: DraughtsmanOptions) {
    this.#options = options
  }

  /** @throws BalancerError naming the service: a port is taken, a file can't be used, the board is full */
  async draw(name: string, config: ServiceConfig, around: Surroundings): Promise<Blueprint> {
    const { rows, security, affinity } = this.#options
    const row = rows.row('service', name)
    const secure = config.tls === undefined ? null : await security.prepare(name, config.tls)
    const listeners = await this.#listeners(name, config, around)
    const members: TrackerOptions[] = []
    const pools: PoolView[] = []
    const backendFiles: BackendFiles[] = []
    const cookies = new Set<string>()
    for (const [poolName, pool] of poolsOf(config)) {
      const poolRow = rows.row('pool', `${name} ${poolName}`)
      const own = membersOf(pool).map((member, i) =>
        this.#member(name, poolName, poolRow, pool, member, around.index + members.length + i, around.total),
      )
      members.push(...own)
      const files = pool.backendTls === undefined ? null : await security.prepareBackends(name, pool.backendTls)
      if (files !== null) backendFiles.push(files)
      pools.push({
        name: poolName,
        row: poolRow,
        balance: pool.balance,
        hash: pool.hash,
        affinity: await affinity.viewOf(name, poolName, poolRow, pool.affinity, cookies),
        backends: own.map((member) => backendView(member, config)),
        queue: pool.queue,
        allDown: pool.allDown,
        sorry: pool.sorry,
        watched: pool.outliers !== undefined,
        startGrace: pool.health.startGrace,
        backendProtocol: pool.backendProtocol,
        tls: files?.value ?? null,
      })
    }
    const [own, ...others] = pools as [PoolView, ...PoolView[]]
    const view: ServiceView = {
      name,
      row,
      protocol: config.protocol,
      listeners,
      pools: [own, ...others],
      routes: config.routes,
      proxyProtocol: config.proxyProtocol,
      limits: config.limits,
      timeouts: config.timeouts,
      http: config.http,
      filters: config.filters,
      retries: config.retries,
      tls: secure?.view ?? null,
      startTls: config.startTls ?? null,
    }
    return { name, config, view, members, secure, backendFiles }
  }

  async #listeners(name: string, config: ServiceConfig, around: Surroundings): Promise<ListenerView[]> {
    const views: ListenerView[] = []
    const free = new Map([...around.free].map(([host, ports]) => [host, [...ports]]))
    for (const { host, first, last } of config.listen)
      for (let port = first; port <= last; port++) {
        const given = port === 0 ? (free.get(host)?.shift() ?? 0) : port
        const bound = given === 0 || !around.listens ? given : await this.#claim(name, host, given, around)
        const taken = bound === 0 ? await this.#claim(name, host, 0, around) : bound
        const row = this.#options.rows.row('listener', `${name} ${formatAddress(host, taken)}`)
        views.push({ host, port: taken, row })
      }
    return views
  }

  /** Makes sure that nobody else listens there. Answers the port. */
  async #claim(name: string, host: string, port: number, { bound, claims }: Surroundings): Promise<number> {
    const rivals = bound.filter((each) => each.port === port)
    if (rivals.some((each) => each.host === host)) return port
    try {
      return await claims.take(`service ${name}`, host, port)
    } catch (error) {
      // An address of ours that it takes in, or is taken in by: which of our services may have it, the configuration's checks say.
      if (rivals.some((each) => isWildcard(each.host) || isWildcard(host))) return port
      throw error
    }
  }

  #member(
    service: string,
    pool: string,
    poolRow: number,
    config: PoolConfig,
    member: Member,
    index: number,
    total: number,
  ): TrackerOptions {
    const { board, rows, clock, log, recall, onDeadline, onChange } = this.#options
    const { backend, tier, health, load } = member
    const key = `${service}/${backend.name}`
    return {
      service,
      pool,
      poolRow,
      backend,
      tier,
      row: rows.row('backend', key),
      health,
      probe: probeOf(service, member),
      load,
      recalled: recall(key, member),
      drainTimeoutMs: config.drain.timeout,
      slowStartMs: config.slowStart,
      board,
      clock,
      log,
      index,
      total,
      onDeadline: () => onDeadline(service, backend.name, config.drain.timeout),
      onChange,
    }
  }

  /** What the blueprint describes comes to be. Can't fail: it is called when all threads have it. */
  establish(
    { name, config, view, members, secure, backendFiles }: Blueprint,
    before: RunningService | null,
  ): RunningService {
    const { board, clock, security } = this.#options
    const known = new Map(before?.trackers.map((tracker) => [tracker.name, tracker]))
    const trackers = members.map((member) => {
      const tracker = known.get(member.backend.name)
      if (tracker === undefined) return new BackendTracker(member)
      tracker.become(member)
      return tracker
    })
    const outliers: OutlierWatch[] = []
    for (const [poolName, pool] of poolsOf(config)) {
      if (pool.outliers === undefined) continue
      const own = trackers.filter((tracker) => tracker.pool === poolName)
      outliers.push(new OutlierWatch(pool.outliers, own, pool.health.rise, board, clock))
    }
    for (const watch of before?.outliers ?? []) watch.handOver(outliers, trackers)
    security.adopt(name, secure, backendFiles)
    return { name, config, view, trackers, certificates: secure?.certificates ?? null, outliers }
  }
}

/** The rows that a view stands on. */
export function* rowsOf({ name, listeners, pools }: ServiceView): Generator<RowKey> {
  yield { kind: 'service', key: name }
  for (const { host, port } of listeners) yield { kind: 'listener', key: `${name} ${formatAddress(host, port)}` }
  for (const pool of pools) {
    yield { kind: 'pool', key: `${name} ${pool.name}` }
    for (const backend of pool.backends) yield { kind: 'backend', key: `${name}/${backend.name}` }
  }
}

/** Backends of all services. */
export const totalOf = (services: Readonly<Record<string, ServiceConfig>>): number =>
  Object.values(services).reduce((sum, service) => sum + sizeOf(service), 0)

function backendView({ row, backend, tier }: TrackerOptions, { sendProxy }: ServiceConfig): BackendView {
  const { name, host, port } = backend
  return { row, name, host, port, tier, sendProxy: backend.sendProxy ?? sendProxy }
}

/** The ports that the kernel gave, by host. */
export function freePorts(before: RunningService | null): Map<string, number[]> {
  const free = new Map<string, number[]>()
  if (before === null) return free
  const listeners = [...before.view.listeners]
  for (const { host, first, last } of before.config.listen)
    for (let port = first; port <= last; port++) {
      const given = listeners.shift()?.port ?? 0
      if (port === 0) free.set(host, [...(free.get(host) ?? []), given])
    }
  return free
}

function probeOf(service: string, { backend, health }: Member): Probe | null {
  try {
    return createProbe(health, { service, backend: backend.name })
  } catch (error) {
    if (!(error instanceof BalancerError)) throw error
    throw new BalancerError(error.code, `service ${service}: ${error.message}`, { cause: error })
  }
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'
