/** Turns what was measured into the tables of a report. */
import type { Latencies, LatencyRow } from './latency.ts'
import type { Sample } from './measure.ts'
import { median, pairedDifference, pairedRatio, type Spread, spreadOf } from './stats.ts'

export interface Row {
  readonly balancer: string
  readonly samples: readonly Sample[]
}

export interface Skipped {
  readonly balancer: string
  readonly reason: string
}

export interface ScenarioReport {
  readonly name: string
  readonly about: string
  /** Requests per second without a balancer in between. */
  readonly ceiling: number
  readonly rows: readonly Row[]
  readonly skipped: readonly Skipped[]
}

export interface LatencyReport extends Latencies {
  readonly name: string
  readonly about: string
  readonly skipped: readonly Skipped[]
}

export interface MemoryRow {
  readonly balancer: string
  /** Bytes of resident memory for each connection, one figure a round. */
  readonly bytes: readonly number[]
}

export interface MemoryReport {
  readonly connections: number
  readonly held: 'http' | 'https'
  readonly rows: readonly MemoryRow[]
  readonly skipped: readonly Skipped[]
}

export interface Report {
  readonly taken: string
  readonly machine: string
  readonly versions: Readonly<Record<string, string>>
  readonly rounds: number
  readonly seconds: number
  readonly scenarios: readonly ScenarioReport[]
  readonly latency: readonly LatencyReport[]
  readonly memory: MemoryReport | undefined
}

/** The problems of a row, told with their rounds. */
export const problemsOfRow = (row: Row | LatencyRow): string[] =>
  row.samples.flatMap((sample, i) => sample.problems.map((problem) => `round ${i + 1}: ${problem}`))

const figures = (row: Row): (number | undefined)[] =>
  row.samples.map((sample) => (sample.problems.length > 0 ? undefined : sample.cpuMicros))

/** CPU time of the subject divided by that of another, round by round; undefined when no round of both is valid. */
export const ratioOf = (subject: Row, other: Row): Spread | undefined => pairedRatio(figures(subject), figures(other))

const cell = (spread: Spread, digits: number): string =>
  `${spread.median.toFixed(digits)} [${spread.low.toFixed(digits)}–${spread.high.toFixed(digits)}]`
const grouped = (n: number): string => Math.round(n).toLocaleString('en-US')
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
const skippedLines = (skipped: readonly Skipped[]): string[] =>
  skipped.map(({ balancer, reason }) => `${balancer} is left out: ${reason}.`)

function scenarioRow(row: Row, subject: Row | undefined): string[] {
  const problems = problemsOfRow(row)
  if (problems.length > 0) return [`**${row.balancer}: INVALID**`, problems.join('; '), '', '', '', '', '']
  const of = (pick: (sample: Sample) => number) => row.samples.map(pick)
  const ratio = subject === undefined || subject === row ? undefined : ratioOf(subject, row)
  return [
    row.balancer,
    cell(spreadOf(of((sample) => sample.cpuMicros)), 1),
    ratio === undefined ? '' : cell(ratio, 2),
    grouped(median(of((sample) => sample.requestsPerSecond))),
    median(of((sample) => sample.p50Ms)).toFixed(2),
    median(of((sample) => sample.p99Ms)).toFixed(2),
    `${Math.round(median(of((sample) => sample.busy)) * 100)} %`,
  ]
}

function scenarioSection(scenario: ScenarioReport, subject: string): string {
  const subjectRow = scenario.rows.find((row) => row.balancer === subject)
  const head = ['balancer', 'CPU µs/request', `${subject} ÷ this`, 'requests/s', 'p50 ms', 'p99 ms', 'core used']
  const rows = scenario.rows.map((row) => scenarioRow(row, subjectRow))
  return [
    `### ${scenario.name}`,
    `${scenario.about}. Without a balancer: ${grouped(scenario.ceiling)} requests/s.`,
    ...(rows.length > 0 ? [table(head, rows)] : []),
    ...skippedLines(scenario.skipped),
  ].join('\n\n')
}

type Quantile = 'p50Ms' | 'p99Ms'

const series = (row: LatencyRow, quantile: Quantile): (number | undefined)[] =>
  row.samples.map((sample) => (sample.problems.length > 0 ? undefined : sample[quantile]))

function latencyRow(row: LatencyRow, direct: LatencyRow): string[] {
  const problems = problemsOfRow(row)
  if (problems.length > 0) return [`**${row.balancer}: INVALID**`, problems.join('; '), '', '', '']
  const added = (quantile: Quantile) => pairedDifference(series(row, quantile), series(direct, quantile))
  const cells = [added('p50Ms'), added('p99Ms'), ...own(row)].map((spread) => (spread ? cell(spread, 2) : ''))
  return [row.balancer, ...cells]
}

const own = (row: LatencyRow): Spread[] =>
  (['p50Ms', 'p99Ms'] as const).map((quantile) => spreadOf(row.samples.map((sample) => sample[quantile])))

function latencySection({ name, about, saturation, rate, direct, rows, skipped }: LatencyReport): string {
  const most = Object.entries(saturation).map(([balancer, perSecond]) => `${balancer} ${grouped(perSecond)}`)
  const bare =
    problemsOfRow(direct).length > 0 ? ['', '', '', ''] : ['', '', ...own(direct).map((spread) => cell(spread, 2))]
  const head = ['balancer', 'p50 added, ms', 'p99 added, ms', 'p50 ms', 'p99 ms']
  return [
    `### latency: ${name}`,
    `${about}, at ${grouped(rate)} requests/s: half of what the weakest takes at most (${most.join(', ')}).`,
    table(head, [['without', ...bare], ...rows.map((row) => latencyRow(row, direct))]),
    ...skippedLines(skipped),
  ].join('\n\n')
}

function memorySection(memory: MemoryReport): string {
  const rows = memory.rows.map((row) => [row.balancer, cell(spreadOf(row.bytes.map((bytes) => bytes / 1024)), 2)])
  return [
    '### memory',
    `Growth of resident memory at ${grouped(memory.connections)} idle keep-alive client connections${memory.held === 'https' ? ' over TLS' : ''}.`,
    ...(rows.length > 0 ? [table(['balancer', 'KiB/connection'], rows)] : []),
    ...skippedLines(memory.skipped),
  ].join('\n\n')
}

/** The report as Markdown; ratios are of `subject` to each of the others. */
export function renderMarkdown(report: Report, subject: string): string {
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`)
  const rounds = report.rounds === 1 ? '1 round' : `${report.rounds} rounds`
  const sections = report.scenarios.map((scenario) => scenarioSection(scenario, subject))
  sections.push(...report.latency.map(latencySection))
  if (report.memory !== undefined) sections.push(memorySection(report.memory))
  return `${[
    `Taken ${report.taken} on ${report.machine}; ${versions.join(', ')}; ${rounds} of ${report.seconds} s. ` +
      'Figures are median [lowest–highest]; ratios are paired by round, below 1 means less CPU time.',
    ...sections,
  ].join('\n\n')}\n`
}
