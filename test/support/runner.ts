/** Runs test files, each as a program of its own or several in one process, and says what came of each. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { spentByChildren } from './cpu.ts'
import { type Counts, sections, type Time, tally } from './tally.ts'

const FILE_MS = 180_000 // the slowest takes a tenth of it on two quiet cores
const HOST = fileURLToPath(new URL('./host.ts', import.meta.url))
// The same code is loaded by every file: without the cache a fifth of the time goes into that.
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/evenkeel', import.meta.url))

export interface Outcome extends Counts {
  readonly time: Time
  /** The report, where something went wrong; else ''. */
  readonly report: string
}

interface End {
  readonly stdout: string
  readonly stderr: string
  /** What went wrong; '': nothing. */
  readonly why: string
  readonly time: Time
}

let spent = 0

/** A program to its end; silence for longer than a file may take ends it. */
function runProgram(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<End> {
  const from = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  const said = { stdout: '', stderr: '' }
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, FILE_MS)
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text
      if (/^# took /m.test(text)) timer.refresh() // one of several files
    })
  const time = { wall: 0, cpu: 0 }
  child.on('exit', () => {
    const before = spent
    spent = spentByChildren()
    time.wall = (performance.now() - from) / 1000
    time.cpu = spent - before
  })
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const why = late ? `it did not end within ${FILE_MS / 1000} s` : `it ended with ${signal ?? code}`
      resolve({ ...said, time, why: code === 0 ? '' : why })
    })
  })
}

// tap's own limit of 30 s would end files that are merely slow on a busy machine.
const environment = (limit: number): NodeJS.ProcessEnv => ({
  ...process.env,
  NODE_COMPILE_CACHE: CACHE,
  TAP_TIMEOUT: String(limit / 1000),
})

/** A test file as a program of its own. */
export async function runAlone(file: string): Promise<Outcome> {
  const { stdout, stderr, why, time } = await runProgram(process.execPath, [file], environment(FILE_MS))
  const counts = tally(stdout)
  if (why === '') return { ...counts, time, report: '' }
  return { ...counts, failed: Math.max(1, counts.failed), time, report: `${stdout}${stderr}${file}: ${why}\n` }
}

/** A check that prints no TAP, such as a compiler. */
export async function runCheck(command: readonly [string, ...string[]]): Promise<Outcome> {
  const [program, ...args] = command
  const { stdout, stderr, why, time } = await runProgram(program, args, process.env)
  const failed = why === '' ? 0 : 1
  const report = failed === 0 ? '' : `${stdout}${stderr}${command.join(' ')}: ${why}\n`
  return { passed: 1 - failed, failed, skipped: [], time, report }
}

/**
 * Several files in one process. Those that it did not bring to their end are not among the outcomes, and neither is any
 * when it failed though no file did: that one of them leaves something behind is then to be found out one by one.
 */
export async function runTogether(files: readonly string[]): Promise<Map<string, Outcome>> {
  const { stdout, stderr, why } = await runProgram(process.execPath, [HOST, ...files], environment(0))
  const outcomes = new Map<string, Outcome>()
  let failures = 0
  for (const [file, { report, failed, time }] of sections(stdout)) {
    const counts = tally(report)
    if (failed) failures++
    outcomes.set(
      file,
      failed
        ? { ...counts, failed: Math.max(1, counts.failed), time, report: `${report}${stderr}${file}: it failed\n` }
        : { ...counts, time, report: '' },
    )
  }
  if (why !== '' && failures === 0 && outcomes.size === files.length) outcomes.clear()
  return outcomes
}

/** CPU seconds of all that has ended. */
export const allSpent = (): number => spentByChildren()
