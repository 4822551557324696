/** Takes other configurations into force, one after the other, and knows what came of it: for signals, operators, the API and changed files. */
import { createHash } from 'node:crypto'
import {
  type Config,
  diffServices,
  type LoadResult,
  loadConfig,
  type Problem,
  type ServiceDiff,
  type SourceText,
} from '../config/index.ts'
import { BalancerError, type Clock, type Logger, messageOf } from '../core/index.ts'
import type { Manager } from './manager.ts'
import { Watcher } from './watcher.ts'

/** What came of a reload. */
export interface ReloadOutcome {
  /** `applied`: it is in force. `invalid`: the files are. `failed`: what they say can't be brought about. `refused`: it was not tried. */
  readonly result: 'applied' | 'invalid' | 'failed' | 'refused'
  /** Wall-clock ms. */
  readonly at: number
  readonly by: string
  readonly tookMs: number
  /** Of what is in force afterwards. */
  readonly hash: string
  /** In words. */
  readonly sentence: string
  /** Of an `invalid` one. */
  readonly problems: readonly Problem[]
  readonly changes: ServiceDiff
}

export interface ReloadRequest {
  readonly by: string
  /** Only if this is in force; null: whatever is. */
  readonly ifHash: string | null
}

/** The configuration in force, and where it came from. */
export interface InForce {
  readonly hash: string
  /** Wall-clock ms. */
  readonly at: number
  readonly by: string
}

export interface ReloadsOptions {
  readonly manager: Manager
  /** The main file. */
  readonly file: string
  /** What runs. */
  readonly loaded: Loaded
  readonly clock: Clock
  readonly log: Logger
}

/** A configuration that was read whole. */
export type Loaded = Extract<LoadResult, { ok: true }>

const NOTHING: ServiceDiff = { added: [], changed: [], removed: [] }

export class Reloads {
  readonly #options: ReloadsOptions
  readonly #watcher: Watcher
  #inForce: InForce
  #last: ReloadOutcome | null = null
  #busy: Promise<unknown> = Promise.resolve()
  /** The start counts as one that was taken. */
  #counts = { success: 1, failure: 0 }

  constructor(options: ReloadsOptions) {
    const { loaded, clock } = options
    this.#options = options
    this.#inForce = { hash: hashOf(loaded.texts), at: clock.wall(), by: 'the start' }
    this.#watcher = new Watcher(() => this.#onFiles())
  }

  get inForce(): InForce {
    return this.#inForce
  }
  /** The last that was tried; null: none was. */
  get last(): ReloadOutcome | null {
    return this.#last
  }
  get counts(): { readonly success: number; readonly failure: number } {
    return this.#counts
  }

  /** Follows the files from now on, where that is wanted. */
  start(): void {
    this.#watch(this.#options.loaded)
  }

  stop(): void {
    this.#watcher.stop()
  }

  /** Reads the files anew, and brings what they say into force. Never rejects. One after the other. */
  reload(request: ReloadRequest): Promise<ReloadOutcome> {
    return this.#inTurn(() => this.#reload(request, () => loadConfig(this.#options.file)))
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#busy.then(act)
    this.#busy = turn.catch(() => {})
    return turn
  }

  async #onFiles(): Promise<void> {
    await this.#inTurn(async () => {
      const result = await loadConfig(this.#options.file)
      if (result.ok && hashOf(result.texts) === this.#inForce.hash) return // touched, or another file in the folder
      await this.#reload({ by: 'a change of the files', ifHash: null }, async () => result)
    })
  }

  async #reload({ by, ifHash }: ReloadRequest, load: () => Promise<LoadResult>): Promise<ReloadOutcome> {
    const { clock, log, manager } = this.#options
    const begun = clock.now()
    const end = (outcome: Pick<ReloadOutcome, 'result' | 'sentence'> & Partial<ReloadOutcome>): ReloadOutcome => {
      const tookMs = Math.round(clock.now() - begun)
      const { hash } = this.#inForce
      const whole = { at: clock.wall(), by, tookMs, hash, problems: [], changes: NOTHING, ...outcome }
      this.#last = whole
      this.#counts[whole.result === 'applied' ? 'success' : 'failure']++
      const { result, sentence } = whole
      log[result === 'applied' ? 'info' : 'error']({ by, hash, tookMs, result }, `reload by ${by}: ${sentence}`)
      return whole
    }
    if (ifHash !== null && ifHash !== this.#inForce.hash) {
      const sentence = `refused: the configuration in force is ${this.#inForce.hash}, by ${this.#inForce.by}, not ${ifHash}`
      return end({ result: 'refused', sentence })
    }
    const loaded = await load().catch((error: unknown): string => messageOf(error))
    if (typeof loaded === 'string') return end({ result: 'failed', sentence: kept(loaded) })
    if (!loaded.ok) {
      const { problems } = loaded
      return end({ result: 'invalid', sentence: kept(sentenceOf(problems)), problems })
    }
    const changes = diffServices(manager.config, loaded.config)
    try {
      await manager.apply(loaded.config)
    } catch (error) {
      if (!(error instanceof BalancerError)) log.error({ err: error }, 'a reload failed for a reason of its own')
      return end({ result: 'failed', sentence: kept(messageOf(error)) })
    }
    this.#inForce = { hash: hashOf(loaded.texts), at: clock.wall(), by }
    this.#watch(loaded)
    return end({ result: 'applied', sentence: describe(changes), changes })
  }

  #watch({ config, files, folders }: { config: Config; files: readonly string[]; folders: readonly string[] }) {
    this.#watcher.watch(config.appliance.watch ? [...files, ...folders] : [])
  }
}

const kept = (why: string): string => `nothing has changed: ${why}`

function sentenceOf(problems: readonly Problem[]): string {
  const [first] = problems
  if (first === undefined) return 'the files are not valid'
  const { file, line, column, path, message } = first
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : ''
  return `${file}:${line}:${column}${path === '' ? '' : ` ${path}`}: ${message}${more}`
}

function describe({ added, changed, removed }: ServiceDiff): string {
  const parts = [
    [added, 'added'],
    [changed, 'changed'],
    [removed, 'removed'],
  ] as const
  const told = parts.filter(([names]) => names.length > 0).map(([names, what]) => `${listed(names)} ${what}`)
  return told.length === 0 ? 'no service differs' : told.join(', ')
}

const NAMED = 5
const listed = (names: readonly string[]): string =>
  names.length <= NAMED ? names.join(', ') : `${names.slice(0, NAMED).join(', ')} and ${names.length - NAMED} more`

/** What stands for the texts of a configuration, whoever wrote them. */
export function hashOf(texts: readonly SourceText[]): string {
  const hash = createHash('sha256')
  for (const { path, text } of texts) hash.update(`${path}\0${text.length}\0${text}`)
  return hash.digest('hex').slice(0, 16)
}
