/** What the API tells of a backend. */
import { BACKEND, CODE_CLASSES } from '../board/index.ts'
import { formatAddress } from '../core/index.ts'
import type { BackendState, Cause, Facts } from '../pool/index.ts'
import type { ProbeReason, ProbeRecord } from '../probes/index.ts'
import type { BackendTracker, Manager, StateChange, Subject } from '../service/index.ts'
import { iso, isoOrNull } from './iso.ts'
import { type OperationsView, operationsView } from './operations-view.ts'

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

/** The data of an event `state`. */
export type StateEvent = Omit<StateChange, 'at'> & { readonly at: string }

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

/** Answers counted by their class. */
export const byClass = (count: (i: number) => number): BackendView['totals']['requests'] =>
  Object.fromEntries(CODE_CLASSES.map((word, i) => [word, count(i)])) as BackendView['totals']['requests']

const resultView = ({ at, ok, reason, detail, durationMs }: ProbeRecord): ProbeResultView => ({
  at: iso(at),
  ok,
  reason,
  detail,
  durationMs: Math.round(durationMs * 1000) / 1000,
})

export const stateEvent = ({ at, ...change }: StateChange): StateEvent => ({ ...change, at: iso(at) })
