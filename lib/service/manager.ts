/** Runs the virtual services of a configuration: rows, certificates, ports, probes, operators' wishes and data threads. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Board, newBindings, type Overload, RowBook, sharedTime } from '../board/index.ts'
import type { Config, ServiceDiff } from '../config/index.ts'
import { type BalancerError, type Clock, type Logger, messageOf } from '../core/index.ts'
import { AffinityPlan, usesTable } from './affinity.ts'
import { type Blueprint, Draughtsman, type RunningService, totalOf } from './blueprint.ts'
import { Change } from './change.ts'
import { type DepartureStatus, Departures } from './departures.ts'
import { spreadOf } from './drain.ts'
import { entriesOf } from './entries.ts'
import type { Cut } from './hands.ts'
import { boundOf, dealOut, type Inheritance } from './inheritance.ts'
import { Leftovers } from './leftovers.ts'
import { descriptorMeans, heapFor, MemoryUse, memoryMeans } from './means.ts'
import { Memory } from './memory.ts'
import { Mishaps } from './mishaps.ts'
import { type OperationChange, Operator } from './operator.ts'
import { OverloadWatch } from './overload.ts'
import { sizeOf } from './pools.ts'
import { Claims } from './ports.ts'
import { encode, NOTHING, probedOf, type Recalled, type SavedBackend } from './saved.ts'
import { Security } from './security.ts'
import { snapshotOf } from './snapshot.ts'
import { Threads } from './threads.ts'
import type { BackendTracker, StateChange } from './tracker.ts'
import { Turns } from './turns.ts'

const ENTRIES_MS = 1000 // a full table takes 10 ms to count
const TICK_MS = 200 // how soon a drained backend is seen as down
const FLOOD_OVER_TICKS = 15 // 3 s with few connections, then what a flood left is collected

export interface ManagerOptions {
  readonly config: Config
  /** Where what must outlive the process is kept. */
  readonly stateFolder: string
  /** From the process before; null: it starts from nothing, or from what a file tells. */
  readonly inheritance: Inheritance | null
  readonly clock: Clock
  readonly log: Logger
  readonly onHopeless: (error: BalancerError) => void
  /** Operators have flows cut, here and in the process before, where that has some. */
  readonly onCut: (cut: Cut) => void
}

export class Manager {
  readonly board: Board
  readonly startedAt: number
  /** Errors of this thread that nobody expected. */
  readonly mishaps: Mishaps
  readonly turns = new Turns()
  readonly rows = new RowBook()
  readonly draughtsman: Draughtsman
  readonly security: Security
  readonly departures: Departures
  readonly services = new Map<string, RunningService>()
  /** Services that are no longer configured, as long as they have flows. */
  readonly parting = new Map<string, RunningService>()
  readonly #options: ManagerOptions
  #config: Config
  readonly #listeners = new Set<(change: StateChange) => void>()
  #threads: Threads | null = null
  readonly #overload: OverloadWatch
  readonly #leftovers: Leftovers
  #ticker: NodeJS.Timeout | null = null
  readonly #memory: Memory
  /** Of the run before, and of what has gone meanwhile and may come back. */
  #recalled: Recalled = NOTHING
  readonly #parted = new Map<string, SavedBackend>()
  #operator: Operator | null = null
  readonly #operationListeners = new Set<(change: OperationChange) => void>()
  #draining = false
  /** A change is being prepared: what its rows say must stay. */
  #changing = false
  #entries: Int32Array | null = null
  #entriesAt = 0

  constructor(options: ManagerOptions) {
    const { config, clock, log, stateFolder } = options
    const { threads, affinity, stateFile, tickets, overload } = config.appliance
    this.#options = options
    this.#config = config
    const count = threads === 'auto' ? Math.min(availableParallelism(), 32) : threads
    this.board = new Board(count, undefined, newBindings(affinity.maxEntries, options.inheritance?.table.keys))
    const folder = join(stateFolder, 'ocsp')
    const { turns } = this
    const renew = (service: string) => this.#renew(service)
    this.security = new Security({ tickets, folder, clock, log, threads: () => this.#threads, turns, renew })
    this.departures = new Departures(clock, log, this.turns)
    this.draughtsman = new Draughtsman({
      board: this.board,
      rows: this.rows,
      affinity: new AffinityPlan(stateFolder, log),
      security: this.security,
      clock,
      log,
      recall: (key, { backend, health }) => this.#healthOf(key, probedOf(backend, health)),
      onDeadline: (service, backend, timeoutMs) => {
        const cut = this.#threads?.ask({ type: 'cut', service, backend, spreadMs: spreadOf(timeoutMs) })
        cut?.catch((error: unknown) => log.error({ err: error }, `flows on ${service}/${backend} were not cut`))
      },
      onChange: (change) => {
        for (const listener of this.#listeners) listener(change)
      },
    })
    this.startedAt = clock.wall()
    this.mishaps = new Mishaps(log, () => clock.wall())
    this.#memory = new Memory({ path: stateFile === 'off' ? null : stateFile, clock, log })
    const use = new MemoryUse()
    const collect = () => this.#threads?.broadcast({ type: 'collect' })
    this.#overload = new OverloadWatch({
      limits: overload,
      board: this.board,
      log,
      means: { memory: () => memoryMeans(use, this.#threads?.held() ?? 0), descriptors: descriptorMeans },
      connections: () => this.activeConnections(),
      late: () => this.#threads?.late() ?? { threads: [], delay: 0 },
      collect,
    })
    this.#leftovers = new Leftovers({ active: () => this.activeConnections(), looks: FLOOD_OVER_TICKS, collect })
  }

  /** What is in force. */
  get config(): Config {
    return this.#config
  }
  /** What runs short, so that what is new is refused. */
  get overload(): readonly Overload[] {
    return this.#overload.short
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
   * Starts everything or nothing. Of a process before it takes over, and lets clients in only with `open`.
   * @throws BalancerError LISTEN_FAILED, TLS_CERTIFICATE or CONFIG_INVALID, naming the service and what is wrong
   */
  async start(): Promise<void> {
    const { config, clock, log, onHopeless, inheritance } = this.#options
    await this.security.load(inheritance?.tickets ?? null)
    await this.security.orders.prepare(config)
    this.security.orders.commit()
    const names = new Set(Object.keys(config.virtualServices))
    this.#recalled = await this.#memory.recall(names, entriesOf(config), inheritance?.state ?? null)
    const claims = new Claims()
    for (const blueprint of await this.#draw(config, claims))
      this.services.set(blueprint.name, this.draughtsman.establish(blueprint, null))
    this.rows.settle()
    for (const { name, outliers } of this.services.values())
      for (const watch of outliers) watch.recallAll((backend) => this.#recalled.backends.get(`${name}/${backend}`))
    const { threadHeap } = config.appliance
    const operator = this.#newOperator()
    this.#operator = operator
    this.#threads = new Threads({
      board: this.board,
      accessLog: config.accessLog,
      services: () =>
        [...this.services.values()].map(({ name, view }) => ({ ...view, tls: this.security.viewOf(name) })),
      gates: () => operator.gates(),
      tickets: () => this.security.tickets,
      challenges: () => this.security.orders.challenges,
      clock,
      log,
      hangMs: () => this.#config.appliance.hangTimeout,
      heapBytes: threadHeap === 'auto' ? heapFor(this.board.threads) : threadHeap,
      onHopeless,
    })
    // Probes start first, so that the first connection finds their results.
    for (const tracker of this.trackers()) tracker.start()
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    try {
      await this.#overload.look() // before the first connection
      await this.#threads.start(inheritance === null ? null : dealOut(inheritance.sockets, this))
    } catch (error) {
      this.#stopTrackers()
      throw error
    } finally {
      await claims.release()
    }
    this.#recalled = NOTHING
    this.#overload.start()
    this.security.start()
    if (inheritance === null) this.remembers()
  }

  /** Lets clients in, in the place of the process before. @throws BalancerError LISTEN_FAILED */
  async open(): Promise<void> {
    await this.#threads?.open()
    this.remembers()
    void this.#memory.save()
  }

  /** The state file is its own from now on. */
  remembers(): void {
    this.#memory.start(() => snapshotOf(this.operator, this.services))
  }

  /** The state file is another's from now on. */
  forgets(): Promise<void> {
    return this.#memory.stop()
  }

  /** What a state file would tell of it. */
  saved(): string {
    return encode({ at: this.#options.clock.wall(), ...snapshotOf(this.operator, this.services) })
  }

  async #draw({ virtualServices }: Config, claims: Claims): Promise<Blueprint[]> {
    const { inheritance } = this.#options
    const bound = boundOf(inheritance?.sockets ?? {})
    const blueprints: Blueprint[] = []
    const total = totalOf(virtualServices)
    let index = 0
    try {
      for (const [name, service] of Object.entries(virtualServices)) {
        const free = inheritance?.freePorts[name] ?? new Map<string, number[]>()
        const around = { free, listens: true, bound, claims, index, total }
        blueprints.push(await this.draughtsman.draw(name, service, around))
        index += sizeOf(service)
      }
      await claims.open()
    } catch (error) {
      await claims.release()
      throw error
    }
    return blueprints
  }

  /**
   * Brings another configuration into force: all of it, or none. Only what differs is touched, and answered.
   * @throws BalancerError with a sentence that says what keeps it from being in force
   */
  apply(config: Config): Promise<ServiceDiff> {
    return this.#alone(async () => {
      await this.security.orders.prepare(config)
      return new Change(this, this.#config, config).run()
    }).finally(() => void this.#memory.save())
  }

  /** What would keep a configuration from coming into force, as far as that can be tried without changing anything: sentences. */
  rehearse(config: Config): Promise<string[]> {
    return this.#alone(async () => {
      await this.security.orders.prepare(config)
      return new Change(this, this.#config, config).rehearse()
    }).catch((error: unknown) => [messageOf(error)])
  }

  /** Brings a service into force as it is configured, with what the files that it names say by now. */
  #renew(service: string): Promise<void> {
    return this.#alone(async () => {
      if (!this.services.has(service) || this.#draining) return
      const config = this.#config
      await new Change(this, config, config).run({ added: [], changed: [service], removed: [] })
    })
  }

  #alone<T>(act: () => Promise<T>): Promise<T> {
    return this.turns.alone(async () => {
      this.#changing = true
      try {
        return await act()
      } finally {
        this.#changing = false
        this.security.orders.discard()
      }
    })
  }

  /** Said by a change when it is sure to come about: from here on this is the configuration. */
  adopt(config: Config): void {
    this.#config = config
    this.security.orders.commit()
    this.operator.drainTimeoutMs = config.appliance.drain.timeout
    this.#overload.limits = config.appliance.overload
  }

  /** Keeps what is known of a backend that goes: it may come back. */
  remember(tracker: BackendTracker): void {
    this.#parted.set(`${tracker.service}/${tracker.name}`, tracker.saved())
  }

  /** It will not be asked for again. */
  forget(key: string): void {
    this.#parted.delete(key)
  }

  #healthOf(key: string, probed: string): 'passing' | 'failing' | null {
    const known = this.#recalled.backends.get(key) ?? this.#parted.get(key)
    return known?.health !== undefined && known.probed === probed ? known.health : null
  }

  #tick(): void {
    for (const tracker of this.trackers()) tracker.tick()
    this.#leftovers.look()
    this.board.bindings.sweep(sharedTime(performance.now()))
    this.operator.tick()
    for (const { outliers } of this.services.values())
      for (const watch of outliers) if (watch.tick()) void this.#memory.save()
    this.departures.tick()
    if (!this.#changing)
      this.rows.tick(this.board, this.#options.clock.now(), () => this.board.bindings.entriesByScope())
  }

  #newOperator(): Operator {
    const { config, clock, log, onCut } = this.#options
    return new Operator({
      services: this.services,
      world: { board: this.board, threads: () => this.#threads, onCut },
      drainTimeoutMs: config.appliance.drain.timeout,
      clock,
      log,
      recalled: this.#recalled,
      save: () => this.#memory.save(),
      turns: this.turns,
      onChange: (change) => {
        for (const listener of this.#operationListeners) listener(change)
      },
    })
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
    for (const service of this.services.values()) yield* service.trackers
  }

  /** What is no longer configured and still has flows. */
  departing(): DepartureStatus[] {
    return this.departures.status()
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
    let sum = this.departures.flows()
    for (const { view } of this.services.values()) sum += this.board.active('service', view.row)
    return sum
  }

  /** Cuts flows because an operator of the process that serves now wants it. */
  async cut(cut: Cut): Promise<void> {
    await this.#threads?.ask({ type: 'cut', ...cut })
  }

  /** Takes no new flows and resolves when the last has ended. Politely: another process is there for who comes anew. */
  async drain(politely = false): Promise<void> {
    this.#draining = true
    if (politely) this.security.stop() // certificates are the other's business
    await this.#threads?.drain(politely)
  }

  async stop(): Promise<void> {
    this.#draining = true
    this.#overload.stop()
    this.security.stop()
    await this.#memory.stop()
    this.#stopTrackers()
    await this.#threads?.stop()
  }

  #stopTrackers(): void {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    for (const tracker of this.trackers()) tracker.stop()
  }
}
