/** Runs a load generator against an address and reads what it measured: wrk and others at full speed, paced.ts at a constant rate. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { LOAD_CORE, type Processes } from './processes.ts'
import type { Scenario } from './scenarios.ts'
import { quantile } from './stats.ts'

const HANDSHAKES = fileURLToPath(new URL('handshakes.ts', import.meta.url))
const PACED = fileURLToPath(new URL('paced.ts', import.meta.url))
const SCRIPT = fileURLToPath(new URL('wrk.lua', import.meta.url))
const TIMEOUT_S = 5 // an answer later than this is an error

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  readonly bytes: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly errors: LoadErrors
}

export interface LoadErrors {
  readonly connect: number
  readonly read: number
  readonly write: number
  readonly timeout: number
  /** Answers with a status of 400 or above. */
  readonly status: number
}

/** What went wrong in a run, in words; nothing when it is valid. */
export function problemsOf({ requests, errors }: LoadResult): string[] {
  const counts: [number, string][] = [
    [errors.connect, 'failed connects'],
    [errors.read, 'read errors'],
    [errors.write, 'write errors'],
    [errors.timeout, 'time-outs'],
    [errors.status, 'answers with an error status'],
  ]
  const problems = counts.filter(([count]) => count > 0).map(([count, words]) => `${count} ${words}`)
  return requests > 0 ? problems : [...problems, 'no request completed']
}

/** A number of wrk's report. */
function figure(report: unknown, name: string): number {
  const value = typeof report === 'object' && report !== null ? Reflect.get(report, name) : undefined
  if (typeof value !== 'number') throw new Error(`the load generator did not tell ${name}: ${JSON.stringify(report)}`)
  return value
}

/** Reads the line of JSON that bench/wrk.lua prints after wrk's own text, and bench/paced.ts alone. */
export function parseLoad(output: string): LoadResult {
  const line = output.split('\n').findLast((candidate) => candidate.startsWith('{'))
  if (line === undefined)
    throw new Error(`the load generator printed no figures: ${JSON.stringify(output.slice(0, 500))}`)
  const report: unknown = JSON.parse(line)
  const errors: unknown = typeof report === 'object' && report !== null ? Reflect.get(report, 'errors') : undefined
  return {
    requests: figure(report, 'requests'),
    seconds: figure(report, 'micros') / 1e6,
    bytes: figure(report, 'bytes'),
    p50Ms: figure(report, 'p50Micros') / 1000,
    p99Ms: figure(report, 'p99Micros') / 1000,
    errors: {
      connect: figure(errors, 'connect'),
      read: figure(errors, 'read'),
      write: figure(errors, 'write'),
      timeout: figure(errors, 'timeout'),
      status: figure(errors, 'status'),
    },
  }
}

/** Runs a program that generates load; answers with what it printed. */
async function generate(
  processes: Processes,
  [command, ...args]: readonly [string, ...string[]],
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted()
  const load = await processes.start('load', command, args, { core: LOAD_CORE, stdout: 'pipe' })
  const stop = () => void processes.stop(load)
  signal.addEventListener('abort', stop)
  try {
    const [output] = await Promise.all([text(load.stdout), once(load.child, 'exit')])
    signal.throwIfAborted()
    if (load.child.exitCode !== 0) throw new Error(`${command} failed: ${load.complaint() || output.trim()}`)
    return output
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Drives one scenario for some seconds at `address` (`127.0.0.1:8080`), as fast as it goes. */
export function runLoad(
  processes: Processes,
  address: string,
  scenario: Scenario,
  seconds: number,
  signal: AbortSignal,
): Promise<LoadResult> {
  const { load } = scenario
  if (load.by === 'wrk') return runWrk(processes, address, scenario, load.requests, seconds, signal)
  if (load.by === 'h2load') return runH2load(processes, address, scenario, load.streams, seconds, signal)
  const { path, connections } = scenario
  const args = [address, path, String(connections), String(seconds), load.resumed ? 'resumed' : 'full']
  return generate(processes, [process.execPath, HANDSHAKES, ...args], signal).then(parseLoad)
}

async function runWrk(
  processes: Processes,
  address: string,
  { connections, fields, listener, path }: Scenario,
  requests: string,
  seconds: number,
  signal: AbortSignal,
): Promise<LoadResult> {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, `--timeout=${TIMEOUT_S}s`, '--latency']
  for (const field of fields) args.push('-H', field)
  args.push('-s', SCRIPT, `${listener === 'https' ? 'https' : 'http'}://${address}${path}`, '--', requests)
  return parseLoad(await generate(processes, ['wrk', ...args], signal))
}

async function runH2load(
  processes: Processes,
  address: string,
  { connections, listener, path }: Scenario,
  streams: number,
  seconds: number,
  signal: AbortSignal,
): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-h2load-'))
  const log = join(folder, 'requests')
  try {
    const args = [`-c${connections}`, `-m${streams}`, `-D${seconds}`, `--log-file=${log}`]
    const url = `${listener === 'https' ? 'https' : 'http'}://${address}${path}`
    return parseH2load(await generate(processes, ['h2load', ...args, url], signal), readFileSync(log, 'utf8'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/**
 * Reads h2load's report and its log, which has a line for each answer: when it was asked for, the status, and the time that it
 * took in microseconds.
 */
export function parseH2load(output: string, log: string): LoadResult {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(output)?.[1]
    if (found === undefined)
      throw new Error(`h2load did not tell ${pattern.source}: ${JSON.stringify(output.slice(0, 500))}`)
    return Number(found)
  }
  const times = log.split('\n').flatMap((line) => {
    const [, , micros] = line.split('\t')
    return micros === undefined ? [] : [Number(micros) / 1000]
  })
  const seconds = number(/^finished in ([\d.]+)s,/m)
  return {
    requests: number(/^requests: .*?(\d+) succeeded/m),
    seconds,
    bytes: number(/^traffic: .*?\((\d+)\) total/m),
    p50Ms: times.length > 0 ? quantile(times, 0.5) : 0,
    p99Ms: times.length > 0 ? quantile(times, 0.99) : 0,
    errors: {
      connect: 0,
      read: number(/^requests: .*?(\d+) errored/m),
      write: 0,
      timeout: number(/^requests: .*?(\d+) timeout/m),
      status: number(/^requests: .*?(\d+) failed/m) - number(/^requests: .*?(\d+) errored/m),
    },
  }
}

/** What a constant load is. */
export interface Pace {
  readonly path: string
  readonly connections: number
  /** Requests a second, whatever becomes of those before. */
  readonly rate: number
  readonly seconds: number
  /** Seconds before that, which don't count. */
  readonly warmup: number
  /** Others need its core too. */
  readonly shared?: boolean
}

/** Asks at a constant rate; times count from when a request was due. */
export function runPaced(
  processes: Processes,
  address: string,
  { path, connections, rate, seconds, warmup, shared }: Pace,
  signal: AbortSignal,
): Promise<LoadResult> {
  const args = [address, path, ...[connections, rate, seconds, warmup].map(String), ...(shared ? ['shared'] : [])]
  return generate(processes, [process.execPath, PACED, ...args], signal).then(parseLoad)
}
