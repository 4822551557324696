/** What the state file holds: how it is written, and what of it still holds under the present configuration. Pure. */
import { formatAddress } from '../core/index.ts'
import { CONTROLS, OPERATIONS, VERBS } from './operations.ts'
import type { LastOrder, SavedStanding } from './subject.ts'

export const STATE_VERSION = 1
const HEALTH_MS = 600_000 // older than that it says nothing of today

/** An ejection that goes on, and how many there were of late. */
export interface SavedEjection {
  readonly count: number
  /** ms since the epoch. */
  readonly until: number
}

export interface SavedBackend {
  /** What its configuration said when an operator changed it; see `entryOf`. */
  readonly config: string
  readonly standing?: SavedStanding
  readonly weight?: number
  readonly ejection?: SavedEjection
  readonly health?: 'passing' | 'failing'
  /** What was probed. */
  readonly probed?: string
}

export interface Snapshot {
  /** ms since the epoch. */
  readonly at: number
  readonly appliance?: SavedStanding
  readonly services: Readonly<Record<string, SavedStanding>>
  /** By `service/backend`. */
  readonly backends: Readonly<Record<string, SavedBackend>>
}

/** What the present configuration says of a backend. */
export interface Entry {
  readonly config: string
  readonly probed: string
}

/** What is taken over from the run before. */
export interface Recalled {
  readonly appliance: SavedStanding | null
  readonly services: ReadonlyMap<string, SavedStanding>
  readonly backends: ReadonlyMap<string, SavedBackend>
  /** What was not, and why. */
  readonly dropped: readonly string[]
}

export const NOTHING: Recalled = { appliance: null, services: new Map(), backends: new Map(), dropped: [] }

/** What an operator's change stands against: as long as it reads the same, the change holds. */
export const entryOf = ({ admin, weight }: { admin: string; weight: number }): string =>
  `admin ${admin}, weight ${weight}`

/** What a health was found of: as long as it reads the same, the health holds. */
export const probedOf = (
  { host, port }: { host: string; port: number },
  health: { type: string; port?: number | undefined; path: string },
): string => [health.type, formatAddress(host, health.port ?? port), health.path].join(' ')

export const encode = (snapshot: Snapshot): string =>
  `${JSON.stringify({ version: STATE_VERSION, ...snapshot }, null, 1)}\n`

/** @throws Error with a sentence, when it is no state file of ours */
export function decode(text: string): Snapshot {
  const value = recordOf(parse(text))
  if (value === null) throw new Error('it is not whole')
  if (value['version'] !== STATE_VERSION)
    throw new Error(`its version is ${String(value['version'])}, not ${STATE_VERSION}`)
  const { at } = value
  if (typeof at !== 'number') throw new Error('it is not whole')
  const appliance = standingOf(value['appliance'])
  return {
    at,
    ...(appliance === null ? {} : { appliance }),
    services: table(value['services'], standingOf),
    backends: table(value['backends'], backendOf),
  }
}

/** The configuration wins where it has changed; what is no longer in it is forgotten. */
export function recall(
  { at, appliance, services, backends }: Snapshot,
  present: { services: ReadonlySet<string>; backends: ReadonlyMap<string, Entry> },
  now: number,
): Recalled {
  const dropped: string[] = []
  const keptServices = new Map<string, SavedStanding>()
  for (const [name, standing] of Object.entries(services)) {
    if (present.services.has(name)) keptServices.set(name, standing)
    else dropped.push(`service ${name} is no longer configured`)
  }
  const fresh = now - at <= HEALTH_MS && now >= at
  const keptBackends = new Map<string, SavedBackend>()
  for (const [key, saved] of Object.entries(backends)) {
    const entry = present.backends.get(key)
    const { config, standing, weight, ejection, health, probed } = saved
    const operated = standing !== undefined || weight !== undefined
    if (entry === undefined) {
      if (operated) dropped.push(`backend ${key} is no longer configured`)
      continue
    }
    const holds = config === entry.config
    if (operated && !holds)
      dropped.push(`backend ${key}: the configuration says ${entry.config} now, it said ${config}`)
    keptBackends.set(key, {
      config: entry.config,
      ...(holds && standing !== undefined ? { standing } : {}),
      ...(holds && weight !== undefined ? { weight } : {}),
      ...(ejection !== undefined && probed === entry.probed ? { ejection } : {}),
      ...(fresh && health !== undefined && probed === entry.probed ? { health, probed } : {}),
    })
  }
  return { appliance: appliance ?? null, services: keptServices, backends: keptBackends, dropped }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const recordOf = (value: unknown): Record<string, unknown> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null

/** The rows that can be read; one that can't takes no other with it. */
function table<T>(value: unknown, rowOf: (row: unknown) => T | null): Record<string, T> {
  const rows = Object.entries(recordOf(value) ?? {}).map(([key, row]) => [key, rowOf(row)] as const)
  return Object.fromEntries(rows.filter((row): row is [string, T] => row[1] !== null))
}

const wordOf = <Word extends string>(value: unknown, words: readonly Word[]): Word | null =>
  words.find((word) => word === value) ?? null

function standingOf(value: unknown): SavedStanding | null {
  const row = recordOf(value)
  const operations = wordOf(row?.['operations'], OPERATIONS)
  const control = wordOf(row?.['control'], CONTROLS)
  if (row === null || operations === null || control === null) return null
  if (control === 'suspended' && operations !== 'stopped') return null
  const { deadline } = row
  return { operations, control, deadline: typeof deadline === 'number' ? deadline : null, last: orderOf(row['last']) }
}

function orderOf(value: unknown): LastOrder | null {
  const row = recordOf(value)
  const verb = wordOf(row?.['verb'], [...VERBS, 'weight'])
  const { by, reason, at } = row ?? {}
  if (verb === null || typeof by !== 'string' || typeof reason !== 'string' || typeof at !== 'number') return null
  return { verb, by, reason, at }
}

function backendOf(value: unknown): SavedBackend | null {
  const row = recordOf(value)
  const { config, weight, probed } = row ?? {}
  if (row === null || typeof config !== 'string') return null
  const standing = standingOf(row['standing'])
  const ejection = ejectionOf(row['ejection'])
  const health = wordOf(row['health'], ['passing', 'failing'])
  return {
    config,
    ...(standing === null ? {} : { standing }),
    ...(Number.isInteger(weight) && Number(weight) >= 0 && Number(weight) <= 256 ? { weight: Number(weight) } : {}),
    ...(ejection === null ? {} : { ejection }),
    ...(health === null ? {} : { health }),
    ...(typeof probed === 'string' ? { probed } : {}),
  }
}

function ejectionOf(value: unknown): SavedEjection | null {
  const { count, until } = recordOf(value) ?? {}
  return typeof count === 'number' && typeof until === 'number' ? { count, until } : null
}
