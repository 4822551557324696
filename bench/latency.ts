/** Measures how long requests take at half of the load that saturates the weakest balancer, the same for all. */
import { problemsOf, runLoad, runPaced } from './load.ts'
import type { Processes } from './processes.ts'
import type { Scenario } from './scenarios.ts'
import { median } from './stats.ts'

const SATURATIONS = 3 // runs whose median counts

export interface LatencySample {
  readonly p50Ms: number
  readonly p99Ms: number
  /** What makes the run invalid. */
  readonly problems: readonly string[]
}

export interface LatencyRow {
  readonly balancer: string
  readonly samples: readonly LatencySample[]
}

export interface Latencies {
  /** Requests a second that each balancer takes at most. */
  readonly saturation: Readonly<Record<string, number>>
  /** Requests a second that were offered. */
  readonly rate: number
  /** The same load on a backend, without a balancer. */
  readonly direct: LatencyRow
  readonly rows: readonly LatencyRow[]
}

/** Something to ask: a balancer, or a backend itself. */
export interface Lane {
  readonly name: string
  readonly address: string
}

export interface LatencyOptions {
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
}

/** How many steps `measureLatency` tells of. */
export const latencySteps = (balancers: number, rounds: number): number =>
  balancers * SATURATIONS + (balancers + 1) * rounds

export async function measureLatency(
  processes: Processes,
  backend: string,
  balancers: readonly Lane[],
  scenario: Scenario,
  { rounds, seconds, warmup }: LatencyOptions,
  step: (line: string) => void,
  signal: AbortSignal,
): Promise<Latencies> {
  const most = new Map(balancers.map(({ name }) => [name, [] as number[]]))
  for (let run = 1; run <= SATURATIONS; run++) {
    for (const { name, address } of balancers) {
      const load = await runLoad(processes, address, scenario, seconds, signal)
      most.get(name)?.push(load.requests / load.seconds)
      step(`${scenario.name}: ${name} takes ${Math.round(load.requests / load.seconds)} requests/s`)
    }
  }
  const saturation = Object.fromEntries([...most].map(([name, rates]) => [name, median(rates)]))
  const rate = Math.floor(Math.min(...Object.values(saturation)) / 2)
  const { path, connections } = scenario
  const rows = [{ name: 'none', address: backend }, ...balancers].map((lane) => ({
    lane,
    samples: [] as LatencySample[],
  }))
  for (let round = 1; round <= rounds; round++) {
    for (const { lane, samples } of round % 2 === 1 ? rows : rows.toReversed()) {
      const load = await runPaced(processes, lane.address, { path, connections, rate, seconds, warmup }, signal)
      const sample = { p50Ms: load.p50Ms, p99Ms: load.p99Ms, problems: problemsOf(load) }
      samples.push(sample)
      const verdict =
        sample.problems.length > 0
          ? `INVALID: ${sample.problems.join(', ')}`
          : `p50 ${sample.p50Ms.toFixed(2)} ms, p99 ${sample.p99Ms.toFixed(2)} ms`
      step(`${scenario.name}: round ${round} of ${rounds}: ${lane.name} ${verdict}`)
    }
  }
  const [direct = { balancer: 'none', samples: [] }, ...others] = rows.map(({ lane, samples }) => ({
    balancer: lane.name,
    samples,
  }))
  return { saturation, rate, direct, rows: others }
}
