/** One change of what runs: prepared whole, in control and in every data thread, and then committed everywhere, or undone. */
import { isDeepStrictEqual } from 'node:util'
import { type Config, diffServices, needsRestart, type ServiceConfig, type ServiceDiff } from '../config/index.ts'
import { BalancerError, messageOf } from '../core/index.ts'
import type { ServiceGate } from '../datapaths/index.ts'
import { type Blueprint, type Bound, freePorts, type RunningService, rowsOf, totalOf } from './blueprint.ts'
import type { Manager } from './manager.ts'
import { poolsOf, sizeOf } from './pools.ts'
import { Claims } from './ports.ts'
import type { Threads } from './threads.ts'

const PREPARE_MS = 10_000 // a thread that is silent for so long hangs
const COMMIT_MS = 5000
const WHOLE_MS = 10_000 // a thread that died is back in a fraction of that
const BATCH = 32 // services that a thread prepares before flows get their turn; see data-thread.ts
const TRIES = 3 // a thread that dies while the change is prepared makes it begin again

const fail = (sentence: string): BalancerError => new BalancerError('RELOAD_FAILED', sentence)

export class Change {
  readonly #manager: Manager
  readonly #before: Config
  readonly #after: Config

  constructor(manager: Manager, before: Config, after: Config) {
    this.#manager = manager
    this.#before = before
    this.#after = after
  }

  /**
   * Answers what differed.
   * @param known what differs, where that is known; null: it is looked for
   * @throws BalancerError with what keeps it from coming about; then nothing has changed
   */
  async run(known: ServiceDiff | null = null): Promise<ServiceDiff> {
    const { threads } = this.#manager
    const refusals = needsRestart(this.#before, this.#after)
    if (refusals.length > 0) throw fail(refusals.join('; '))
    if (threads === null || this.#manager.draining) throw fail('the process is about to end')
    const changes = known ?? (await this.#changes())
    for (let tries = 1; ; tries++) {
      await this.#whole(threads)
      const { spawns } = threads
      const blueprints: Blueprint[] = []
      const claims = new Claims()
      let problem: unknown = null
      try {
        blueprints.push(...(await this.#draw(changes, claims)))
        await claims.open()
        await this.#prepare(threads, blueprints)
        if (this.#manager.draining) problem = fail('the process is about to end')
      } catch (error) {
        problem = error
      }
      await claims.release()
      // From here to the commit message is one step: a thread that dies later begins with the new configuration.
      if (problem === null && threads.spawns === spawns) {
        await this.#commit(threads, blueprints)
        return changes
      }
      const died = threads.spawns !== spawns
      await this.#undo(threads)
      if (!died || tries === TRIES) throw problem ?? fail('data threads die again and again')
    }
  }

  /**
   * Prepares what `run` would, and undoes it: ports are claimed for a moment, files are read, the data threads make all but sockets.
   * Answers what keeps the change from coming about, a sentence for each service where something does.
   */
  async rehearse(): Promise<string[]> {
    const { threads } = this.#manager
    if (threads === null || this.#manager.draining) return ['the process is about to end']
    const problems = new Set<string>()
    const failed = (error: unknown): void => {
      problems.add(messageOf(error))
    }
    const claims = new Claims()
    try {
      await this.#whole(threads)
      const blueprints = await this.#draw(await this.#changes(), claims, failed)
      await claims.release()
      for (const each of blueprints) await this.#prepare(threads, [each], 'shut').catch(failed)
    } catch (error) {
      failed(error)
    } finally {
      await claims.release()
      await this.#undo(threads)
    }
    return [...problems]
  }

  async #whole(threads: Threads): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(fail('a data thread that died has not come back')), WHOLE_MS)
    })
    try {
      await Promise.race([threads.whole(), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * What is new or changed.
   * @param failed told of what can't be drawn; null: that is thrown
   */
  async #draw(
    { added, changed }: ServiceDiff,
    claims: Claims,
    failed: ((error: unknown) => void) | null = null,
  ): Promise<Blueprint[]> {
    const { draughtsman, services, operator } = this.#manager
    const { virtualServices } = this.#after
    const touched = new Set([...added, ...changed])
    const total = totalOf(virtualServices)
    const blueprints: Blueprint[] = []
    const bound = this.#bound()
    let index = 0
    for (const [name, config] of Object.entries(virtualServices)) {
      const at = index
      index += sizeOf(config)
      if (!touched.has(name)) continue
      const free = freePorts(services.get(name) ?? null)
      const listens = operator.gateUnder(name, config) !== 'shut'
      try {
        blueprints.push(await draughtsman.draw(name, config, { free, listens, bound, claims, index: at, total }))
      } catch (error) {
        if (failed === null) throw error
        failed(error)
      }
    }
    return blueprints
  }

  /** Which services differ: their configuration, or the files that it names for connections to backends, or those of ordered certificates. */
  async #changes(): Promise<ServiceDiff> {
    const { added, changed, removed } = diffServices(this.#before, this.#after)
    const touched = new Set([...added, ...changed])
    const { orders } = this.#manager.security
    for (const [name, config] of Object.entries(this.#after.virtualServices))
      if (!touched.has(name) && (orders.moves(config.tls) || (await this.#hasOtherTrust(name, config))))
        touched.add(name)
    const names = Object.keys(this.#after.virtualServices).filter((name) => touched.has(name))
    const fresh = new Set(added)
    return { added, changed: names.filter((name) => !fresh.has(name)), removed }
  }

  async #hasOtherTrust(name: string, config: ServiceConfig): Promise<boolean> {
    const { services, security } = this.#manager
    const pools = services.get(name)?.view.pools ?? []
    for (const [i, [, { backendTls }]] of poolsOf(config).entries()) {
      if (backendTls === undefined) continue
      if (!isDeepStrictEqual((await security.prepareBackends(name, backendTls)).value, pools[i]?.tls)) return true
    }
    return false
  }

  /** Where the data threads listen. */
  #bound(): Bound[] {
    const { services, operator } = this.#manager
    const bound: Bound[] = []
    for (const { name, config, view } of services.values())
      if (operator.gateUnder(name, config) !== 'shut') bound.push(...view.listeners)
    return bound
  }

  /** @param as which clients are let in; null: those that are now */
  async #prepare(threads: Threads, blueprints: readonly Blueprint[], as: ServiceGate | null = null): Promise<void> {
    const { services, operator } = this.#manager
    const others = blueprints.filter(({ name, view }) => !isDeepStrictEqual(services.get(name)?.view, view))
    for (let at = 0; at < others.length; at += BATCH)
      await Promise.all(
        others.slice(at, at + BATCH).map(({ name, config, view }) => {
          const gate = as ?? operator.gateUnder(name, config)
          return threads.demand({ type: 'prepare', view, gate }, PREPARE_MS)
        }),
      )
  }

  async #undo(threads: Threads): Promise<void> {
    await threads.ask({ type: 'undo' })
    this.#manager.rows.undo()
  }

  /** Nothing here can fail: what control knows changes in one step, and the threads have all that they need. */
  async #commit(threads: Threads, blueprints: readonly Blueprint[]): Promise<void> {
    const manager = this.#manager
    const { services, log, rows, board } = manager
    const removed = [...services.values()].filter(({ name }) => !Object.hasOwn(this.#after.virtualServices, name))
    rows.settle()
    const running = new Map(services)
    const drawn = new Map(blueprints.map((blueprint) => [blueprint.name, blueprint]))
    services.clear()
    for (const name of Object.keys(this.#after.virtualServices)) {
      const service = running.get(name)
      if (service !== undefined) services.set(name, service)
      const blueprint = drawn.get(name)
      if (blueprint !== undefined) this.#establish(blueprint, service ?? null)
    }
    for (const service of removed) this.#remove(service)
    manager.adopt(this.#after)
    const done = threads.demand({ type: 'commit', removed: removed.map(({ name }) => name) }, COMMIT_MS)
    for (const { name } of blueprints) for (const tracker of services.get(name)?.trackers ?? []) tracker.start()
    await done.catch((error: unknown) => log.warn({ err: error }, 'a data thread takes the new configuration up late'))
    // Flows that wait look again, under the new view.
    for (const { view } of blueprints) for (const { row } of view.pools) board.touch(row)
  }

  #establish(blueprint: Blueprint, before: RunningService | null): void {
    const { services, draughtsman, operator, rows, departures, parting } = this.#manager
    const { name, view } = blueprint
    const entries = new Map(before?.trackers.map((tracker) => [tracker.name, tracker.entry]))
    const service = draughtsman.establish(blueprint, before)
    services.set(name, service)
    if (before === null) operator.add(service)
    else operator.change(service, entries)
    const past = before ?? parting.get(name) ?? null
    parting.delete(name)
    departures.cancel(name, null)
    for (const key of rowsOf(view)) rows.keep(key)
    for (const { name: backend } of service.trackers) departures.cancel(name, backend)
    if (past !== null) this.#part(service, past)
  }

  /** What a service had before, and has no more. */
  #part(service: RunningService, past: RunningService): void {
    const { rows } = this.#manager
    const names = new Set(service.trackers.map(({ name }) => name))
    for (const tracker of past.trackers) if (!names.has(tracker.name)) this.#removeBackend(service, tracker, past)
    const kept = new Set([...rowsOf(service.view)].map(({ kind, key }) => `${kind} ${key}`))
    for (const row of rowsOf(past.view))
      if (row.kind !== 'backend' && !kept.has(`${row.kind} ${row.key}`)) rows.retire(row)
  }

  /** Its row stays as it is: flows that are between two tries may still go there, new ones don't see it any more. */
  #removeBackend(service: RunningService, tracker: RunningService['trackers'][number], before: RunningService): void {
    const manager = this.#manager
    const { name: backend } = tracker
    const key = `${service.name}/${backend}`
    tracker.stop()
    manager.remember(tracker)
    const pool = poolsOf(before.config).find(([name]) => name === tracker.pool)?.[1]
    manager.departures.add({
      service: service.name,
      backend,
      timeoutMs: pool?.drain.timeout ?? service.config.drain.timeout,
      flows: () => tracker.active,
      cut: async (spreadMs) => {
        await manager.threads?.ask({ type: 'cut', service: service.name, backend, spreadMs })
      },
      gone: async () => {
        manager.forget(key)
        manager.rows.retire({ kind: 'backend', key })
      },
    })
  }

  #remove(service: RunningService): void {
    const manager = this.#manager
    const { name, view, config, trackers } = service
    manager.operator.remove(service)
    manager.security.adopt(name, null, [])
    for (const tracker of trackers) {
      tracker.stop()
      manager.remember(tracker)
    }
    manager.parting.set(name, service)
    manager.departures.add({
      service: name,
      backend: null,
      timeoutMs: config.drain.timeout,
      flows: () => manager.board.active('service', view.row),
      cut: async (spreadMs) => {
        await manager.threads?.ask({ type: 'cut', service: name, backend: null, spreadMs })
      },
      gone: async () => {
        manager.parting.delete(name)
        await manager.threads?.ask({ type: 'forget', service: name })
        for (const tracker of trackers) manager.forget(`${name}/${tracker.name}`)
        for (const row of rowsOf(view)) manager.rows.retire(row)
      },
    })
  }
}
