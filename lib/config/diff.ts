/** What another configuration changes: by service, and by backend. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { copy } from './redact.ts'
import type { BackendConfig, Config, ServiceConfig } from './schema.ts'

/** How the services of one configuration become those of another. */
export interface ServiceDiff {
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}

export function diffServices(before: Config, after: Config): ServiceDiff {
  const [old, now] = [before.virtualServices, after.virtualServices]
  const names = Object.keys(now)
  return {
    added: names.filter((name) => !Object.hasOwn(old, name)),
    changed: names.filter((name) => {
      // One that was not read anew is the same object.
      return Object.hasOwn(old, name) && old[name] !== now[name] && !isDeepStrictEqual(old[name], now[name])
    }),
    removed: Object.keys(old).filter((name) => !Object.hasOwn(now, name)),
  }
}

/** Sentences that say which options a running process can't change. Empty: it can change all that differs. */
export function needsRestart(before: Config, after: Config): string[] {
  const rows: readonly (readonly [name: string, before: unknown, after: unknown])[] = [
    ['appliance.threads', before.appliance.threads, after.appliance.threads],
    ['appliance.stateFile', before.appliance.stateFile, after.appliance.stateFile],
    ['appliance.affinity', before.appliance.affinity, after.appliance.affinity],
    ['appliance.user', before.appliance.user, after.appliance.user],
    ['appliance.group', before.appliance.group, after.appliance.group],
    ['appliance.threadHeap', before.appliance.threadHeap, after.appliance.threadHeap],
    ['appliance.tickets', before.appliance.tickets, after.appliance.tickets],
    ['admin.listen', before.admin.listen, after.admin.listen],
    ['accessLog', before.accessLog, after.accessLog],
  ]
  return rows
    .filter(([, old, now]) => !isDeepStrictEqual(old, now))
    .map(([name]) => `${name} can't change while the process runs: restart it, or leave the option as it was`)
}

/** One option that differs, by its path: `timeouts.connect`. undefined: it is not set. Secrets are not shown. */
export interface Difference {
  readonly path: string
  readonly before: unknown
  readonly after: unknown
}

const LEAVES = 64 // more help nobody to see what a reload does

/** Options of two values that differ; lists are compared as a whole. At most 64. */
export function differences(before: unknown, after: unknown, path = ''): Difference[] {
  if (isDeepStrictEqual(before, after)) return []
  const key = path.slice(path.lastIndexOf('.') + 1)
  if (!isTable(before) || !isTable(after)) return [{ path, before: copy(before, key), after: copy(after, key) }]
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...keys]
    .flatMap((name) => differences(before[name], after[name], path === '' ? name : `${path}.${name}`))
    .slice(0, LEAVES)
}

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The options of a service, of its pools and of its backends, apart. Pools go by name, '' is the service's own. */
export interface ServiceParts {
  readonly options: Readonly<Record<string, unknown>>
  /** By name. */
  readonly backends: ReadonlyMap<string, BackendConfig>
}

export function partsOf(service: ServiceConfig): ServiceParts {
  const { backends: own, pools, ...options } = service
  const backends = new Map(own.map((backend) => [backend.name, backend]))
  const rest: Record<string, unknown> = {}
  for (const [name, { backends: others, ...pool }] of Object.entries(pools)) {
    rest[name] = pool
    for (const backend of others) backends.set(backend.name, backend)
  }
  return { options: { ...options, pools: rest }, backends }
}
