/** What the admin API tells of services and backends, as plain objects. Times are ISO text, durations milliseconds. */
import { BACKEND, type Board, BUCKETS, CODE_CLASSES, type Overload, REASONS, SERVICE } from '../board/index.ts'
import { formatAddress } from '../core/index.ts'
import type { BackendState, Cause, Facts } from '../pool/index.ts'
import type { ProbeReason, ProbeRecord } from '../probes/index.ts'
import type {
  AcmeStatus,
  BackendTracker,
  Control,
  DepartureStatus,
  DrainEnd,
  LastOrder,
  Manager,
  OperationChange,
  Operations,
  ReloadOutcome,
  Reloads,
  RunningService,
  StateChange,
  Subject,
  ThreadStatus,
} from '../service/index.ts'
import { firstLine } from '../service/index.ts'
import type { StoredCertificate } from '../tls/index.ts'
import type { Succession } from './upgrade.ts'

export interface ProbeResultView {
  readonly at: string
  readonly ok: boolean
  /** null for a pass. */
  readonly reason: ProbeReason | null
  readonly detail: string
  readonly durationMs: number
}

export interface AgentView {
  readonly type: 'http' | 'agent'
  /** What it wants of the backend. */
  readonly wish: Facts['agent']
  /** When it was last asked; null: not yet. */
  readonly at: string | null
  readonly ok: boolean
  /** Why the last answer told nothing; '': it did. */
  readonly detail: string
}

/** What operators have made of the appliance, a service or a backend. */
export interface OperationsView {
  readonly operations: Operations
  readonly control: Control
  readonly sentence: string
  /** What stands above it and keeps flows from it; '': nothing. */
  readonly overruled: string
  /** Flows under way. */
  readonly flows: number
  readonly drain: {
    readonly id: number
    readonly startedAt: string
    readonly deadline: string
    readonly leftMs: number
    /** Flows when it began. */
    readonly initial: number
    readonly oldestMs: number | null
    /** At the present pace, at the latest the deadline. */
    readonly estimatedEnd: string
  } | null
  /** How the last drain since the start ended. */
  readonly lastDrain: (Omit<DrainEnd, 'at'> & { readonly at: string }) | null
  /** Who changed it last. */
  readonly last: (Omit<LastOrder, 'at'> & { readonly at: string }) | null
}

export interface BackendView {
  readonly name: string
  readonly address: string
  readonly state: BackendState
  readonly since: string
  readonly sinceMs: number
  readonly cause: Cause
  readonly why: string
  /** What the operator wants. */
  readonly admin: 'ready' | 'drain' | 'maintenance'
  /** What the probes see. */
  readonly health: 'unknown' | 'passing' | 'failing'
  readonly operated: OperationsView
  /** As configured, or as an operator has set it. */
  readonly weight: number
  /** What counts at present: less during a slow start. */
  readonly effectiveWeight: number
  /** What it reported of itself, 0 (idle) to 100, smoothed; null: nothing, or nothing of late. */
  readonly load: number | null
  /** Its load agent; null: it has none. */
  readonly agent: AgentView | null
  /** Name of its pool; '': the service's own. */
  readonly pool: string
  readonly tier: 'primary' | 'backup' | 'sorry'
  /** The most flows at once; 0: no limit. */
  readonly maxConnections: number
  /** Flows and requests in progress. */
  readonly active: number
  /** When the flows that are left will be cut; null: it is not draining. */
  readonly drainDeadline: string | null
  readonly probe: {
    readonly type: string
    /** How many results in a row are like the last one. */
    readonly streak: number
    /** null while one runs. */
    readonly nextAt: string | null
    readonly last: ProbeResultView | null
    /** The last ten, the oldest first. */
    readonly results: readonly ProbeResultView[]
  }
  readonly totals: {
    /** By class of the answer; `none` counts flows of TCP and TLS. */
    readonly requests: Readonly<Record<(typeof CODE_CLASSES)[number], number>>
    readonly connectFailures: number
  }
}

export interface CertificateView {
  /** Of its file. */
  readonly name: string
  readonly names: readonly string[]
  readonly issuer: string
  /** `rsa`, `ec`, … */
  readonly keyType: string
  readonly fingerprint256: string
  readonly notAfter: string
  /** Whole days, rounded down; negative when it has expired. */
  readonly daysLeft: number
  /** Why its files, as they are now, are not in use: the one before is. null: they are. */
  readonly problem: string | null
  /** null: it is in files of yours. */
  readonly acme: AcmeView | null
}

/** A certificate that is ordered from an authority. */
export interface AcmeView {
  /** Host of the authority. */
  readonly directory: string
  /** Clients are shown one that nobody has signed. */
  readonly temporary: boolean
  readonly ordering: boolean
  /** When it is ordered again; null: now. */
  readonly nextAt: string | null
  /** Tries in a row that failed, and why the last one did. */
  readonly failures: number
  readonly error: string
}

export interface ServiceView {
  readonly name: string
  readonly protocol: string
  readonly balance: string
  readonly listen: readonly string[]
  /** Connections of clients. */
  readonly active: number
  readonly operated: OperationsView
  /** Flows that wait for a backend with room. */
  readonly queued: number
  readonly affinity: AffinityView
  readonly backends: readonly BackendView[]
  /** In the order of the configuration; empty: it does not end TLS. */
  readonly certificates: readonly CertificateView[]
  readonly totals: {
    /** By class of the answer; `none` counts flows of TCP and TLS. */
    readonly requests: Readonly<Record<(typeof CODE_CLASSES)[number], number>>
    readonly errors: number
    readonly bytesIn: number
    readonly bytesOut: number
    /** Durations of requests by upper bound, and of those above the last. */
    readonly durations: readonly number[]
  }
}

export interface AffinityView {
  /** By what clients of the service's own pool are known: `none`, `source-ip`, … */
  readonly type: string
  /** For those whom the type does not know; null: they are not kept. */
  readonly fallback: 'source-ip' | null
  readonly group: string | null
  /** Clients that are remembered; null: cookies are their own memory, or there is none. */
  readonly entries: number | null
}

/** A service in one line. */
export interface ServiceSummary {
  readonly name: string
  readonly protocol: string
  /** Backends that take new flows, of how many. */
  readonly up: number
  readonly operations: Operations
  readonly backends: number
  readonly active: number
}

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
  /** What an operator should look at. Empty: nothing. `service` '': the appliance. */
  readonly problems: readonly { readonly service: string; readonly message: string }[]
}

/** The data of an event `operations`. */
export type OperationEvent = OperationsView & { readonly target: string }

/** The data of an event `state`. */
export type StateEvent = Omit<StateChange, 'at'> & { readonly at: string }

const DAY_MS = 86_400_000
const WARN_DAYS = 14

const iso = (at: number): string => new Date(at).toISOString()
const isoOrNull = (at: number | null): string | null => (at === null ? null : iso(at))

export function operationsView(subject: Subject, overruled: string, now: number): OperationsView {
  const { standing, sentence, flows, drain, lastDrain, last } = subject
  return {
    ...standing,
    sentence: overruled === '' ? sentence : `${sentence}; ${overruled}`,
    overruled,
    flows,
    drain:
      drain === null
        ? null
        : {
            id: drain.id,
            startedAt: iso(drain.startedAt),
            deadline: iso(drain.deadline),
            leftMs: Math.max(0, drain.deadline - now),
            initial: drain.initial,
            oldestMs: drain.oldestMs,
            estimatedEnd: iso(drain.estimatedEnd),
          },
    lastDrain: lastDrain === null ? null : { ...lastDrain, at: iso(lastDrain.at) },
    last: last === null ? null : { ...last, at: iso(last.at) },
  }
}

export const operationEvent = ({ target, subject }: OperationChange): OperationEvent => ({
  target,
  ...operationsView(subject, '', Date.now()),
})

export function backendView(tracker: BackendTracker, manager: Manager, now: number): BackendView {
  const { board, operator } = manager
  const target = { service: tracker.service, backend: tracker.name }
  const subject = operator.find(target) as Subject
  const { probeType: type, effectiveWeight, load, pool, tier, maxConnections } = tracker
  const { name, host, port, row, state, since, cause, why, weight, active, facts, streak } = tracker
  const results = tracker.lastResults.map(resultView)
  return {
    name,
    address: formatAddress(host, port),
    state,
    since: iso(since),
    sinceMs: Math.max(0, now - since),
    cause,
    why,
    admin: facts.admin,
    health: facts.health,
    operated: operationsView(subject, operator.overruled(target), now),
    weight,
    effectiveWeight,
    load: load === null ? null : Math.round(load * 10) / 10,
    agent: agentView(tracker),
    pool,
    tier,
    maxConnections,
    active,
    drainDeadline: isoOrNull(tracker.drainDeadline),
    probe: { type, streak, nextAt: isoOrNull(tracker.nextProbeAt), last: results.at(-1) ?? null, results },
    totals: {
      requests: byClass((i) => board.sum('backend', row, BACKEND.at.requests + i)),
      connectFailures: board.sum('backend', row, BACKEND.at.connectFailures),
    },
  }
}

function agentView({ agent, facts }: BackendTracker): AgentView | null {
  if (agent === null) return null
  const { type, last } = agent
  return { type, wish: facts.agent, at: isoOrNull(last?.at ?? null), ok: last?.ok ?? false, detail: last?.detail ?? '' }
}

const byClass = (count: (i: number) => number): BackendView['totals']['requests'] =>
  Object.fromEntries(CODE_CLASSES.map((word, i) => [word, count(i)])) as BackendView['totals']['requests']

const resultView = ({ at, ok, reason, detail, durationMs }: ProbeRecord): ProbeResultView => ({
  at: iso(at),
  ok,
  reason,
  detail,
  durationMs: Math.round(durationMs * 1000) / 1000,
})

export function serviceView(service: RunningService, manager: Manager, now: number): ServiceView {
  const { name, config, view, trackers } = service
  const { board, operator } = manager
  const target = { service: name }
  return {
    name,
    protocol: config.protocol,
    balance: config.balance,
    listen: view.listeners.map(({ host, port }) => formatAddress(host, port)),
    active: board.active('service', view.row),
    queued: view.pools.reduce((sum, { row }) => sum + board.active('pool', row), 0),
    affinity: affinityView(service, manager),
    operated: operationsView(operator.find(target) as Subject, operator.overruled(target), now),
    backends: trackers.map((tracker) => backendView(tracker, manager, now)),
    certificates: (service.certificates?.certificates ?? []).map((each) => certificateView(each, manager, now)),
    totals: serviceTotals(board, view.row),
  }
}

function serviceTotals(board: Board, row: number): ServiceView['totals'] {
  const sum = (column: number): number => board.sum('service', row, column)
  const { requests, errors, bytesIn, bytesOut, duration } = SERVICE.at
  return {
    requests: byClass((i) => sum(requests + i)),
    errors: REASONS.reduce((n, _reason, i) => n + sum(errors + i), 0),
    bytesIn: sum(bytesIn),
    bytesOut: sum(bytesOut),
    durations: Array.from({ length: BUCKETS.length + 1 }, (_, i) => sum(duration + i)),
  }
}

function affinityView(service: RunningService, manager: Manager): AffinityView {
  const { type, fallback, group } = service.config.affinity
  return {
    type,
    fallback: fallback === 'none' ? null : fallback,
    group: group ?? null,
    entries: manager.affinityEntriesOf(service),
  }
}

function certificateView(
  { name, file, credentials, problem }: StoredCertificate,
  manager: Manager,
  now: number,
): CertificateView {
  const { names, issuer, keyType, fingerprint256, notAfter } = credentials
  const daysLeft = Math.floor((notAfter - now) / DAY_MS)
  const acme = acmeView(manager.security.orders.statusOf(file), now)
  return { name, names, issuer, keyType, fingerprint256, notAfter: iso(notAfter), daysLeft, problem, acme }
}

function acmeView(status: AcmeStatus | null, now: number): AcmeView | null {
  if (status === null) return null
  const { nextAt, ordering, ...rest } = status
  return { ...rest, ordering, nextAt: ordering || nextAt <= now ? null : iso(nextAt) }
}

export const upOf = ({ trackers }: RunningService): number => trackers.filter(({ state }) => state === 'up').length

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
    services: services.map((service) => ({
      name: service.name,
      protocol: service.config.protocol,
      up: upOf(service),
      operations: manager.operator.services.get(service.name)?.standing.operations ?? 'started',
      backends: service.trackers.length,
      active: manager.board.active('service', service.view.row),
    })),
    problems: [
      ...reloadProblems(reloads),
      ...upgradeProblems(succession),
      ...ownProblems(manager).map((message) => ({ service: '', message })),
      ...services.flatMap((service) =>
        problemsOf(service, manager, now).map((message) => ({ service: service.name, message })),
      ),
    ],
  }
}

function configView({ inForce, last }: Reloads): StatusView['config'] {
  const { hash, at, by } = inForce
  const tried = last === null ? null : { at: iso(last.at), by: last.by, result: last.result, sentence: last.sentence }
  return { hash, at: iso(at), by, last: tried }
}

function predecessorView({ before }: Succession): StatusView['predecessor'] {
  return before === null ? null : { ...before, deadline: iso(before.deadline) }
}

const upgradeProblems = ({ last }: Succession): StatusView['problems'] =>
  last === null ? [] : [{ service: '', message: `the upgrade at ${iso(last.at)} failed: ${last.sentence}` }]

/** The files are not what is in force. */
const reloadProblems = ({ last }: Reloads): StatusView['problems'] =>
  last === null || last.result === 'applied' || last.result === 'refused'
    ? []
    : [{ service: '', message: `the last reload failed: ${last.sentence}` }]

/** What is wrong with the appliance itself. */
function ownProblems(manager: Manager): string[] {
  const { last, count } = manager.mishaps
  const problems: string[] = []
  for (const { thread, state, row, why } of manager.threads?.status() ?? []) {
    if (state === 'ending') problems.push(`data thread ${thread} is being ended: ${firstLine(why)}`)
    else if (state !== 'running' && why !== '')
      problems.push(`data thread ${thread} does not serve (${row} deaths in a row): ${firstLine(why)}`)
  }
  if (last !== null)
    problems.push(`${count} unexpected errors in the control thread, the last at ${iso(last.at)}: ${last.message}`)
  return problems
}

function problemsOf(service: RunningService, manager: Manager, now: number): string[] {
  const problems: string[] = []
  const { trackers, certificates } = service
  const failing = trackers.filter(({ facts }) => facts.admin === 'ready' && facts.health === 'failing')
  if (upOf(service) === 0) problems.push('no backend is up')
  else if (failing.length > 0) problems.push(`${failing.map(({ name }) => name).join(', ')} fail their probes`)
  for (const { name, file, credentials, problem } of certificates?.certificates ?? []) {
    const { notAfter, names } = credentials
    const acme = manager.security.orders.statusOf(file)
    const why = acme === null || acme.error === '' ? '' : `: ${acme.error}`
    if (acme?.temporary === true) problems.push(`the certificate for ${names.join(', ')} is a temporary one${why}`)
    else if (why !== '') problems.push(`the certificate for ${names.join(', ')} can't be renewed${why}`)
    const days = Math.floor((notAfter - now) / DAY_MS)
    if (notAfter <= now) problems.push(`the certificate ${name} expired at ${iso(notAfter)}`)
    else if (days < WARN_DAYS && acme === null) problems.push(`the certificate ${name} expires at ${iso(notAfter)}`)
    if (problem !== null) problems.push(`the certificate ${name} was changed and can't be used: ${problem}`)
  }
  for (const [pool, { tls }] of service.view.pools.entries())
    if (tls !== null && !tls.verified)
      problems.push(
        `backends${pool === 0 ? '' : ` of pool ${service.view.pools[pool]?.name}`} are not verified (backendTls.insecureSkipVerify)`,
      )
  return problems
}

export const stateEvent = ({ at, ...change }: StateChange): StateEvent => ({ ...change, at: iso(at) })
