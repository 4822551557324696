/** The exec probe: a program of the operator's that ends with 0; without a shell, bounded in time and output. */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import type { HealthConfig } from '../config/index.ts'
import { type Address, BalancerError, codeOf, messageOf } from '../core/index.ts'
import { type Probe, ProbeFailure, type ProbeNames, type ProbeResult } from './contract.ts'

const MAX_OUTPUT = 4096 // kept, of which a line is shown; what comes behind it is read and dropped
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** @throws BalancerError for a program that can't be run */
export function createExecProbe({ exec }: HealthConfig, names: ProbeNames): Probe {
  const [program = '', ...args] = exec.command ?? []
  try {
    accessSync(program, constants.X_OK)
  } catch (error) {
    const why = codeOf(error) === 'ENOENT' ? 'it does not exist' : messageOf(error)
    throw new BalancerError('CONFIG_INVALID', `health.exec.command: ${program} can't be run: ${why}`, { cause: error })
  }
  return { check: (target, signal) => run(program, args, environmentOf(target, names), signal) }
}

/** Nothing of our own environment, which may hold secrets. */
const environmentOf = ({ host, port }: Address, { service, backend }: ProbeNames): NodeJS.ProcessEnv => ({
  PATH: SEARCH_PATH,
  LANG: 'C.UTF-8',
  EVENKEEL_SERVICE: service,
  EVENKEEL_BACKEND_NAME: backend,
  EVENKEEL_BACKEND_HOST: host,
  EVENKEEL_BACKEND_PORT: String(port),
})

function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return new Promise((pass, fail) => {
    if (signal.aborted) {
      fail(new ProbeFailure('timeout', 'aborted before the start'))
      return
    }
    // A process group of its own, so that what it starts ends with it.
    const child = spawn(program, args, { env, cwd: '/', detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (text: string): void => {
      if (output.length < MAX_OUTPUT) output += text.slice(0, MAX_OUTPUT - output.length)
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    let ended = false
    const end = (): void => {
      signal.removeEventListener('abort', onAbort)
      if (!ended && child.pid !== undefined) killGroup(child.pid)
      ended = true
    }
    const onAbort = (): void => {
      end()
      child.stdout.destroy()
      child.stderr.destroy()
      fail(new ProbeFailure('timeout', 'the program did not end in time'))
    }
    signal.addEventListener('abort', onAbort)
    child.once('error', (error) => {
      end()
      fail(new ProbeFailure('other', `the program could not be started: ${codeOf(error) || messageOf(error)}`, error))
    })
    // What it started is ended first: it may hold the output open.
    child.once('exit', end)
    child.once('close', (code, killer) => {
      const [line = ''] = output.trimStart().split('\n', 1)
      const said = line === '' ? '' : `: ${line}`
      if (code === 0) pass({ detail: `exit 0${said}` })
      else fail(new ProbeFailure('status', `${code === null ? `ended by ${killer}` : `exit ${code}`}${said}`))
    })
  })
}

/** Where nobody is left, or only what another user runs, there is nothing that we could do. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (codeOf(error) !== 'ESRCH' && codeOf(error) !== 'EPERM') throw error
  }
}
