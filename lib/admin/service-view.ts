/** What the API tells of a service. */
import { type Board, BUCKETS, type CODE_CLASSES, REASONS, SERVICE } from '../board/index.ts'
import { formatAddress } from '../core/index.ts'
import type { Manager, Operations, RunningService, Subject } from '../service/index.ts'
import { type BackendView, backendView, byClass } from './backend-view.ts'
import { type CertificateView, certificateView } from './certificate-view.ts'
import { type OperationsView, operationsView } from './operations-view.ts'

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

/** A service in one line. */
export const serviceSummary = (service: RunningService, manager: Manager): ServiceSummary => ({
  name: service.name,
  protocol: service.config.protocol,
  up: upOf(service),
  operations: manager.operator.services.get(service.name)?.standing.operations ?? 'started',
  backends: service.trackers.length,
  active: manager.board.active('service', service.view.row),
})

/** How many of its backends take new flows. */
export const upOf = ({ trackers }: RunningService): number => trackers.filter(({ state }) => state === 'up').length
