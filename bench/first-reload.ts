/**
 * What a reload of a large configuration costs: `node bench/first-reload.ts [--services 1000] [--processes 5] [--warm 5] [--threads 2]`.
 * So many services of ten lines each, one of them changed: the first reload of a fresh process, then some more, and the longest
 * that one turn of a data thread's event loop took meanwhile. `--profile DIR`: a CPU profile of each process.
 * `--hold`: wait for a line on stdin before the reloads, when all is ready and has come to rest.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { firstLine, freePorts } from './net.ts'
import { Processes, type Started } from './processes.ts'

const COMMAND = fileURLToPath(new URL('../lib/cli/evenkeel.js', import.meta.url))
const FIRST_PORT = 12_000 // below those that the kernel gives
const REST_MS = 10_000 // what a start leaves to be done is done
const LOOK_MS = 50
/** Loaded into each thread: writes down when it saw which longest turn. */
const WATCH = `import { appendFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'
const file = new URL(import.meta.url).searchParams.get('file')
const turns = monitorEventLoopDelay({ samplePerIteration: true })
turns.enable()
if (!isMainThread)
  setInterval(() => {
    if (turns.count > 0) appendFileSync(file, Date.now() + ' ' + turns.max / 1e6 + '\\n')
    turns.reset()
  }, ${LOOK_MS}).unref()
`

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '1000' },
    processes: { type: 'string', default: '5' },
    warm: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    profile: { type: 'string' },
    hold: { type: 'boolean', default: false },
  },
})
const services = Number(values.services)
const processCount = Number(values.processes)
const warm = Number(values.warm)
if (!(services >= 1 && processCount >= 1 && warm >= 0 && Number(values.threads) >= 1))
  throw new Error('--services, --processes, --warm and --threads take numbers')

const folder = mkdtempSync(join(tmpdir(), 'evenkeel-reloads-'))
const processes = new Processes(folder)
const watch = join(folder, 'turns.mjs')
writeFileSync(watch, WATCH)
const [port = 0] = await freePorts(1)
const backends = ['127.0.0.1', '127.0.0.2'].map((host) =>
  createServer((socket) => socket.on('error', () => {}).resume()).listen({ port, host, backlog: 4096 }),
)
await Promise.all(backends.map((server) => once(server, 'listening')))

const service = (n: number, i: number, connect: number): string => `  s${i}:
    listen: ["127.0.1.${n + 1}:${FIRST_PORT + i}"]
    protocol: http
    balance: least-connections
    health: { type: tcp, interval: 10s, timeout: 1s }
    timeouts:
      connect: ${connect}ms
    limits: { connections: 5000 }
    backends:
      - { name: a, address: "127.0.0.1:${port}" }
      - { name: b, address: "127.0.0.2:${port}", weight: 2 }
`
const head = (n: number): string => `version: 1
appliance: { threads: ${values.threads}, stateFile: ${n}.json }
admin: { listen: 127.0.0.1:0 }
accessLog: { format: off }
virtualServices:
`
const changed = Math.floor(services / 2)
const configOf = (n: number, connect: number): string =>
  head(n) + Array.from({ length: services }, (_, i) => service(n, i, i === changed ? connect : 2000)).join('')

/** One balancer. */
interface Subject {
  readonly process: Started
  readonly admin: string
  readonly file: string
  /** What its threads wrote down. */
  readonly turns: string
}

async function start(n: number): Promise<Subject> {
  const file = join(folder, `${n}.yaml`)
  writeFileSync(file, configOf(n, 2000))
  const turns = join(folder, `${n}.turns`)
  const profile = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
  const args = [...profile, COMMAND, 'run', '--json', file]
  process.env['NODE_OPTIONS'] = `--import=${pathToFileURL(watch).href}?file=${encodeURIComponent(turns)}`
  const started = await processes.start('evenkeel', process.execPath, args, { core: 0, stdout: 'pipe' })
  execFileSync('taskset', ['-apc', '0-1', String(started.pid)]) // its threads run as on a machine of its own
  const line = await firstLine(started, AbortSignal.timeout(60_000)).catch((error: Error) => {
    throw new Error(`${error.message}\n${started.complaint()}`)
  })
  const { admin }: { admin: string } = JSON.parse(line)
  return { process: started, admin, file, turns }
}

/** ms. */
async function reload({ admin, file }: Subject, n: number, connect: number): Promise<number> {
  writeFileSync(file, configOf(n, connect))
  const headers = { 'Content-Type': 'application/json' }
  const answer = await fetch(`http://${admin}/api/v1/reload`, { method: 'POST', headers, body: '{}' })
  const { result, tookMs, sentence } = (await answer.json()) as { result: string; tookMs: number; sentence: string }
  if (result !== 'applied' || sentence !== `s${changed} changed`) throw new Error(sentence)
  return tookMs
}

/** Of its data threads from `begun` on, ms. */
function longestTurn({ turns }: Subject, begun: number): number {
  const lines = readFileSync(turns, 'utf8').trim().split('\n')
  const seen = lines.map((line) => line.split(' ').map(Number) as [at: number, ms: number])
  return Math.max(0, ...seen.filter(([at]) => at >= begun).map(([, ms]) => ms))
}

try {
  const subjects: Subject[] = []
  for (let n = 0; n < processCount; n++) subjects.push(await start(n))
  await delay(REST_MS)
  if (values.hold) {
    console.log('ready')
    await once(process.stdin, 'data')
  }
  const firsts: number[] = []
  const turns: number[] = []
  for (const [n, subject] of subjects.entries()) {
    subject.process.assertRunning()
    await delay(2 * LOOK_MS)
    const begun = Date.now()
    await delay(LOOK_MS)
    const first = await reload(subject, n, 1001)
    const later: number[] = []
    for (let i = 0; i < warm; i++) later.push(await reload(subject, n, 1002 + i))
    await delay(2 * LOOK_MS)
    const turn = longestTurn(subject, begun)
    firsts.push(first)
    turns.push(turn)
    const then = later.length > 0 ? `, then ${later.join(', ')} ms` : ''
    console.log(`process ${n + 1}: ${first} ms${then}; longest turn of a data thread ${turn.toFixed(0)} ms`)
  }
  const sorted = firsts.toSorted((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0
  console.log(
    `${services} services, one changed: the first reload took ${median} ms in the median of ${processCount} processes, ` +
      `${sorted.at(-1) ?? 0} ms at most; longest turn of a data thread ${Math.max(...turns).toFixed(0)} ms`,
  )
} finally {
  await processes.stopAll()
  for (const server of backends) server.close()
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0) // probes that were under way keep their sockets
