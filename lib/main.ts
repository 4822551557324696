/** The control thread's composition root: one run of the balancer, from configuration to exit code. */
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type AdminServer, type Succession, startAdmin } from './admin/index.ts'
import type { Loaded } from './config/index.ts'
import { type BalancerError, createLogger, formatAddress, systemClock } from './core/index.ts'
import { adopt, type Cut, Manager, Reloads, Systemd } from './service/index.ts'
import { Predecessor, type Successor, Upgrades } from './upgrade/index.ts'

export { boundYoungHeap } from './service/index.ts'

/** What listens where, once everything does. */
export interface Started {
  readonly admin: string
  readonly listeners: Readonly<Record<string, readonly string[]>>
}

export interface RunOptions {
  readonly loaded: Loaded
  /** The file that it came from. */
  readonly file: string
  readonly version: string
  /** The process in whose place this one comes; null: in nobody's. */
  readonly before: Predecessor | null
  readonly onStarted: (started: Started) => void
  /** Told while SIGTERM's drain goes on. */
  readonly onDrain: (flows: number, leftMs: number) => void
}

/** Exit codes that a run can end with; 2 and 3 are the command line's. */
export const EXIT = { done: 0, failed: 1, cut: 4 } as const

const PROGRESS_MS = 1000
const READY_MS = 60_000 // for a process that comes in this one's place at a signal
const PROBED_MS = 3000 // for first results: what is not probed by then is waited for by its flows
const LOOK_MS = 20

/** The process in whose place this one was started. To be asked before anything else, and told when it can't be. */
export const findPredecessor = (): Predecessor | null => Predecessor.find()

/** Who started this process and wants to hear of it; null: nobody. */
export const serviceManager = (): Systemd | null =>
  Systemd.of({ env: process.env, log: createLogger(), healthy: () => true })

/** Runs until SIGTERM or SIGINT, or another process comes in its place; resolves with the exit code. Throws BalancerError when it can't start. */
export async function runBalancer(options: RunOptions): Promise<number> {
  const { loaded, file, version, before } = options
  const { stateFile } = loaded.config.appliance
  const log = createLogger()
  const inheritance = before === null ? null : await before.inherit(version)
  const manager = new Manager({
    config: loaded.config,
    stateFolder: stateFile === 'off' ? join(dirname(resolve(file)), 'state') : dirname(stateFile),
    inheritance,
    clock: systemClock,
    log,
    onHopeless: (error: BalancerError) => {
      log.fatal(error.message)
      ending.give(EXIT.failed)
    },
    onCut: (cut) => before?.cut(cut),
  })
  const ending = new Ending(manager, options)
  await manager.start()
  const historyFile = stateFile === 'off' ? null : `${stateFile.replace(/\.json$/, '')}.configs.json`
  const reloads = new Reloads({ manager, file, loaded, clock: systemClock, log, historyFile })
  const healthy = (): boolean => manager.draining || manager.threads?.serving === true
  const systemd = Systemd.of({ env: process.env, log, healthy })
  const upgrades = new Upgrades({
    manager,
    admin: () => admin,
    clock: systemClock,
    log,
    onSucceeded: (successor) => {
      systemd?.stop() // the other process is the service now
      reloads.stop()
      void admin.close()
      ending.retire(successor)
    },
    onWish: (wish) => {
      if (wish.type === 'reopen-logs') reopenLogs()
      if (wish.type === 'cut') cut(wish.cut)
      if (wish.type === 'hurry') ending.hurry('a signal to the process after this one')
    },
  })
  const reopenLogs = (): void => {
    manager.threads?.broadcast({ type: 'reopen-logs' })
    before?.reopenLogs()
  }
  const cut = (what: Cut): void => {
    before?.cut(what)
    manager.cut(what).catch((error: unknown) => log.error({ err: error }, 'flows were not cut'))
  }
  const stop = (signal: NodeJS.Signals): void => {
    if (!upgrades.underWay) systemd?.stopping()
    upgrades.abort(`${signal}: the process is about to end`)
    ending.stop(signal)
  }
  let admin: AdminServer
  try {
    const opening = before === null ? null : await probed(manager).then(() => before.ready())
    const succession = successionOf(upgrades, before)
    const listen = adminAddress(manager.config.admin.listen, opening?.admin ?? null)
    admin = await startAdmin({ file, version, manager, reloads, succession, log, listen })
    if (inheritance !== null) {
      if (opening !== null) adopt(manager, inheritance, opening.bequest)
      await manager.open()
      await systemd?.takeOver() // or the end of the one before would be taken for the end of the service
    }
  } catch (error) {
    await manager.stop()
    throw error
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => void reloads.reload({ by: 'SIGHUP', ifHash: null }))
  process.on('SIGUSR1', reopenLogs)
  const noEnd = new AbortController().signal
  process.on('SIGUSR2', () => void upgrades.upgrade({ by: 'SIGUSR2', timeoutMs: READY_MS, signal: noEnd }))
  process.on('uncaughtException', (error) => manager.mishaps.add(error)) // unhandled rejections too
  before?.serving() // behind all that: who hears of us may send a signal at once
  await reloads.start()
  options.onStarted({ admin: admin.address, listeners: listenersOf(manager) })
  systemd?.ready(`${manager.services.size} services`, before === null)
  const code = await ending.code
  reloads.stop()
  await admin.close()
  const { threads } = manager
  await manager.stop()
  systemd?.stop()
  if (threads?.stuck === true) {
    log.fatal('a data thread hangs in native code: the process is killed')
    process.kill(process.pid, 'SIGKILL') // any other end would wait for it
  }
  return code
}

/** A port that the kernel gave to the process before stays. */
function adminAddress(configured: string, before: string | null): string {
  const isFree = configured.endsWith(':0') && before?.startsWith(configured.slice(0, -1)) === true
  return isFree && before !== null ? before : configured
}

const successionOf = (upgrades: Upgrades, before: Predecessor | null): Succession => ({
  get underWay() {
    return upgrades.underWay
  },
  get last() {
    return upgrades.last
  },
  get before() {
    return before === null || before.left === null ? null : { pid: before.pid, ...before.left }
  },
  upgrade: (wish) => upgrades.upgrade(wish),
})

/** Waits for the first results of probes, for a while. */
async function probed(manager: Manager): Promise<void> {
  const until = systemClock.now() + PROBED_MS
  while (systemClock.now() < until) {
    if (![...manager.trackers()].some(({ facts }) => facts.health === 'unknown')) return
    await pause(LOOK_MS)
  }
}

function listenersOf(manager: Manager): Record<string, string[]> {
  const addresses: Record<string, string[]> = {}
  for (const [name, { view }] of manager.services)
    addresses[name] = view.listeners.map(({ host, port }) => formatAddress(host, port))
  return addresses
}

/** How the run ends: by a drain, and with a code. */
class Ending {
  readonly code: Promise<number>
  give: (code: number) => void = () => {}
  readonly #manager: Manager
  readonly #options: RunOptions
  #signals = 0
  #hurried = false

  constructor(manager: Manager, options: RunOptions) {
    this.#manager = manager
    this.#options = options
    this.code = new Promise((resolve) => {
      this.give = resolve
    })
  }

  /** The first signal drains, a second one stops at once. */
  stop(signal: NodeJS.Signals): void {
    if (++this.#signals > 1) return this.hurry(`${signal} again`)
    const { log, draining } = this.#manager
    if (draining) return log.info(`${signal}: connections drain already; a second signal stops at once`)
    const { onDrain, before } = this.#options
    const gone = before?.ended ?? Promise.resolve()
    const note = 'a second signal stops at once'
    void this.#drain(signal, note, gone, (flows, deadline) => onDrain(flows, Math.max(0, deadline - Date.now())))
  }

  /** Another process serves. */
  retire(successor: Successor): void {
    const note = `process ${successor.pid} serves who comes anew`
    void this.#drain('upgrade', note, Promise.resolve(), (flows, deadline) =>
      successor.tell({ type: 'left', flows, deadline }),
    )
  }

  hurry(why: string): void {
    const { log } = this.#manager
    log.warn(`${why}: stopping at once`)
    this.#hurried = true
    this.#options.before?.hurry()
    this.give(this.#manager.activeConnections() > 0 ? EXIT.cut : EXIT.done)
  }

  /** Lets flows finish until the appliance's drain timeout, those of the process before too. */
  async #drain(
    why: string,
    note: string,
    gone: Promise<void>,
    onProgress: (flows: number, deadline: number) => void,
  ): Promise<void> {
    const manager = this.#manager
    const { log, config } = manager
    const { timeout } = config.appliance.drain
    const deadline = Date.now() + timeout
    log.info(`${why}: draining ${manager.activeConnections()} connections, at most ${timeout / 1000} s; ${note}`)
    const tell = (): void => onProgress(manager.activeConnections(), deadline)
    if (why === 'upgrade') tell()
    const progress = setInterval(tell, PROGRESS_MS)
    let expired: NodeJS.Timeout | undefined
    const late = new Promise<'cut'>((resolve) => {
      expired = setTimeout(() => resolve('cut'), timeout)
    })
    const drained = Promise.all([manager.drain(why === 'upgrade'), gone]).then(() => 'done' as const)
    const end = await Promise.race([drained, late])
    clearTimeout(expired)
    clearInterval(progress)
    if (this.#hurried) return // which has said so
    const left = manager.activeConnections()
    const cut = end === 'cut' && left > 0 // a time of 0 is up before the threads can say that there was nothing
    if (cut) log.warn(`drain timeout: ${left} connections are cut`)
    else log.info('drained: every connection ended by itself')
    this.give(cut ? EXIT.cut : EXIT.done)
  }
}
