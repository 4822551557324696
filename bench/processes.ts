/** Starts the processes of a bench, each pinned to a core, and ends all of them whatever happens. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { readTree } from './cpu.ts'

/** Core of the balancer under test. */
export const BALANCER_CORE = 0
/** Core of the load generator and the backends. */
export const LOAD_CORE = 1

const STOP_MS = 3000 // what a balancer without traffic needs to end, many times over

/** One running process and what it said on stderr. */
export class Started {
  readonly name: string
  readonly pid: number
  readonly child: ChildProcess
  readonly #errors: string
  constructor(name: string, child: ChildProcess, pid: number, errors: string) {
    this.name = name
    this.child = child
    this.pid = pid
    this.#errors = errors
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** Its stdout; only for a process started with `stdout: 'pipe'`. */
  get stdout(): Readable {
    if (this.child.stdout === null) throw new Error(`${this.name} was started without a pipe for its stdout`)
    return this.child.stdout
  }

  /** The last lines it wrote to stderr. */
  complaint(): string {
    return readFileSync(this.#errors, 'utf8').trim().split('\n').slice(-8).join('\n')
  }

  /** Throws when the process ended though nobody asked it to. */
  assertRunning(): void {
    if (!this.ended) return
    const how = this.child.signalCode ?? `code ${this.child.exitCode}`
    throw new Error(`${this.name} ended by itself with ${how}: ${this.complaint()}`)
  }
}

export interface StartOptions {
  readonly core: number
  readonly stdout?: 'pipe' | 'ignore'
  readonly stdin?: 'pipe' | 'ignore'
}

export class Processes {
  readonly #folder: string
  readonly #running = new Set<Started>()
  readonly #stopMs: number
  #count = 0
  readonly #onExit = () => this.#kill()

  /** `folder` takes what they write to stderr; `stopMs` is how long one may take to end when it is asked to. */
  constructor(folder: string, stopMs = STOP_MS) {
    this.#folder = folder
    this.#stopMs = stopMs
    process.on('exit', this.#onExit) // the last resort, for an exit that skips `stopAll`
  }

  async start(name: string, command: string, args: readonly string[], options: StartOptions): Promise<Started> {
    this.#count += 1
    const errors = join(this.#folder, `${this.#count}-${name}.stderr`)
    const stderr = openSync(errors, 'w')
    try {
      const child = spawn('taskset', ['-c', String(options.core), command, ...args], {
        stdio: [options.stdin ?? 'ignore', options.stdout ?? 'ignore', stderr],
        detached: true, // Ctrl-C reaches only the harness, which then ends the others in order
      })
      await once(child, 'spawn')
      const started = new Started(name, child, child.pid ?? 0, errors)
      this.#running.add(started)
      child.once('exit', () => this.#running.delete(started))
      return started
    } finally {
      closeSync(stderr)
    }
  }

  /** Asks one process to end; after a deadline ends its whole tree. */
  async stop(started: Started): Promise<void> {
    if (started.ended) return
    const exited = once(started.child, 'exit')
    started.child.kill('SIGTERM')
    const timer = setTimeout(() => killTree(started.pid), this.#stopMs)
    await exited
    clearTimeout(timer)
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((started) => this.stop(started)))
    process.off('exit', this.#onExit)
  }

  #kill(): void {
    for (const started of this.#running) killTree(started.pid)
  }
}

/** SIGKILL for a process and its descendants: nginx's worker outlives a master that is killed alone. */
function killTree(pid: number): void {
  for (const member of readTree(pid)) {
    try {
      process.kill(member, 'SIGKILL')
    } catch {
      // ended between the listing and the signal
    }
  }
}
