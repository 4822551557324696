/**
 * Runs the tests: `node test/run.ts [files…]`, all by default, one more file at a time than there are cores. Each file is a program of its own that
 * prints TAP; what failed and what was skipped is shown with its reason, and one closing line counts it all.
 * With EVENKEEL_NO_SKIPS=1 a test that was skipped for a missing package or right (`needs …`) counts as a failure.
 */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

const AT_ONCE = availableParallelism() + 1 // each waits for something now and then
const FILE_MS = 180_000 // the slowest takes a tenth of it on two quiet cores
const NO_SKIPS = process.env['EVENKEEL_NO_SKIPS'] === '1'
// The same code is loaded by every file: without the cache a fifth of the time goes into that.
const CACHE = fileURLToPath(new URL('../node_modules/.cache/evenkeel', import.meta.url))

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly string[]
  /** The report, where something went wrong; else ''. */
  readonly report: string
}

/** Counts the innermost results of a TAP report: a line that stands for a group of others is not one. */
function tally(report: string): Omit<Outcome, 'report'> {
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

function runFile(file: string): Promise<Outcome> {
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

const args = process.argv.slice(2)
const files = (args.length > 0 ? args : globSync('test/**/*.test.ts')).sort()
const begun = performance.now()
let passed = 0
let failed = 0
const skipped: string[] = []

async function work(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const from = performance.now()
    const outcome = await runFile(file)
    passed += outcome.passed
    failed += outcome.failed
    skipped.push(...outcome.skipped)
    const seconds = ((performance.now() - from) / 1000).toFixed(1)
    console.log(`${outcome.failed > 0 ? 'FAILED' : 'ok    '} ${file} (${outcome.passed} passed, ${seconds} s)`)
    if (outcome.report !== '') console.log(outcome.report)
  }
}

const queue = [...files]
await Promise.all(Array.from({ length: AT_ONCE }, () => work(queue)))
for (const line of skipped) console.log(`skipped: ${line}`)
const missing = NO_SKIPS ? skipped.filter((line) => /: needs /.test(line)) : []
if (missing.length > 0) console.log(`${missing.length} tests were skipped that must run here`)
if (passed === 0) console.log('no test ran')
console.log(`${files.length} files in ${((performance.now() - begun) / 1000).toFixed(0)} s`)
const bad = failed + missing.length
console.log(`${passed} passed, ${bad} failed, ${skipped.length} skipped`)
process.exitCode = bad > 0 || passed === 0 ? 1 : 0
