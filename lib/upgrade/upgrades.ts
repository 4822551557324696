/** Has another process come in this one's place: all of the way, or not at all. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { AdminServer, UpgradeOutcome, UpgradeWish } from '../admin/index.ts'
import { BalancerError, type Clock, type Logger, messageOf, migrationInUpgrade, movesQueued } from '../core/index.ts'
import { bequeath, bequest, type Manager } from '../service/index.ts'
import { type FromSuccessor, PROTOCOL } from './messages.ts'
import { type Program, programOf } from './program.ts'
import { numbered, Successor } from './successor.ts'

const OPEN_MS = 10_000 // opening is a matter of ms; a state file on a slow disk may take longer

export interface UpgradesOptions {
  readonly manager: Manager
  /** The admin listener: given up for the other, and taken again when that fails. */
  readonly admin: () => Pick<AdminServer, 'address' | 'pause' | 'resume'>
  readonly clock: Clock
  readonly log: Logger
  /** Another process serves: this one is to end with its last flow. */
  readonly onSucceeded: (successor: Successor) => void
  /** What the other process says once it serves. */
  readonly onWish: (message: FromSuccessor) => void
}

const fail = (why: string): BalancerError => new BalancerError('UPGRADE_FAILED', why)

export class Upgrades {
  readonly #options: UpgradesOptions
  /** What gives the one up that is under way; null: there is none. */
  #abort: AbortController | null = null
  #succeeded = false
  #last: UpgradeOutcome | null = null

  constructor(options: UpgradesOptions) {
    this.#options = options
  }

  /** Nothing may change meanwhile: it would be lost. */
  get underWay(): boolean {
    return this.#abort !== null || this.#succeeded
  }

  /** The last that did not come about; null: there was none. */
  get last(): UpgradeOutcome | null {
    return this.#last
  }

  /** The process ends: there is nothing to be handed over any more. */
  abort(why: string): void {
    this.#abort?.abort(fail(why))
  }

  /** Never rejects. */
  async upgrade(wish: UpgradeWish): Promise<UpgradeOutcome> {
    const { clock, log } = this.#options
    const { by } = wish
    const begun = clock.now()
    const end = (outcome: Pick<UpgradeOutcome, 'result' | 'sentence'> & Partial<UpgradeOutcome>): UpgradeOutcome => {
      const tookMs = Math.round(clock.now() - begun)
      const whole = { at: clock.wall(), by, tookMs, pid: null, version: null, ...outcome }
      if (whole.result === 'failed') this.#last = whole
      log[whole.result === 'done' ? 'info' : 'error']({ by, tookMs }, `upgrade by ${by}: ${whole.sentence}`)
      return whole
    }
    const refusal = this.#refusal()
    if (refusal !== null) return end({ result: 'refused', sentence: `refused: ${refusal}` })
    const abort = new AbortController()
    this.#abort = abort
    const timer = setTimeout(
      () => abort.abort(fail(`it was not ready within ${wish.timeoutMs / 1000} s`)),
      wish.timeoutMs,
    )
    const gone = (): void => abort.abort(fail('who asked for it has gone'))
    wish.signal.addEventListener('abort', gone)
    try {
      const done = await this.#options.manager.turns.alone(() => this.#run(abort))
      return end({ result: 'done', ...done })
    } catch (error) {
      return end({ result: 'failed', sentence: `nothing has changed: ${messageOf(error)}` })
    } finally {
      clearTimeout(timer)
      wish.signal.removeEventListener('abort', gone)
      this.#abort = null
    }
  }

  #refusal(): string | null {
    const { manager } = this.#options
    if (this.#succeeded) return 'another process serves already; ask that'
    if (this.#abort !== null) return 'an upgrade is under way'
    if (manager.draining) return 'the process is about to end'
    if (process.argv.includes('--demo')) return 'the demo backends belong to this process; start without --demo'
    return null
  }

  async #run(abort: AbortController): Promise<{ sentence: string; pid: number; version: string }> {
    const { log } = this.#options
    const { signal } = abort
    const program = await this.#program()
    signal.throwIfAborted()
    const { successor, inheritance } = await this.#start(program, signal)
    try {
      const { protocol, version } = await abortable(successor.hear('hello'), signal)
      if (protocol !== PROTOCOL)
        throw fail(`version ${version} can't take over from this one: stop it and start the other`)
      log.info({ pid: successor.pid }, `process ${successor.pid}, version ${version}, prepares to take over`)
      successor.tell({ type: 'inherit', inheritance })
      await abortable(successor.hear('ready'), signal)
      await this.#handOver(successor, signal)
      const { pid } = successor
      return { sentence: await this.#sentence(pid, version, inheritance.sockets), pid, version }
    } catch (error) {
      await successor.kill()
      throw error
    }
  }

  async #program(): Promise<Program> {
    if (process.pid === 1 || (process.ppid === 1 && (await isLauncher(1))))
      throw fail('this is process 1, with which its container ends: start another container')
    const { argv0, execPath, execArgv, argv, env } = process
    const at = { argv0, execPath, execArgv, argv, path: env['PATH'] ?? '', exists: existsSync }
    const program = programOf({ ...at, cwd: cwdOf() })
    if (typeof program === 'string') throw fail(program)
    return program
  }

  /** The sockets are its own as soon as it is started. */
  async #start(program: Program, signal: AbortSignal) {
    const { manager, onWish } = this.#options
    const takeBack = (): void => manager.threads?.broadcast({ type: 'take-back' })
    const lent = bequeath(manager) // waits for threads that are being replaced, which may take long
    try {
      const { given, descriptors } = numbered(await abortable(lent, signal))
      return { successor: new Successor(program, descriptors, onWish), inheritance: given }
    } finally {
      lent.then(takeBack, takeBack)
    }
  }

  /** From here on there is one way back only: both admin listener and state file are taken again. */
  async #handOver(successor: Successor, signal: AbortSignal): Promise<void> {
    const { manager, onSucceeded } = this.#options
    const admin = this.#options.admin()
    signal.throwIfAborted()
    admin.pause()
    await manager.forgets()
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(fail(`it did not serve within ${OPEN_MS / 1000} s`)), OPEN_MS)
    try {
      successor.tell({ type: 'open', bequest: bequest(manager), admin: admin.address })
      await abortable(successor.hear('serving'), late.signal)
    } catch (error) {
      await successor.kill() // before its address is taken again
      manager.remembers()
      await admin.resume()
      throw error
    } finally {
      clearTimeout(timer)
    }
    this.#succeeded = true
    successor.release()
    onSucceeded(successor)
  }

  async #sentence(pid: number, version: string, sockets: Readonly<Record<string, readonly number[]>>): Promise<string> {
    const { manager } = this.#options
    const count = Object.values(sockets).reduce((sum, each) => sum + each.length, 0)
    const flows = manager.activeConnections()
    const { timeout } = manager.config.appliance.drain
    const taken = `process ${pid}, version ${version}, serves; it took over ${count} listening sockets with what waits in their queues`
    return `${taken} (${migrationInUpgrade(movesQueued())}). Process ${process.pid} goes on with ${flows} connections, at most ${timeout / 1000} s`
  }
}

/** Rejects as soon as it is given up. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** Is it our launcher, which ends with us? */
async function isLauncher(pid: number): Promise<boolean> {
  const call = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
  return call.includes('evenkeel')
}

function cwdOf(): string {
  try {
    return process.cwd()
  } catch {
    return '(removed)'
  }
}
