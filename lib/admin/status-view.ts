/** What the API tells of the appliance. */
import { BUCKETS, type Overload } from '../board/index.ts'
import { migrationNote, movesQueued } from '../core/index.ts'
import type { DepartureStatus, Manager, ReloadOutcome, Reloads, ThreadStatus } from '../service/index.ts'
import { iso } from './iso.ts'
import { type OperationsView, operationsView } from './operations-view.ts'
import { type Problem, problemsOf } from './problems.ts'
import { type ServiceSummary, serviceSummary } from './service-view.ts'
import type { Succession } from './upgrade.ts'

export interface StatusView {
  readonly version: string
  readonly node: string
  readonly pid: number
  /** Absolute path of the configuration. */
  readonly file: string
  readonly startedAt: string
  readonly uptimeMs: number
  /** What is in force, and what came of the last reload; null: there was none. */
  readonly config: {
    readonly hash: string
    readonly at: string
    readonly by: string
    readonly last: {
      readonly at: string
      readonly by: string
      readonly result: ReloadOutcome['result']
      readonly sentence: string
    } | null
  }
  /** The process in whose place this one is, as long as it has connections; null: there is none. */
  readonly predecessor: { readonly pid: number; readonly flows: number; readonly deadline: string } | null
  /** Services, and backends of services, that are no longer configured and still have flows. */
  readonly departing: readonly (Omit<DepartureStatus, 'since' | 'deadline'> & {
    readonly since: string
    readonly deadline: string
  })[]
  /** It takes no new flows and ends with the last. */
  readonly draining: boolean
  /** What runs short, so that new connections are refused. Empty: nothing. */
  readonly overload: readonly Overload[]
  readonly operated: OperationsView
  /** Upper bounds of the durations in the totals of services, seconds. */
  readonly bounds: readonly number[]
  readonly threads: readonly (Omit<ThreadStatus, 'startedAt'> & { readonly startedAt: string })[]
  readonly services: readonly ServiceSummary[]
  /** What there is to know of the machine. Empty: nothing. */
  readonly notes: readonly string[]
  /** What an operator should look at. Empty: nothing. */
  readonly problems: readonly Problem[]
}

export interface StatusSource {
  readonly manager: Manager
  readonly reloads: Reloads
  readonly succession: Succession
  readonly file: string
  readonly version: string
}

export function statusView({ manager, reloads, succession, file, version }: StatusSource, now: number): StatusView {
  const services = [...manager.services.values()]
  return {
    version,
    node: process.versions.node,
    pid: process.pid,
    file,
    startedAt: iso(manager.startedAt),
    uptimeMs: Math.max(0, now - manager.startedAt),
    config: configView(reloads),
    predecessor: predecessorView(succession),
    departing: manager.departing().map((row) => ({ ...row, since: iso(row.since), deadline: iso(row.deadline) })),
    draining: manager.draining,
    overload: manager.overload,
    operated: operationsView(manager.operator.appliance, '', now),
    bounds: BUCKETS,
    threads: (manager.threads?.status() ?? []).map((row) => ({ ...row, startedAt: iso(row.startedAt) })),
    services: services.map((service) => serviceSummary(service, manager)),
    notes: notesOf(manager),
    problems: problemsOf({ manager, reloads, succession }, now),
  }
}

function notesOf({ board }: Manager): string[] {
  const note = board.threads > 1 ? migrationNote(movesQueued()) : null
  return note === null ? [] : [note]
}

function configView({ inForce, last }: Reloads): StatusView['config'] {
  const { hash, at, by } = inForce
  const tried = last === null ? null : { at: iso(last.at), by: last.by, result: last.result, sentence: last.sentence }
  return { hash, at: iso(at), by, last: tried }
}

function predecessorView({ before }: Succession): StatusView['predecessor'] {
  return before === null ? null : { ...before, deadline: iso(before.deadline) }
}
