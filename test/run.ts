/**
 * Runs the tests: `node test/run.ts [--times] [--checks] [files…]`, all by default, one more program at a time than there are cores. What
 * failed and what was skipped is shown with its reason, and one closing line counts it all.
 *
 * A file prints TAP. Those of the folders in TOGETHER run several in one process, one after the other; all others are programs of their own.
 * A file that failed is run once more, alone, when the others have ended: if it fails again it has failed, else it is listed as unsteady.
 * With EVENKEEL_NO_SKIPS=1 a test that was skipped for a missing package or right (`needs …`) counts as a failure.
 * With --times the files that took the most CPU time are listed, with --checks types and lint are looked at beside the tests.
 */
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { allSpent, type Outcome, runAlone, runCheck, runTogether } from './support/runner.ts'
import type { Time } from './support/tally.ts'

const AT_ONCE = availableParallelism() + 1 // each waits for something now and then
const BY_CHANCE = 5 // more files than these don't fail by chance
const SHOWN = 40 // of the files with the most CPU time
const NO_SKIPS = process.env['EVENKEEL_NO_SKIPS'] === '1'
const TIMES = fileURLToPath(new URL('../node_modules/.cache/evenkeel-tests.json', import.meta.url))
const CHECKS = new Map<string, readonly [string, ...string[]]>([
  ['types', ['tsc']],
  ['lint', ['biome', 'check', '.']],
])

/** Folders whose files change nothing of their process, so that they can share one. */
const TOGETHER =
  /^test\/(admin|affinity|agents|board|compression|config|core|datapaths|demo|filters|grpc|h2|h2-backend|http|limits|policies|pool|probes|proxy-protocol|service|sni|starttls|telemetry|tls|upgrade)\//
/** Files of them that do, or that look at all of their process. */
const ALONE = new Set([
  'test/admin/events.test.ts', // its memory
  'test/board/board.test.ts', // the same
  'test/datapaths/h2/message-sender.test.ts', // all buffers that it makes
  'test/datapaths/outbox.test.ts', // its buffers
  'test/datapaths/wire-memory.test.ts', // all buffers that it makes
  'test/probes/datagrams.test.ts', // its open sockets
  'test/probes/exec.test.ts', // its environment
  'test/service/outliers.test.ts', // the same
  'test/service/rounds.test.ts', // rejections that nobody handles
  'test/service/young-heap.test.ts', // flags of V8
])
const TOGETHER_S = 10 // of files in one process: who waits for the end of the run waits for little more
const GUESS_S = 1 // that one of them takes, where nobody knows yet

/** What each file took in the last run of all. */
function lastTimes(): Map<string, Time> {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(TIMES, 'utf8')) as Record<string, Time>))
  } catch {
    return new Map()
  }
}

function remember(): void {
  mkdirSync(dirname(TIMES), { recursive: true })
  writeFileSync(TIMES, JSON.stringify(Object.fromEntries([...outcomes].map(([file, { time }]) => [file, time]))))
}

/** Files that are run by one process. */
type Job = readonly string[]

const mayShare = (file: string): boolean => TOGETHER.test(file) && !ALONE.has(file)

/** The longest first, or the end of the run would wait for one of them alone. */
function jobsOf(files: readonly string[], known: ReadonlyMap<string, Time>): Job[] {
  const wallOf = (file: string): number =>
    known.get(file)?.wall ?? (mayShare(file) ? GUESS_S : Number.POSITIVE_INFINITY)
  const jobs: Job[] = []
  let group: string[] = []
  let seconds = 0
  for (const file of [...files].sort().sort((a, b) => (wallOf(a) === wallOf(b) ? 0 : wallOf(b) - wallOf(a)))) {
    if (!mayShare(file)) {
      jobs.push([file])
      continue
    }
    if (group.length === 0 || seconds >= TOGETHER_S) {
      group = []
      seconds = 0
      jobs.push(group)
    }
    group.push(file)
    seconds += wallOf(file)
  }
  return jobs
}

const outcomes = new Map<string, Outcome>()

/** Says what came of it. */
function show(file: string, outcome: Outcome): void {
  const { failed, passed, time, report } = outcome
  outcomes.set(file, outcome)
  console.log(`${failed > 0 ? 'FAILED' : 'ok    '} ${file} (${passed} passed, ${time.wall.toFixed(1)} s)`)
  if (report !== '') console.log(report)
}

async function runJob(job: Job): Promise<void> {
  const [first = ''] = job
  const check = CHECKS.get(first)
  if (check !== undefined) return show(first, await runCheck(check))
  const done = job.length > 1 ? await runTogether(job) : new Map<string, Outcome>()
  for (const [file, outcome] of done) show(file, outcome)
  for (const file of job) if (!done.has(file)) show(file, await runAlone(file))
}

const options = { times: { type: 'boolean' }, checks: { type: 'boolean' } } as const
const { values: flags, positionals } = parseArgs({ options, allowPositionals: true })
const files = positionals.length > 0 ? positionals : globSync('test/**/*.test.ts')
const begun = performance.now()
const queue = jobsOf(files, lastTimes())
if (flags.checks === true) queue.unshift(...[...CHECKS.keys()].map((check) => [check]))

async function work(): Promise<void> {
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) await runJob(job)
}
await Promise.all(Array.from({ length: AT_ONCE }, work))

const unsteady: string[] = []
const broken = [...outcomes].filter(([name, { failed }]) => failed > 0 && !CHECKS.has(name))
if (files.length > 1 && broken.length <= BY_CHANCE)
  for (const [file] of broken) {
    console.log(`once more, alone: ${file}`)
    const outcome = await runAlone(file)
    show(file, outcome)
    if (outcome.failed === 0) unsteady.push(file)
  }
if (positionals.length === 0) remember()

let passed = 0
let failed = 0
const skipped: string[] = []
for (const outcome of outcomes.values()) {
  passed += outcome.passed
  failed += outcome.failed
  skipped.push(...outcome.skipped)
}
if (flags.times === true)
  for (const [file, { time }] of [...outcomes].sort(([, a], [, b]) => b.time.cpu - a.time.cpu).slice(0, SHOWN))
    console.log(`${time.cpu.toFixed(1).padStart(6)} s of CPU, ${time.wall.toFixed(1).padStart(5)} s: ${file}`)
for (const line of skipped) console.log(`skipped: ${line}`)
const missing = NO_SKIPS ? skipped.filter((line) => /: needs /.test(line)) : []
if (missing.length > 0) console.log(`${missing.length} tests were skipped that must run here`)
for (const file of unsteady) console.log(`unsteady: ${file} (failed once beside others)`)
if (passed === 0) console.log('no test ran')
const took = `${((performance.now() - begun) / 1000).toFixed(0)} s, ${allSpent().toFixed(0)} s of CPU time`
console.log(`${files.length} files in ${took}`)
const bad = failed + missing.length
console.log(`${passed} passed, ${bad} failed, ${skipped.length} skipped`)
process.exitCode = bad > 0 || passed === 0 ? 1 : 0
