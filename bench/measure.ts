/** One measured run: load on a balancer, and the CPU time that it took. */
import { cpuBetween, readCpu, readSettledCpu } from './cpu.ts'
import { problemsOf, runLoad } from './load.ts'
import type { Running } from './peers/index.ts'
import type { Processes } from './processes.ts'
import type { Scenario } from './scenarios.ts'

export interface Sample {
  readonly requests: number
  /** CPU time, user and system, of the balancer's whole process tree for each request. */
  readonly cpuMicros: number
  /** `process`: a thread ended in the run, so that the figure comes from the coarser source. */
  readonly cpuFrom: 'threads' | 'process'
  /** Share of its core that the balancer used; well below 1 it was not the bottleneck. */
  readonly busy: number
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** What makes the run invalid. */
  readonly problems: readonly string[]
}

export async function measure(
  processes: Processes,
  running: Running,
  scenario: Scenario,
  seconds: number,
  signal: AbortSignal,
): Promise<Sample> {
  const address = running.listeners[scenario.listener]
  if (address === undefined) throw new Error(`${running.process.name} has no listener for ${scenario.name}`)
  const before = readCpu(running.process.pid)
  const load = await runLoad(processes, address, scenario, seconds, signal)
  running.process.assertRunning()
  const cpu = cpuBetween(before, await readSettledCpu(running.process.pid, signal))
  return {
    requests: load.requests,
    cpuMicros: load.requests > 0 ? cpu.ns / 1000 / load.requests : 0,
    cpuFrom: cpu.from,
    busy: cpu.ns / 1e9 / load.seconds,
    requestsPerSecond: load.requests / load.seconds,
    p50Ms: load.p50Ms,
    p99Ms: load.p99Ms,
    problems: problemsOf(load),
  }
}
