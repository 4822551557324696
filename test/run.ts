/**
 * Runs the tests: `node test/run.ts [--times] [files…]`, all by default, one more file at a time than there are cores. Each file is a program of
 * its own that prints TAP; what failed and what was skipped is shown with its reason, and one closing line counts it all.
 *
 * A file that failed is run once more, alone, when the others have ended: if it fails again it has failed, else it is listed as unsteady.
 * With EVENKEEL_NO_SKIPS=1 a test that was skipped for a missing package or right (`needs …`) counts as a failure.
 * With --times the files that took the most CPU time are listed.
 */
import { spawn } from 'node:child_process'
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const AT_ONCE = availableParallelism() + 1 // each waits for something now and then
const FILE_MS = 180_000 // the slowest takes a tenth of it on two quiet cores
const BY_CHANCE = 5 // more files than these don't fail by chance
const SHOWN = 40 // of the files with the most CPU time
const NO_SKIPS = process.env['EVENKEEL_NO_SKIPS'] === '1'
// The same code is loaded by every file: without the cache a fifth of the time goes into that.
const CACHE = fileURLToPath(new URL('../node_modules/.cache/evenkeel', import.meta.url))
const TIMES = fileURLToPath(new URL('../node_modules/.cache/evenkeel-tests.json', import.meta.url))

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly string[]
  /** The report, where something went wrong; else ''. */
  readonly report: string
}

/** Seconds that a file took, by the wall and of CPU time, all that it started included. */
interface Time {
  readonly wall: number
  readonly cpu: number
}

/** Counts the innermost results of a TAP report: a line that stands for a group of others is not one. */
function tally(report: string): Pick<Outcome, 'passed' | 'failed' | 'skipped'> {
  let passed = 0
  let failed = 0
  const skipped: string[] = []
  let before = ''
  for (const line of report.split('\n')) {
    const match = /^(\s*)(not ok|ok) \d+(?: - )?(.*)$/.exec(line)
    if (match !== null) {
      const [, indent = '', verdict, text = ''] = match
      const skip = /# SKIP ?(.*)$/.exec(text)
      if (skip !== null) skipped.push(`${text.slice(0, skip.index).trim()}: ${skip[1]}`)
      else if (before.startsWith(`${indent}    `)) {
        // the group of what stands above it, indented
      } else if (verdict === 'ok') passed++
      else failed++
    }
    before = line
  }
  return { passed, failed, skipped }
}

const TICKS = 100 // a second, of /proc
/** CPU seconds of whatever has ended under this process. */
function spentByChildren(): number {
  if (!existsSync('/proc/self/stat')) return 0
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / TICKS
}

const times = new Map<string, Time>()
let spent = 0

function runFile(file: string): Promise<Outcome> {
  const from = performance.now()
  // tap's own limit of 30 s would end files that are merely slow on a busy machine.
  const env = { ...process.env, NODE_COMPILE_CACHE: CACHE, TAP_TIMEOUT: String(FILE_MS / 1000) }
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'], env })
  let report = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    report += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, FILE_MS)
  child.on('exit', () => {
    const before = spent
    spent = spentByChildren()
    times.set(file, { wall: (performance.now() - from) / 1000, cpu: spent - before })
  })
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const counts = tally(report)
      if (code === 0) return resolve({ ...counts, report: '' })
      const why = late ? `it did not end within ${FILE_MS / 1000} s` : `it ended with ${signal ?? code}`
      resolve({ ...counts, failed: Math.max(1, counts.failed), report: `${report}${errors}${file}: ${why}\n` })
    })
  })
}

/** Runs the file and says what came of it. */
async function show(file: string): Promise<Outcome> {
  const outcome = await runFile(file)
  const { wall = 0 } = times.get(file) ?? {}
  console.log(`${outcome.failed > 0 ? 'FAILED' : 'ok    '} ${file} (${outcome.passed} passed, ${wall.toFixed(1)} s)`)
  if (outcome.report !== '') console.log(outcome.report)
  return outcome
}

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
  writeFileSync(TIMES, JSON.stringify(Object.fromEntries(times)))
}

const { values: flags, positionals } = parseArgs({ options: { times: { type: 'boolean' } }, allowPositionals: true })
const known = lastTimes()
const wallOf = (file: string): number => known.get(file)?.wall ?? Number.MAX_VALUE
// The longest first, or the end of the run would wait for one of them alone.
const files = (positionals.length > 0 ? positionals : globSync('test/**/*.test.ts'))
  .sort()
  .sort((a, b) => wallOf(b) - wallOf(a))
const begun = performance.now()
const outcomes = new Map<string, Outcome>()

async function work(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) outcomes.set(file, await show(file))
}

const queue = [...files]
await Promise.all(Array.from({ length: AT_ONCE }, () => work(queue)))

const unsteady: string[] = []
const broken = [...outcomes].filter(([, { failed }]) => failed > 0)
if (files.length > 1 && broken.length <= BY_CHANCE)
  for (const [file] of broken) {
    console.log(`once more, alone: ${file}`)
    const outcome = await show(file)
    outcomes.set(file, outcome)
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
  for (const [file, { wall, cpu }] of [...times].sort(([, a], [, b]) => b.cpu - a.cpu).slice(0, SHOWN))
    console.log(`${cpu.toFixed(1).padStart(6)} s of CPU, ${wall.toFixed(1).padStart(5)} s: ${file}`)
for (const line of skipped) console.log(`skipped: ${line}`)
const missing = NO_SKIPS ? skipped.filter((line) => /: needs /.test(line)) : []
if (missing.length > 0) console.log(`${missing.length} tests were skipped that must run here`)
for (const file of unsteady) console.log(`unsteady: ${file} (failed once beside others)`)
if (passed === 0) console.log('no test ran')
const took = `${((performance.now() - begun) / 1000).toFixed(0)} s, ${spent.toFixed(0)} s of CPU time`
console.log(`${files.length} files in ${took}`)
const bad = failed + missing.length
console.log(`${passed} passed, ${bad} failed, ${skipped.length} skipped`)
process.exitCode = bad > 0 || passed === 0 ? 1 : 0
