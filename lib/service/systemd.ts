/**
 * Tells systemd, where it started us, that we are ready, alive, and about to stop. Node has no unix datagrams, so `systemd-notify`
 * sends them (the unit needs `NotifyAccess=all`): 3 ms of CPU for each, three for every WatchdogSec.
 */
import { spawn } from 'node:child_process'
import type { Logger } from '../core/index.ts'

const SEARCH_PATH = '/usr/bin:/bin'
const TELL_MS = 5000
const PINGS = 3 // in the time of the watchdog: one may be late

export interface SystemdOptions {
  /** Of the process: NOTIFY_SOCKET, and WATCHDOG_USEC. */
  readonly env: NodeJS.ProcessEnv
  readonly log: Pick<Logger, 'warn'>
  /** Does it do what it is for? Else the watchdog is not fed, and systemd starts it anew. */
  healthy(): boolean
}

export class Systemd {
  readonly #options: SystemdOptions
  readonly #socket: string
  #timer: NodeJS.Timeout | null = null
  #told = false

  private constructor(options: SystemdOptions, socket: string) {
    this.#options = options
    this.#socket = socket
  }

  /** null: it was not started by systemd, or not with `Type=notify`. */
  static of(options: SystemdOptions): Systemd | null {
    const socket = options.env['NOTIFY_SOCKET'] ?? ''
    return socket === '' ? null : new Systemd(options, socket)
  }

  /** @param anew false: the service is ready already, by a process before; said late, it could be taken for a word of the next start */
  ready(status: string, anew = true): void {
    void this.#send(...(anew ? ['--ready'] : []), `--status=${status}`)
    const ms = Number(this.#options.env['WATCHDOG_USEC'] ?? 0) / 1000
    if (!(ms > 0)) return
    this.#timer = setInterval(() => {
      if (this.#options.healthy()) void this.#send('WATCHDOG=1')
    }, ms / PINGS)
    this.#timer.unref()
  }

  /** This process is the service from now on, in the place of another. Resolves when systemd knows, or can't be told. */
  takeOver(): Promise<void> {
    return this.#send(`MAINPID=${process.pid}`)
  }

  /** Another process of the unit is the service, and ready, and this one is about to end. Resolves as `takeOver` does. */
  passOn(pid: number): Promise<void> {
    return this.#send('--ready', `MAINPID=${pid}`)
  }

  /** The watchdog is fed on: a drain may take long. */
  stopping(): void {
    void this.#send('STOPPING=1')
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  /** Resolves when it has been told, which systemd-notify waits for, or when it is clear that it can't be. */
  #send(...args: string[]): Promise<void> {
    const env = { PATH: SEARCH_PATH, NOTIFY_SOCKET: this.#socket }
    const child = spawn('systemd-notify', args, { env, stdio: 'ignore', timeout: TELL_MS })
    child.unref()
    return new Promise((resolve) => {
      child.on('error', (error) => {
        this.#failed(error.message)
        resolve()
      })
      child.on('exit', (code) => {
        if (code !== 0) this.#failed(`systemd-notify ended with ${code}`)
        resolve()
      })
    })
  }

  #failed(why: string): void {
    if (this.#told) return
    this.#told = true
    this.#options.log.warn(`systemd was not told: ${why}`)
  }
}
