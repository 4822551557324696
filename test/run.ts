/**
 * Runs the tests: `node test/run.ts [files…]`. Prints what failed and what was skipped with its reason, and one closing line.
 * With EVENKEEL_NO_SKIPS=1 a test that was skipped for a missing package or right (`needs …`) counts as a failure.
 */
import { spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'

const REPORT = '.tap/report.tap'

/** Runs tap; its own report of failures goes to the terminal. */
function tap(files: readonly string[]): Promise<number> {
  const args = [
    '--disable-coverage',
    '--reporter=terse',
    '--jobs=2',
    '--timeout=120',
    `--output-file=${REPORT}`,
    ...files,
  ]
  const child = spawn('tap', args, { stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => resolve(code ?? 1))
  })
}

interface Tally {
  passed: number
  failed: number
  skipped: string[]
}

/** Counts the innermost results of a TAP report: a line that stands for a group of others is not one. */
function tally(report: string): Tally {
  const result: Tally = { passed: 0, failed: 0, skipped: [] }
  const lines = report.split('\n')
  for (const [i, line] of lines.entries()) {
    const match = /^(\s*)(not ok|ok) \d+(?: - )?(.*)$/.exec(line)
    if (match === null) continue
    const [, indent = '', verdict, text = ''] = match
    const before = lines[i - 1] ?? ''
    const group =
      new RegExp(`^${indent} {4}(\\s*#|\\d+\\.\\.\\d+|\\s*$)`).test(before) || before.startsWith(`${indent}    `)
    const skip = /# SKIP ?(.*)$/.exec(text)
    if (skip !== null) result.skipped.push(`${text.slice(0, skip.index).trim()}: ${skip[1]}`)
    else if (group)
      continue // what failed in it has been counted; a group that failed by itself shows in tap's exit code
    else if (verdict === 'ok') result.passed++
    else result.failed++
  }
  return result
}

const files = process.argv.slice(2)
await mkdir('.tap', { recursive: true })
const code = await tap(files)
const { passed, failed, skipped } = tally(await readFile(REPORT, 'utf8'))
for (const line of skipped) console.log(`skipped: ${line}`)
const missing = process.env['EVENKEEL_NO_SKIPS'] === '1' ? skipped.filter((line) => /: needs /.test(line)) : []
if (missing.length > 0) console.log(`${missing.length} tests were skipped that must run here`)
const bad = failed === 0 && (code !== 0 || missing.length > 0) ? Math.max(1, missing.length) : failed
console.log(`${passed} passed, ${bad} failed, ${skipped.length} skipped`)
process.exitCode = bad > 0 ? 1 : 0
