/** Takes other configurations into force, one after the other, and knows what came of it: for signals, operators, the API and changed files. */
import { createHash } from 'node:crypto'
import { realpath, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import {
  type Config,
  filesOf,
  holdsMask,
  type Invalid,
  type Loaded,
  loadConfig,
  loadConfigText,
  type Problem,
  reloadConfig,
  type ServiceDiff,
  type SourceText,
} from '../config/index.ts'
import { BalancerError, type Clock, type Logger, messageOf } from '../core/index.ts'
import { History, type PastConfig } from './history.ts'
import type { Manager } from './manager.ts'
import { type Plan, planOf } from './plan.ts'
import { replaceFile } from './state-file.ts'
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
  /** Why files are not as what is in force now, so that the next reload undoes it; null: they are. */
  readonly unsaved: string | null
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
  /** Where the last configurations are kept; null: in memory alone. */
  readonly historyFile: string | null
}

/** What would come of a reload. */
export type Planned =
  | { readonly ok: true; readonly hash: string; readonly plan: Plan; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly hash: string; readonly problems: readonly Problem[] }

/** A text that is to take the place of the main file. */
export interface Text {
  readonly text: string
  /** What relative paths in it are relative to; null: the main file. */
  readonly name: string | null
}

const NOTHING: ServiceDiff = { added: [], changed: [], removed: [] }

export class Reloads {
  readonly #options: ReloadsOptions
  readonly #watcher: Watcher
  readonly #history: History
  #inForce: InForce
  /** How that was read. */
  #loaded: Loaded
  #last: ReloadOutcome | null = null
  #busy: Promise<unknown> = Promise.resolve()
  /** The start counts as one that was taken. */
  #counts = { success: 1, failure: 0 }

  constructor(options: ReloadsOptions) {
    const { loaded, clock } = options
    this.#options = options
    this.#loaded = loaded
    this.#inForce = { hash: hashOf(loaded.texts), at: clock.wall(), by: 'the start' }
    this.#watcher = new Watcher(() => this.#onFiles())
    this.#history = new History(options.historyFile, options.log)
  }

  /** The last that were in force, the latest first: the first is. */
  get history(): readonly PastConfig[] {
    return this.#history.entries
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
  start(): Promise<void> {
    const { loaded } = this.#options
    return this.#inTurn(async () => {
      await this.#history.begin({ ...this.#inForce, texts: loaded.texts })
      this.#watch(loaded)
    })
  }

  stop(): void {
    this.#watcher.stop()
  }

  /** Reads the files anew, and brings what they say into force. Never rejects. One after the other. */
  reload(request: ReloadRequest): Promise<ReloadOutcome> {
    return this.#inTurn(() => this.#reload(request, () => reloadConfig(this.#options.file, this.#loaded)))
  }

  /** Brings a text into force, and writes it to the main file once it is. Never rejects. */
  put(text: string, request: ReloadRequest): Promise<ReloadOutcome> {
    const { file } = this.#options
    return this.#inTurn(() => this.#reload(request, () => loadConfigText(text, file), [resolve(file)]))
  }

  /**
   * Brings back what was in force `back` configurations ago, and writes its files. Never rejects.
   * @param back 1: the one before this one
   */
  rollback(back: number, request: ReloadRequest): Promise<ReloadOutcome> {
    return this.#inTurn(async () => {
      const past = this.history[back]
      const [main] = past?.texts ?? []
      if (past === undefined || main === undefined) {
        const sentence = `refused: of the configurations before this one ${this.history.length - 1} are kept`
        return this.#end(request.by, this.#options.clock.now(), { result: 'refused', sentence })
      }
      const texts = new Map(past.texts.map(({ path, text }) => [path, text]))
      const load = () => loadConfigText(main.text, main.path, { files: filesOf(texts) })
      return this.#reload(request, load, [...texts.keys()])
    })
  }

  /** What a reload of the files, or of this text in the place of the main file, would do. */
  async plan(text: Text | null): Promise<Planned> {
    const { file, manager } = this.#options
    const loaded = text === null ? await loadConfig(file) : await loadConfigText(text.text, text.name ?? file)
    const { hash } = this.#inForce
    if (!loaded.ok) return { ok: false, hash, problems: loaded.problems }
    const flows = (service: string, backend: string | null): number => {
      const running = manager.services.get(service)
      if (running === undefined) return 0
      if (backend === null) return manager.board.active('service', running.view.row)
      return running.trackers.find(({ name }) => name === backend)?.active ?? 0
    }
    const { config, warnings } = loaded
    const obstacles = await manager.rehearse(config)
    return { ok: true, hash, plan: planOf(manager.config, config, flows, obstacles), warnings }
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#busy.then(act)
    this.#busy = turn.catch(() => {})
    return turn
  }

  async #onFiles(): Promise<void> {
    await this.#inTurn(async () => {
      const result = await reloadConfig(this.#options.file, this.#loaded)
      if (result.ok && hashOf(result.texts) === this.#inForce.hash) return // touched, or another file in the folder
      await this.#reload({ by: 'a change of the files', ifHash: null }, async () => result)
    })
  }

  /** @param write paths of texts that are to be written once they are in force */
  async #reload(
    { by, ifHash }: ReloadRequest,
    load: () => Promise<Loaded | Invalid>,
    write: readonly string[] = [],
  ): Promise<ReloadOutcome> {
    const { clock, log, manager } = this.#options
    const begun = clock.now()
    if (ifHash !== null && ifHash !== this.#inForce.hash) {
      const sentence = `refused: the configuration in force is ${this.#inForce.hash}, by ${this.#inForce.by}, not ${ifHash}`
      return this.#end(by, begun, { result: 'refused', sentence })
    }
    const loaded = await load().catch((error: unknown): string => messageOf(error))
    if (typeof loaded === 'string') return this.#end(by, begun, { result: 'failed', sentence: kept(loaded) })
    if (!loaded.ok) {
      const { problems } = loaded
      return this.#end(by, begun, { result: 'invalid', sentence: kept(sentenceOf(problems)), problems })
    }
    if (write.length > 0 && holdsMask(loaded.config)) {
      const sentence = kept('*** stands for a secret that was not shown; write it, or take it from the environment')
      return this.#end(by, begun, { result: 'failed', sentence })
    }
    let changes: ServiceDiff
    try {
      changes = await manager.apply(loaded.config)
    } catch (error) {
      if (!(error instanceof BalancerError)) log.error({ err: error }, 'a reload failed for a reason of its own')
      return this.#end(by, begun, { result: 'failed', sentence: kept(messageOf(error)) })
    }
    const hash = hashOf(loaded.texts)
    const other = hash !== this.#inForce.hash
    this.#inForce = { hash, at: clock.wall(), by }
    this.#loaded = loaded
    const unsaved = await written(loaded.texts.filter(({ path }) => write.includes(path)))
    if (unsaved !== null) log.error(`what is in force could not be written: ${unsaved}; the next reload undoes it`)
    if (other) await this.#history.add({ ...this.#inForce, texts: loaded.texts })
    this.#watch(loaded)
    return this.#end(by, begun, { result: 'applied', sentence: describe(changes), changes, unsaved })
  }

  #end(
    by: string,
    begun: number,
    outcome: Pick<ReloadOutcome, 'result' | 'sentence'> & Partial<ReloadOutcome>,
  ): ReloadOutcome {
    const { clock, log } = this.#options
    const tookMs = Math.round(clock.now() - begun)
    const { hash } = this.#inForce
    const whole = { at: clock.wall(), by, tookMs, hash, problems: [], changes: NOTHING, unsaved: null, ...outcome }
    const { result, sentence } = whole
    // A refusal says nothing of what is in the files.
    if (result !== 'refused') this.#last = whole
    this.#counts[result === 'applied' ? 'success' : 'failure']++
    log[result === 'applied' ? 'info' : 'error']({ by, hash, tookMs, result }, `reload by ${by}: ${sentence}`)
    return whole
  }

  #watch({ config, files, folders }: { config: Config; files: readonly string[]; folders: readonly string[] }) {
    this.#watcher.watch(config.appliance.watch ? [...files, ...folders] : [])
  }
}

/** null: all are. A link stays one. */
async function written(texts: readonly SourceText[]): Promise<string | null> {
  for (const { path, text } of texts) {
    try {
      const at = await realpath(path).catch(() => path)
      const mode = await stat(at).then(
        (facts) => facts.mode & 0o777,
        () => 0o600,
      )
      await replaceFile(at, text, mode)
    } catch (error) {
      return `${path}: ${messageOf(error)}`
    }
  }
  return null
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
