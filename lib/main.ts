/** The control thread's composition root: one run of the balancer, from configuration to exit code. */
import { dirname, join, resolve } from 'node:path'
import { type AdminServer, startAdmin } from './admin/index.ts'
import { type BalancerError, createLogger, formatAddress, systemClock } from './core/index.ts'
import { type Loaded, Manager, Reloads, Systemd } from './service/index.ts'

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
  readonly onStarted: (started: Started) => void
  /** Told while SIGTERM's drain goes on. */
  readonly onDrain: (flows: number, leftMs: number) => void
}

/** Exit codes that a run can end with; 2 and 3 are the command line's. */
export const EXIT = { done: 0, failed: 1, cut: 4 } as const

const PROGRESS_MS = 1000

/** Runs until SIGTERM or SIGINT; resolves with the exit code. Throws BalancerError when it can't start. */
export async function runBalancer(options: RunOptions): Promise<number> {
  const { loaded, file, version } = options
  const { stateFile } = loaded.config.appliance
  const log = createLogger()
  let give: (code: number) => void = () => {}
  const ended = new Promise<number>((resolve) => {
    give = resolve
  })
  const manager = new Manager({
    config: loaded.config,
    stateFolder: stateFile === 'off' ? join(dirname(resolve(file)), 'state') : dirname(stateFile),
    clock: systemClock,
    log,
    onHopeless: (error: BalancerError) => {
      log.fatal(error.message)
      give(EXIT.failed)
    },
  })
  await manager.start()
  const historyFile = stateFile === 'off' ? null : `${stateFile.replace(/\.json$/, '')}.configs.json`
  const reloads = new Reloads({ manager, file, loaded, clock: systemClock, log, historyFile })
  let admin: AdminServer
  try {
    admin = await startAdmin({ file, version, manager, reloads, log })
  } catch (error) {
    await manager.stop()
    throw error
  }
  const healthy = (): boolean => manager.draining || manager.threads?.serving === true
  const systemd = Systemd.of({ env: process.env, log, healthy })
  const hurry = new AbortController()
  const stop = (signal: NodeJS.Signals): void => {
    systemd?.stopping()
    if (manager.draining) {
      log.warn(`${signal} again: stopping at once`)
      hurry.abort()
      give(manager.activeConnections() > 0 ? EXIT.cut : EXIT.done)
    } else void drain(manager, options, signal, hurry.signal).then(give)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => void reloads.reload({ by: 'SIGHUP', ifHash: null }))
  process.on('SIGUSR1', () => manager.threads?.broadcast({ type: 'reopen-logs' }))
  process.on('uncaughtException', (error) => manager.mishaps.add(error)) // unhandled rejections too
  await reloads.start()
  options.onStarted({ admin: admin.address, listeners: listenersOf(manager) })
  systemd?.ready(`${manager.services.size} services`)
  const code = await ended
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

function listenersOf(manager: Manager): Record<string, string[]> {
  const addresses: Record<string, string[]> = {}
  for (const [name, { view }] of manager.services)
    addresses[name] = view.listeners.map(({ host, port }) => formatAddress(host, port))
  return addresses
}

/** Lets flows finish until the appliance's drain timeout. */
async function drain(manager: Manager, { onDrain }: RunOptions, signal: string, hurry: AbortSignal): Promise<number> {
  const { log, config } = manager
  const { timeout } = config.appliance.drain
  const until = systemClock.now() + timeout
  log.info(
    `${signal}: draining ${manager.activeConnections()} connections, at most ${timeout / 1000} s; a second signal stops at once`,
  )
  const progress = setInterval(
    () => onDrain(manager.activeConnections(), Math.max(0, until - systemClock.now())),
    PROGRESS_MS,
  )
  let expired: NodeJS.Timeout | undefined
  const deadline = new Promise<'cut'>((resolve) => {
    expired = setTimeout(() => resolve('cut'), timeout)
  })
  const end = await Promise.race([manager.drain().then(() => 'done' as const), deadline])
  clearTimeout(expired)
  clearInterval(progress)
  if (hurry.aborted) return EXIT.cut // a second signal was faster, and has said so
  const left = manager.activeConnections()
  const cut = end === 'cut' && left > 0 // a time of 0 is up before the threads can say that there was nothing
  if (cut) log.warn(`drain timeout: ${left} connections are cut`)
  else log.info('drained: every connection ended by itself')
  return cut ? EXIT.cut : EXIT.done
}
