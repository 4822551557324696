/** How the standings of appliance, services and backends are brought about: gates in the data threads, facts of the trackers. */
import { BACKEND, type Board, REASONS, SERVICE } from '../board/index.ts'
import type { ServiceConfig } from '../config/index.ts'
import type { ServiceGate } from '../datapaths/index.ts'
import type { Admits } from '../pool/index.ts'
import type { RunningService } from './blueprint.ts'
import type { Operations, Standing } from './operations.ts'
import { poolsOf } from './pools.ts'
import { claimPort } from './ports.ts'
import type { Hands, Why } from './subject.ts'
import type { Threads } from './threads.ts'
import type { BackendTracker } from './tracker.ts'

const CUT_COLUMN = SERVICE.at.errors + REASONS.indexOf('cut')

/** What all hands work with. */
export interface World {
  readonly board: Board
  /** null: before the start, and then nothing is to be asked. */
  readonly threads: () => Threads | null
  /** Told of each cut of flows: a process before this one may have some of them too. */
  readonly onCut: (cut: Cut) => void
}

/** Flows are to be cut. `backend` null: all of the service. */
export interface Cut {
  readonly service: string
  readonly backend: string | null
  readonly spreadMs: number
}

async function cutFlows({ threads, onCut }: World, cut: Cut): Promise<void> {
  onCut(cut)
  await threads()?.ask({ type: 'cut', ...cut })
}

/** May clients be bound to its backends? */
export const bindsClients = (config: ServiceConfig, pool?: string): boolean =>
  poolsOf(config).some(([name, { affinity }]) => affinity.type !== 'none' && (pool === undefined || pool === name))

/** Where a service drains, it still listens for the clients that are bound to its backends. */
export function gateOf(operations: Operations, config: ServiceConfig): ServiceGate {
  if (operations === 'started') return 'open'
  return operations === 'draining' && bindsClients(config) ? 'bound' : 'shut'
}

/** Keeps a service as the appliance and its own operators want it: the more closed of the two. */
export class ServiceHands implements Hands {
  #service: RunningService
  readonly #world: World
  #own: Operations = 'started'
  #appliance: Operations = 'started'
  /** The end of the change under way: its own operators and the appliance's take turns. */
  #busy: Promise<unknown> = Promise.resolve()

  constructor(service: RunningService, world: World) {
    this.#service = service
    this.#world = world
  }

  get timeoutMs(): number {
    return this.#service.config.drain.timeout
  }
  get binds(): boolean {
    return bindsClients(this.#service.config)
  }

  /** It has another configuration, which every thread knows. */
  become(service: RunningService): void {
    this.#service = service
    this.#tellTrackers()
  }

  /** What it does at present. */
  get operations(): Operations {
    return moreClosed(this.#own, this.#appliance)
  }

  get gate(): ServiceGate {
    return gateOf(this.operations, this.#service.config)
  }

  /** How its gate will be under another configuration. */
  gateUnder(config: ServiceConfig): ServiceGate {
    return gateOf(this.operations, config)
  }

  flows(): number {
    return this.#world.board.active('service', this.#service.view.row)
  }

  cuts(): number {
    return this.#world.board.sum('service', this.#service.view.row, CUT_COLUMN)
  }

  /** Before the threads start: they begin as is said here. */
  begin(own: Operations, appliance: Operations): void {
    this.#own = own
    this.#appliance = appliance
    this.#tellTrackers()
  }

  apply({ operations }: Standing): Promise<void> {
    return this.#inTurn(() => this.#become(operations, this.#appliance))
  }

  applyAppliance(operations: Operations): Promise<void> {
    return this.#inTurn(() => this.#become(this.#own, operations))
  }

  #inTurn(act: () => Promise<void>): Promise<void> {
    const turn = this.#busy.then(act)
    this.#busy = turn.catch(() => {})
    return turn
  }

  /** Where it can't listen again, everything stays as it was. */
  async #become(own: Operations, appliance: Operations): Promise<void> {
    const before = { own: this.#own, appliance: this.#appliance, gate: this.gate, operations: this.operations }
    this.#own = own
    this.#appliance = appliance
    if (this.operations === before.operations) return
    if (before.gate === 'shut' && this.gate !== 'shut') {
      try {
        await this.#claim()
        await this.#admit()
      } catch (error) {
        this.#own = before.own
        this.#appliance = before.appliance
        await this.#admit()
        throw error
      }
      return this.#tellTrackers()
    }
    this.#tellTrackers()
    await this.#admit()
    if (this.operations === 'stopped') await this.cut(0)
  }

  cut(spreadMs: number): Promise<void> {
    return cutFlows(this.#world, { service: this.#service.name, backend: null, spreadMs })
  }

  async oldest(): Promise<number | null> {
    return oldestOf(this.#world, this.#service.name, null)
  }

  #admit(): Promise<void> {
    return this.#ask({ type: 'admit', service: this.#service.name, gate: this.gate })
  }

  async #ask(request: Parameters<Threads['ask']>[0]): Promise<void> {
    await this.#world.threads()?.ask(request)
  }

  /** Somebody else may have taken a port meanwhile, and SO_REUSEPORT would share it without a word. */
  async #claim(): Promise<void> {
    for (const { host, port } of this.#service.view.listeners)
      await (await claimPort(`service ${this.#service.name}`, host, port)).release()
  }

  /** Where clients are bound, the pools let in those alone; where none is, who is connected is served to the end. */
  #tellTrackers(): void {
    const { operations } = this
    const admits: Admits = operations === 'stopped' ? 'none' : this.gate === 'bound' ? 'bound' : 'all'
    for (const tracker of this.#service.trackers) tracker.admit(admits)
  }
}

const ORDER: readonly Operations[] = ['started', 'draining', 'stopped']
const moreClosed = (a: Operations, b: Operations): Operations => (ORDER.indexOf(a) > ORDER.indexOf(b) ? a : b)

async function oldestOf({ threads }: World, service: string, backend: string | null): Promise<number | null> {
  const answers = (await threads()?.ask({ type: 'oldest', service, backend })) ?? []
  const known = answers.filter((at) => at !== null)
  return known.length === 0 ? null : Math.min(...known)
}

/** All services together. */
export class ApplianceHands implements Hands {
  timeoutMs: number
  readonly #all: ReadonlyMap<string, ServiceHands>

  /** @param services those that there are at the time */
  constructor(services: ReadonlyMap<string, ServiceHands>, timeoutMs: number) {
    this.#all = services
    this.timeoutMs = timeoutMs
  }

  get #services(): ServiceHands[] {
    return [...this.#all.values()]
  }

  get binds(): boolean {
    return this.#services.some((service) => service.binds && service.operations !== 'stopped')
  }

  flows(): number {
    return this.#services.reduce((sum, service) => sum + service.flows(), 0)
  }

  cuts(): number {
    return this.#services.reduce((sum, service) => sum + service.cuts(), 0)
  }

  async apply({ operations }: Standing): Promise<void> {
    const results = await Promise.allSettled(this.#services.map((service) => service.applyAppliance(operations)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) return
    await Promise.all(this.#services.map((service) => service.applyAppliance('stopped')))
    throw failed.reason
  }

  async cut(spreadMs: number): Promise<void> {
    await Promise.all(this.#services.map((service) => service.cut(spreadMs)))
  }

  async oldest(): Promise<number | null> {
    const known = (await Promise.all(this.#services.map((service) => service.oldest()))).filter((at) => at !== null)
    return known.length === 0 ? null : Math.min(...known)
  }
}

const WISHES = { started: 'ready', draining: 'drain', stopped: 'maintenance' } as const

/** One backend: what the operator wants of it is a fact of its tracker. */
export class BackendHands implements Hands {
  /** The configuration drains it: that is its time, whether flows are left or not. */
  configured = false
  readonly #tracker: BackendTracker
  readonly #world: World
  readonly #binds: (pool: string) => boolean

  /** @param binds may clients be bound to the backends of that pool, by the configuration of the time? */
  constructor(tracker: BackendTracker, binds: (pool: string) => boolean, world: World) {
    this.#tracker = tracker
    this.#world = world
    this.#binds = binds
  }

  get timeoutMs(): number {
    return this.#tracker.drainTimeoutMs
  }
  get binds(): boolean {
    return this.#binds(this.#tracker.pool) || this.configured
  }

  flows(): number {
    return this.#tracker.active
  }

  cuts(): number {
    return this.#world.board.sum('backend', this.#tracker.row, BACKEND.at.cuts)
  }

  /** Before the threads start. */
  begin(operations: Operations, deadline: number | null, sentence: string): void {
    this.#tracker.operate({ admin: WISHES[operations], cause: 'operator', why: sentence, deadline })
  }

  /** The configuration says otherwise than it did: it wins. */
  configure(operations: Operations, deadline: number | null): void {
    this.configured = operations === 'draining'
    const why = `admin: ${WISHES[operations]} in the configuration`
    this.#tracker.operate({ admin: WISHES[operations], cause: 'config', why, deadline })
  }

  async apply({ operations }: Standing, { cause, sentence, deadline }: Why): Promise<void> {
    this.configured = false
    this.#tracker.operate({ admin: WISHES[operations], cause, why: sentence, deadline })
    if (operations !== 'stopped') return
    await this.cut(0)
    this.#tracker.tick() // without its flows it is in maintenance at once
  }

  cut(spreadMs: number): Promise<void> {
    const { service, name: backend } = this.#tracker
    return cutFlows(this.#world, { service, backend, spreadMs })
  }

  oldest(): Promise<number | null> {
    return oldestOf(this.#world, this.#tracker.service, this.#tracker.name)
  }
}
