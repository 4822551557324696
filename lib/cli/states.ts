/** Services and backends as `query` shows them. Pure: views in, lines out. */
import type { BackendView, OperationsView, ProbeResultView, ServiceView, StatusView } from '../admin/index.ts'
import { ago, compact, precise } from './durations.ts'
import type { Paint, Style } from './paint.ts'
import { type Cell, type Column, cut, renderTable } from './table.ts'

/** Renders one answer for a terminal of that width. */
export type Screen = (width: number, paint: Paint) => string[]

const STYLES: Readonly<Record<BackendView['state'], Style>> = {
  up: 'green',
  draining: 'yellow',
  down: 'red',
  unknown: 'dim',
  maintenance: 'blue',
}

export const backendStyle = (state: BackendView['state']): Style => STYLES[state]

const COLUMNS: readonly Column[] = [
  { title: 'SERVICE' },
  { title: 'BACKEND' },
  { title: 'ADDRESS', optional: true },
  { title: 'STATE' },
  { title: 'SINCE', align: 'right' },
  { title: 'WHY', shrinksTo: 8 },
  { title: 'ACTIVE', align: 'right' },
  { title: 'WEIGHT', align: 'right' },
  { title: 'LAST PROBE' },
]
const LOAD: Column = { title: 'LOAD', align: 'right' }

/** The balancer's clock when it answered: ours may be another. */
const askedAt = ({ since, sinceMs }: BackendView): number => Date.parse(since) + sinceMs

/** What an operator must know before the rest; nothing when all is well. */
export const overloadLine = (overload: StatusView['overload'], paint: Paint): string[] =>
  overload.length === 0 ? [] : [paint('red', overloadText(overload)), '']

export const overloadText = (overload: StatusView['overload']): string =>
  `new connections are refused: ${overload.map((what) => (what === 'delay' ? 'time' : what)).join(' and ')} run short`

/** What is wrong with the appliance itself. */
export function problemLines(problems: StatusView['problems'], paint: Paint): string[] {
  const own = problems.filter(({ service }) => service === '').map(({ message }) => paint('red', message))
  return own.length === 0 ? [] : [...own, '']
}

/** The process that was here before this one, as long as it has connections. */
export function predecessorLines(before: StatusView['predecessor'], paint: Paint): string[] {
  if (before === null) return []
  const { pid, flows, deadline } = before
  const until = new Date(deadline).toTimeString().slice(0, 8)
  return [
    paint(
      'yellow',
      `process ${pid}, in whose place this one is, has ${flows} connections left, at most until ${until}`,
    ),
    '',
  ]
}

export function servicesTable(services: readonly ServiceView[], width: number, paint: Paint): string[] {
  const loads = services.some(({ backends }) => backends.some(({ load }) => load !== null))
  const rows = services.flatMap((service) => service.backends.map((backend) => row(service.name, backend, loads)))
  const columns = loads ? [...COLUMNS.slice(0, -1), LOAD, ...COLUMNS.slice(-1)] : COLUMNS
  return rows.length === 0 ? ['no services'] : renderTable(columns, rows, width, paint)
}

function row(service: string, backend: BackendView, loads: boolean): Cell[] {
  return [
    { text: service },
    { text: backend.name },
    { text: backend.address },
    { text: backend.state, style: STYLES[backend.state] },
    { text: compact(backend.sinceMs) },
    { text: backend.why },
    { text: String(backend.active) },
    { text: String(backend.effectiveWeight) },
    ...(loads ? [{ text: loadText(backend) }] : []),
    lastProbe(backend),
  ]
}

const loadText = ({ load }: BackendView): string => (load === null ? '-' : `${Math.round(load)}%`)

/** `0.75 of 1`: what it counts now, of what is configured. */
const weightText = ({ weight, effectiveWeight }: BackendView): string =>
  effectiveWeight === weight ? String(weight) : `${effectiveWeight} of ${weight}`

function lastProbe(backend: BackendView): Cell {
  const { last } = backend.probe
  if (last === null) return { text: '-', style: 'dim' }
  const text = `${last.ok ? 'ok' : last.reason} ${precise(last.durationMs)}, ${ago(askedAt(backend) - Date.parse(last.at))}`
  return last.ok ? { text } : { text, style: 'red' }
}

/** What operators have made of the appliance, and of the services that are not simply started. */
export function standingLines(
  appliance: OperationsView,
  services: readonly ServiceView[],
  width: number,
  paint: Paint,
): string[] {
  const rows = [
    ['the appliance', appliance] as const,
    ...services
      .filter(({ operated }) => operated.operations !== 'started')
      .map(({ name, operated }) => [name, operated] as const),
  ]
  return rows.map(([name, view]) => operationsLine(name, view, width, paint))
}

/** `shop: draining, 12 flows left, …` */
export function operationsLine(name: string, view: OperationsView, width: number, paint: Paint): string {
  const line = cut(`${name}: ${view.sentence}`, width)
  if (view.operations === 'started') return line
  return paint(view.operations === 'draining' ? 'yellow' : 'blue', line)
}

/** Who changed it last, and why. */
function lastChange({ last }: OperationsView): string | null {
  return last === null
    ? null
    : `${last.verb} by ${last.by} at ${last.at}${last.reason === '' ? '' : `: ${last.reason}`}`
}

/** Where a service listens, and its certificate, above its table. */
export function serviceHead(service: ServiceView, width: number, paint: Paint): string[] {
  const { name, protocol, balance, listen, active, certificates, affinity, operated } = service
  const change = lastChange(operated)
  const lines = [
    `${name}  ${protocol}  ${balance}  on ${listen.join(', ')}  ${active} connections`,
    ...(affinity.type === 'none' ? [] : [affinityLine(affinity)]),
    ...certificates.flatMap(certificateLines),
  ]
  return [
    ...lines.map((line, i) => (i === 0 ? paint('bold', cut(line, width)) : cut(line, width))),
    operationsLine(name, operated, width, paint),
    ...(change === null ? [] : [cut(change, width)]),
    '',
  ]
}

function certificateLines({ names, keyType, daysLeft, problem }: ServiceView['certificates'][number]): string[] {
  const line = `certificate for ${names.join(', ')} (${keyType}): ${validity(daysLeft)}`
  return problem === null ? [line] : [line, `  its files have changed and can't be used: ${problem}`]
}

function affinityLine({ type, fallback, group, entries }: ServiceView['affinity']): string {
  const parts = [`affinity by ${type}${fallback === null ? '' : `, else ${fallback}`}`]
  if (group !== null) parts.push(`group ${group}`)
  if (entries !== null) parts.push(`${entries} clients remembered`)
  return parts.join('  ')
}

const validity = (days: number): string => (days < 0 ? 'expired' : `${days} days left`)

/** Everything about one backend. */
export function backendDetails(service: string, backend: BackendView, width: number, paint: Paint): string[] {
  const { probe, totals } = backend
  const now = askedAt(backend)
  const counted = Object.entries(totals.requests).filter(([, n]) => n > 0)
  const facts: [string, string][] = [
    ['address', backend.address],
    ['since', `${backend.since}, for ${compact(backend.sinceMs)}`],
    ['cause', `${backend.cause}: ${backend.why}`],
    ['admin', backend.admin],
    ['operations', backend.operated.sentence],
    ['health', probe.streak > 0 ? `${backend.health}, ${probe.streak} results alike in a row` : backend.health],
    ['weight', weightText(backend)],
    ['active', String(backend.active)],
    ['requests', counted.map(([code, n]) => `${code} ${n}`).join(', ') || '0'],
    ['connects failed', String(totals.connectFailures)],
    [
      'probe',
      probe.nextAt === null
        ? probe.type
        : `${probe.type}, next in ${precise(Math.max(0, Date.parse(probe.nextAt) - now))}`,
    ],
  ]
  if (backend.load !== null) facts.push(['load', loadText(backend)])
  if (backend.agent !== null) facts.push(['agent', agentText(backend.agent, now)])
  const change = lastChange(backend.operated)
  if (change !== null) facts.push(['changed', change])
  if (backend.drainDeadline !== null)
    facts.push(['cut in', compact(Math.max(0, Date.parse(backend.drainDeadline) - now))])
  const size = Math.max(...facts.map(([name]) => name.length))
  const lines = facts.map(([name, value]) => `${paint('dim', name.padEnd(size))}  ${cut(value, width - size - 2)}`)
  const title = `${paint('bold', `${service}/${backend.name}`)}  ${paint(STYLES[backend.state], backend.state)}`
  if (probe.results.length === 0) return [title, ...lines]
  const results = probe.results.toReversed().map((result) => resultRow(result, now))
  const columns: Column[] = [{ title: 'PROBED' }, { title: 'RESULT' }, { title: 'TOOK', align: 'right' }]
  return [title, ...lines, '', ...renderTable([...columns, { title: 'DETAIL', shrinksTo: 8 }], results, width, paint)]
}

function agentText({ wish, at, ok, detail }: NonNullable<BackendView['agent']>, now: number): string {
  if (at === null) return 'not asked yet'
  const when = ago(now - Date.parse(at))
  return ok ? `${wish}, asked ${when}` : `${wish}; asked ${when}: ${detail}`
}

const resultRow = ({ at, ok, reason, durationMs, detail }: ProbeResultView, now: number): Cell[] => [
  { text: ago(now - Date.parse(at)) },
  ok ? { text: 'ok', style: 'green' } : { text: reason ?? 'failed', style: 'red' },
  { text: precise(durationMs) },
  { text: detail },
]
