/** The bench's command: starts the balancers side by side, measures them in turn, reports, cleans up. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Backends, startBackends } from './backends.ts'
import { makeCertificate } from './certificate.ts'
import { latencySteps, measureLatency } from './latency.ts'
import { problemsOf, runLoad } from './load.ts'
import { measure } from './measure.ts'
import { assertFileLimit, measureMemory } from './memory.ts'
import { type Options, parseOptions, USAGE, UsageError } from './options.ts'
import { type Certificate, type Peer, type Running, SUBJECT } from './peers/index.ts'
import { findProgram } from './peers/installed.ts'
import { preflight } from './preflight.ts'
import { Processes } from './processes.ts'
import { Progress } from './progress.ts'
import {
  type LatencyReport,
  type MemoryReport,
  problemsOfRow,
  type Report,
  type Row,
  renderMarkdown,
  type Skipped,
} from './report.ts'
import type { Listener, Scenario } from './scenarios.ts'

const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const

const print = (line: string) => void process.stderr.write(`${line}\n`)

/** What every part of a bench works with. */
interface Bench {
  readonly options: Options
  readonly processes: Processes
  readonly folder: string
  readonly backends: Backends
  readonly certificate: Certificate
  readonly signal: AbortSignal
}

/** Which balancers are there, with their versions, and which are not. */
function findPeers(options: Options): { found: Map<Peer, string>; skipped: Skipped[] } {
  const found = new Map<Peer, string>()
  const skipped: Skipped[] = []
  for (const peer of [SUBJECT, ...options.peers]) {
    const answer = peer.find()
    if ('version' in answer) found.set(peer, answer.version)
    else skipped.push({ balancer: peer.name, reason: answer.missing })
  }
  for (const { balancer, reason } of skipped) print(`leaving out ${balancer}: ${reason}`)
  return { found, skipped }
}

async function startPeer(bench: Bench, peer: Peer): Promise<Running> {
  const folder = mkdtempSync(join(bench.folder, `${peer.name}-`))
  const { processes, backends, certificate, signal } = bench
  const running = await peer.start({ processes, folder, backends: backends.ports, certificate, signal })
  await preflight(running)
  return running
}

async function benchScenario(
  bench: Bench,
  scenario: Scenario,
  all: ReadonlyMap<Peer, Running>,
  progress: Progress,
): Promise<Row[]> {
  const { options, processes, signal } = bench
  const lanes = [...all]
    .filter(([peer]) => peer.without(scenario.listener) === undefined)
    .map(([peer, running]) => ({ name: peer.name, running, samples: [] as Row['samples'][number][] }))
  for (const lane of lanes) {
    if (options.warmup === 0) break
    await measure(processes, lane.running, scenario, options.warmup, signal)
    progress.step(`${scenario.name}: ${lane.name} is warm`)
  }
  for (let round = 1; round <= options.rounds; round++) {
    for (const lane of round % 2 === 1 ? lanes : lanes.toReversed()) {
      const sample = await measure(processes, lane.running, scenario, options.seconds, signal)
      lane.samples.push(sample)
      const verdict =
        sample.problems.length > 0 ? `INVALID: ${sample.problems.join(', ')}` : `${sample.cpuMicros.toFixed(1)} µs`
      progress.step(`${scenario.name}: round ${round} of ${options.rounds}: ${lane.name} ${verdict}`)
    }
  }
  return lanes.map((lane) => ({ balancer: lane.name, samples: lane.samples }))
}

/** Who takes no part in the scenarios of a listener. */
const leftOut = (peers: readonly Peer[], listener: Listener): Skipped[] =>
  peers.flatMap((peer) => {
    const reason = peer.without(listener)
    return reason === undefined ? [] : [{ balancer: peer.name, reason }]
  })

async function benchScenarios(bench: Bench, peers: readonly Peer[], missing: readonly Skipped[]) {
  const { options, processes, backends, signal } = bench
  const running = new Map<Peer, Running>()
  for (const peer of peers) running.set(peer, await startPeer(bench, peer))
  const lanes = options.scenarios.flatMap((scenario) => peers.filter((peer) => !peer.without(scenario.listener)))
  const progress = new Progress(lanes.length * (options.rounds + (options.warmup > 0 ? 1 : 0)), print)
  const reports: Report['scenarios'][number][] = []
  for (const scenario of options.scenarios) {
    const port = scenario.listener === 'https' ? backends.secure : backends.ports[0]
    const direct = await runLoad(processes, `127.0.0.1:${port}`, scenario, options.seconds, signal)
    const problems = problemsOf(direct)
    if (problems.length > 0)
      throw new Error(`${scenario.name} fails without a balancer already: ${problems.join(', ')}`)
    const ceiling = direct.requests / direct.seconds
    progress.note(`${scenario.name}: ${Math.round(ceiling)} requests/s without a balancer`)
    const rows = await benchScenario(bench, scenario, running, progress)
    const { name, about } = scenario
    reports.push({ name, about, ceiling, rows, skipped: [...missing, ...leftOut(peers, scenario.listener)] })
  }
  return reports
}

async function benchLatency(bench: Bench, peers: readonly Peer[], missing: readonly Skipped[]) {
  const { options, processes, backends, signal } = bench
  const running = new Map<Peer, Running>()
  for (const peer of peers) running.set(peer, await startPeer(bench, peer))
  const lanesOf = ({ listener }: Scenario) =>
    [...running].flatMap(([{ name }, { listeners }]) => {
      const address = listeners[listener]
      return address === undefined ? [] : [{ name, address }]
    })
  const steps = options.scenarios.map((scenario) => latencySteps(lanesOf(scenario).length, options.rounds))
  const progress = new Progress(
    steps.reduce((sum, n) => sum + n, 0),
    print,
  )
  const reports: LatencyReport[] = []
  for (const scenario of options.scenarios) {
    const lanes = lanesOf(scenario)
    const backend = `127.0.0.1:${backends.ports[0]}`
    const step = (line: string) => progress.step(line)
    const latencies = await measureLatency(processes, backend, lanes, scenario, options, step, signal)
    const { name, about } = scenario
    reports.push({ name, about, ...latencies, skipped: [...missing, ...leftOut(peers, scenario.listener)] })
  }
  return reports
}

async function benchMemory(bench: Bench, found: readonly Peer[], missing: Skipped[]): Promise<MemoryReport> {
  const { options, processes, signal } = bench
  const { connections, held } = options
  assertFileLimit(connections)
  const peers = found.filter((peer) => peer.without(held) === undefined)
  const skipped = [...missing, ...leftOut(found, held)]
  const progress = new Progress(peers.length * options.rounds, print)
  const rows = peers.map((peer) => ({ peer, balancer: peer.name, bytes: [] as number[] }))
  for (let round = 1; round <= options.rounds; round++) {
    for (const row of rows) {
      const running = await startPeer(bench, row.peer)
      const bytes = await measureMemory(processes, running, held, connections, options.warmup, signal)
      row.bytes.push(bytes)
      await processes.stop(running.process)
      const figure = `${(bytes / 1024).toFixed(2)} KiB/connection`
      progress.step(`memory: round ${round} of ${options.rounds}: ${row.balancer} ${figure}`)
    }
  }
  return { connections, held, rows: rows.map(({ balancer, bytes }) => ({ balancer, bytes })), skipped }
}

function assertMachine({ scenarios }: Options): void {
  if (process.platform !== 'linux') throw new Error('the bench reads /proc and pins processes: it needs Linux')
  if (availableParallelism() < 2) throw new Error('the bench needs two cores: one for the balancer, one for the load')
  const needs = [
    ['taskset', ['--version'], /([\d.]+)/, 'util-linux'],
    ['wrk', ['-v'], /wrk (\S+)/, 'wrk'],
    ['nginx', ['-v'], /nginx\/(\S+)/, 'nginx, as the backend'],
    ['openssl', ['version'], /OpenSSL (\S+)/, 'openssl'],
    ['h2load', ['--version'], /nghttp2\/(\S+)/, 'nghttp2-client; without it: --only with other scenarios than http2'],
  ] as const
  for (const [command, args, pattern, from] of needs) {
    if (command === 'h2load' && !scenarios.some(({ load }) => load.by === command)) continue
    const answer = findProgram(command, args, pattern)
    if ('missing' in answer) throw new Error(`nothing can be measured: ${answer.missing} (${from})`)
  }
}

async function runBench(options: Options, signal: AbortSignal): Promise<Report> {
  assertMachine(options)
  const { found, skipped } = findPeers(options)
  const peers = [...found.keys()]
  if (peers.length === 0) throw new Error('no balancer is left to measure')
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-bench-'))
  const processes = new Processes(folder)
  try {
    mkdirSync(join(folder, 'load'))
    const certificate = makeCertificate(folder)
    const backends = await startBackends(processes, join(folder, 'load'), certificate, signal)
    const bench: Bench = { options, processes, folder, backends, certificate, signal }
    return {
      taken: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0]?.model ?? 'an unknown CPU'}, Linux ${release()}, Node ${process.versions.node}`,
      versions: Object.fromEntries([...found].map(([peer, version]) => [peer.name, version])),
      rounds: options.rounds,
      seconds: options.seconds,
      scenarios: options.memory || options.latency ? [] : await benchScenarios(bench, peers, skipped),
      latency: options.latency ? await benchLatency(bench, peers, skipped) : [],
      memory: options.memory ? await benchMemory(bench, peers, skipped) : undefined,
    }
  } finally {
    await processes.stopAll()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function main(args: readonly string[]): Promise<number> {
  const interrupt = new AbortController()
  try {
    const options = parseOptions(args)
    if (options === 'help') {
      process.stdout.write(USAGE)
      return EXIT.done
    }
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        print(interrupt.signal.aborted ? 'cleaning up' : `${name}: stopping, cleaning up`)
        interrupt.abort()
      })
    }
    const report = await runBench(options, interrupt.signal)
    const markdown = renderMarkdown(report, SUBJECT.name)
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
    if (options.markdown !== undefined) writeFileSync(options.markdown, markdown)
    process.stdout.write(markdown)
    const invalid = [...report.scenarios, ...report.latency].flatMap(({ name, rows }) =>
      rows.flatMap((row) => problemsOfRow(row).map((problem) => `${name}: ${row.balancer}: ${problem}`)),
    )
    for (const line of invalid) print(`INVALID: ${line}`)
    return invalid.length > 0 ? EXIT.failed : EXIT.done
  } catch (error) {
    if (interrupt.signal.aborted) return EXIT.interrupted
    if (error instanceof UsageError) {
      print(`${error.message}\n${USAGE}`)
      return EXIT.usage
    }
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) print(cause.message)
    return EXIT.failed
  }
}

process.exitCode = await main(process.argv.slice(2))
