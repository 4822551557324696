/** What `top` shows: how fast things go, from two looks at the counters. Pure: looks in, lines out. */
import type { BackendView, ServiceView, StatusView } from '../admin/index.ts'
import { compact } from './durations.ts'
import { progress } from './follow.ts'
import type { Paint } from './paint.ts'
import { backendStyle, overloadText, standingLines } from './states.ts'
import { type Cell, type Column, cut, renderTable } from './table.ts'

/** All that the balancer tells at one moment. */
export interface Look {
  /** ms; only differences mean anything. */
  readonly at: number
  readonly status: StatusView
  readonly services: readonly ServiceView[]
}

const SERVICE_COLUMNS: readonly Column[] = [
  { title: 'SERVICE', shrinksTo: 8 },
  { title: 'PROTO' },
  { title: 'UP', align: 'right' },
  { title: 'CONNS', align: 'right' },
  { title: 'QUEUE', align: 'right' },
  { title: 'REQ/S', align: 'right' },
  { title: 'ERR/S', align: 'right' },
  { title: 'IN/S', align: 'right' },
  { title: 'OUT/S', align: 'right' },
  { title: 'P50', align: 'right' },
  { title: 'P99', align: 'right' },
]

const BACKEND_COLUMNS: readonly Column[] = [
  { title: 'BACKEND', shrinksTo: 10 },
  { title: 'STATE' },
  { title: 'SINCE', align: 'right' },
  { title: 'ACTIVE', align: 'right' },
  { title: 'REQ/S', align: 'right' },
  { title: '5XX/S', align: 'right' },
  { title: 'WEIGHT', align: 'right' },
  { title: 'WHY', shrinksTo: 8 },
]

/** @param width of the terminal; Infinity: nothing is cut */
export function topLines(before: Look, now: Look, width: number, paint: Paint): string[] {
  const { status, services } = now
  const seconds = Math.max(0.001, (now.at - before.at) / 1000)
  const earlier = new Map(before.services.map((service) => [service.name, service]))
  const head = `evenkeel ${status.version}  up ${compact(status.uptimeMs)}  ${status.threads.length} threads  ${status.services.length} services`
  return [
    paint('bold', cut(head, width)),
    ...(status.overload.length === 0 ? [] : [paint('red', cut(overloadText(status.overload), width))]),
    ...standingLines(status.operated, services, width, paint),
    ...drainLines(services, width, paint),
    '',
    ...renderTable(
      SERVICE_COLUMNS,
      services.map((service) => serviceRow(service, earlier.get(service.name), seconds, status.bounds)),
      width,
      paint,
    ),
    '',
    ...renderTable(
      BACKEND_COLUMNS,
      services.flatMap((service) => backendRows(service, earlier.get(service.name), seconds)),
      width,
      paint,
    ),
  ]
}

/** The drains of backends; those of services stand with their standing. */
function drainLines(services: readonly ServiceView[], width: number, paint: Paint): string[] {
  return services.flatMap(({ name, backends }) =>
    backends
      .filter(({ operated }) => operated.drain !== null)
      .map((backend) => paint('yellow', cut(`${name}/${backend.name}: ${progress(backend.operated)}`, width))),
  )
}

function serviceRow(
  now: ServiceView,
  before: ServiceView | undefined,
  seconds: number,
  bounds: readonly number[],
): Cell[] {
  const was = before?.totals ?? now.totals
  const { totals } = now
  const up = now.backends.filter(({ state }) => state === 'up').length
  const errors = rate(totals.errors, was.errors, seconds)
  const durations = totals.durations.map((n, i) => Math.max(0, n - (was.durations[i] ?? 0)))
  return [
    { text: now.name },
    { text: now.protocol },
    { text: `${up}/${now.backends.length}`, ...(up === 0 ? { style: 'red' } : {}) },
    { text: String(now.active) },
    { text: String(now.queued) },
    { text: perSecond(rate(sum(totals.requests), sum(was.requests), seconds)) },
    { text: perSecond(errors), ...(errors > 0 ? { style: 'red' } : {}) },
    { text: bytes(rate(totals.bytesIn, was.bytesIn, seconds)) },
    { text: bytes(rate(totals.bytesOut, was.bytesOut, seconds)) },
    { text: quantile(durations, bounds, 0.5) },
    { text: quantile(durations, bounds, 0.99) },
  ]
}

function backendRows({ name, backends }: ServiceView, before: ServiceView | undefined, seconds: number): Cell[][] {
  const earlier = new Map((before?.backends ?? []).map((backend) => [backend.name, backend]))
  return backends.map((backend) => {
    const now = backend.totals.requests
    const was = earlier.get(backend.name)?.totals.requests ?? now
    const failed = rate(now['5xx'], was['5xx'], seconds)
    return [
      { text: `${name}/${backend.name}` },
      { text: backend.state, style: backendStyle(backend.state) },
      { text: compact(backend.sinceMs) },
      { text: String(backend.active) },
      { text: perSecond(rate(sum(now), sum(was), seconds)) },
      { text: perSecond(failed), ...(failed > 0 ? { style: 'red' as const } : {}) },
      { text: weightOf(backend) },
      { text: backend.why },
    ]
  })
}

const weightOf = ({ weight, effectiveWeight }: BackendView): string =>
  weight === effectiveWeight ? String(weight) : `${effectiveWeight}/${weight}`

const sum = (counts: BackendView['totals']['requests']): number =>
  Object.values(counts).reduce((n, more) => n + more, 0)

/** Counters begin anew with a restart: then what is there is what came since. */
const rate = (now: number, before: number, seconds: number): number => (now >= before ? now - before : now) / seconds

/** `0`, `0.4`, `35`, `12.3k` */
export function perSecond(n: number): string {
  if (n === 0) return '0'
  if (n < 10) return n.toFixed(1)
  return n < 10_000 ? n.toFixed(0) : `${(n / 1000).toFixed(1)}k`
}

const UNITS = ['', 'K', 'M', 'G', 'T'] as const

/** `0`, `812`, `1.4K`, `120M`: by 1024 */
export function bytes(n: number): string {
  let value = n
  let unit = 0
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : value.toFixed(0)}${UNITS[unit]}`
}

/** The upper bound of the bucket that holds the quantile: `<5ms`, `>60s`; `-` without a request. */
export function quantile(counts: readonly number[], bounds: readonly number[], q: number): string {
  const total = counts.reduce((n, more) => n + more, 0)
  if (total === 0) return '-'
  let seen = 0
  for (const [i, n] of counts.entries()) {
    seen += n
    const bound = bounds[i]
    if (seen < total * q || bound === undefined) continue
    return bound < 1 ? `<${Number((bound * 1000).toFixed(1))}ms` : `<${bound}s`
  }
  return `>${bounds.at(-1)}s`
}
