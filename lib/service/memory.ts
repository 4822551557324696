/** What the balancer remembers across restarts: reads it at the start, writes it after each change and now and then. */
import type { Clock, Logger } from '../core/index.ts'
import { messageOf } from '../core/index.ts'
import { decode, type Entry, encode, NOTHING, type Recalled, recall, type Snapshot } from './saved.ts'
import { putAside, readState, StateFile } from './state-file.ts'

const EVERY_MS = 10_000 // how old the health may be that a restart begins with

export interface MemoryOptions {
  /** null: nothing is remembered. */
  readonly path: string | null
  readonly clock: Clock
  readonly log: Logger
}

export class Memory {
  readonly #options: MemoryOptions
  #file: StateFile | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: MemoryOptions) {
    this.#options = options
  }

  /**
   * What an earlier run left, as far as it still holds. Never rejects: without it everything starts anew.
   * @param handed what the process before says of itself; null: the file tells
   */
  async recall(
    services: ReadonlySet<string>,
    backends: ReadonlyMap<string, Entry>,
    handed: string | null,
  ): Promise<Recalled> {
    const { path, clock, log } = this.#options
    const text = handed ?? (path === null ? null : await readState(path, log))
    if (text === null) return NOTHING
    try {
      const recalled = recall(decode(text), { services, backends }, clock.wall())
      for (const what of recalled.dropped) log.warn(`state file: not taken over: ${what}`)
      return recalled
    } catch (error) {
      if (handed === null && path !== null) await putAside(path, messageOf(error), log)
      return NOTHING
    }
  }

  /** Writes from now on. Only who listens may: another balancer may be the owner of the file. */
  start(snapshot: () => Omit<Snapshot, 'at'>): void {
    const { path, clock, log } = this.#options
    if (path === null) return
    this.#file = new StateFile(path, () => encode({ at: clock.wall(), ...snapshot() }), log)
    this.#timer = setInterval(() => void this.save(), EVERY_MS)
    this.#timer.unref()
  }

  /** Resolves when all that holds now is on disk: with null, or with why it is not. */
  async save(): Promise<string | null> {
    return this.#file === null ? null : this.#file.save()
  }

  /** Writes a last time. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    const last = this.save()
    this.#file = null // who asks from now on asks in vain: the file may be another process's
    await last
  }
}
