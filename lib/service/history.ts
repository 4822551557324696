/** The last configurations that were in force, with who brought them there and when: kept beside the state file. */
import type { SourceText } from '../config/index.ts'
import { codeOf, type Logger, messageOf } from '../core/index.ts'
import { readState, replaceFile } from './state-file.ts'

const KEPT = 10
const OWNER_ONLY = 0o600 // texts may hold secrets
const VERSION = 1

export interface PastConfig {
  readonly hash: string
  /** When it came into force, wall-clock ms. */
  readonly at: number
  readonly by: string
  /** The main file first. */
  readonly texts: readonly SourceText[]
}

export class History {
  readonly #path: string | null
  readonly #log: Logger
  /** The latest first; the first is in force. */
  #entries: readonly PastConfig[] = []

  /** @param path null: they are kept in memory alone */
  constructor(path: string | null, log: Logger) {
    this.#path = path
    this.#log = log
  }

  get entries(): readonly PastConfig[] {
    return this.#entries
  }

  /** What earlier runs left, and what this one begins with. */
  async begin(first: PastConfig): Promise<void> {
    const text = this.#path === null ? null : await readState(this.#path, this.#log)
    this.#entries = text === null ? [] : decode(text)
    if (this.#entries[0]?.hash === first.hash) this.#entries = this.#entries.slice(1)
    await this.add(first)
  }

  /** It is in force from now on. */
  async add(entry: PastConfig): Promise<void> {
    this.#entries = [entry, ...this.#entries].slice(0, KEPT)
    if (this.#path === null) return
    try {
      await replaceFile(this.#path, JSON.stringify({ version: VERSION, entries: this.#entries }), OWNER_ONLY)
    } catch (error) {
      const why = codeOf(error) || messageOf(error)
      this.#log.warn(`${this.#path} can't be written: ${why}; a restart forgets this configuration for rollbacks`)
    }
  }
}

/** What can be read of it; nothing, where it is no file of ours. */
function decode(text: string): PastConfig[] {
  try {
    const { version, entries } = JSON.parse(text) as { version: unknown; entries: unknown }
    return version === VERSION && Array.isArray(entries) ? entries.filter(isEntry).slice(0, KEPT) : []
  } catch {
    return []
  }
}

function isEntry(value: unknown): value is PastConfig {
  if (typeof value !== 'object' || value === null) return false
  const { hash, at, by, texts } = value as Partial<Record<keyof PastConfig, unknown>>
  const whole = typeof hash === 'string' && typeof at === 'number' && typeof by === 'string'
  return whole && Array.isArray(texts) && texts.length > 0 && texts.every(isText)
}

const isText = (value: unknown): value is SourceText =>
  typeof value === 'object' &&
  value !== null &&
  ['path', 'text', 'shown'].every((key) => typeof Reflect.get(value, key) === 'string')
