/** Runs the command `evenkeel` as a user does. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Teardown } from '../support/backend.ts'
import { within } from '../support/eventually.ts'

export const CLI = fileURLToPath(new URL('../../lib/cli/evenkeel.js', import.meta.url))

export interface Command {
  readonly child: ChildProcess
  /** What it wrote so far. */
  stdout(): string
  stderr(): string
  readonly ended: Promise<Ended>
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  /** Default: an empty folder. */
  readonly cwd?: string
  readonly env?: Record<string, string>
}

/** Starts it with no terminal; it is killed when the test ends. */
export async function start(t: Teardown, args: readonly string[], options: CommandOptions = {}): Promise<Command> {
  return spawned(t, process.execPath, [CLI, ...args], { ...options, cwd: options.cwd ?? (await folder(t)) })
}

/** Starts it on a terminal of its own, 100 columns wide and 24 lines high; what it shows is in `stdout`. */
export async function startOnTerminal(t: Teardown, args: readonly string[]): Promise<Command> {
  const quoted = [process.execPath, CLI, ...args].map((text) => `'${text}'`).join(' ')
  const shell = `stty cols 100 rows 24; exec ${quoted}`
  return spawned(t, 'script', ['--quiet', '--return', '--flush', '--command', shell, '/dev/null'], {
    cwd: await folder(t),
    env: { SHELL: '/bin/sh', TERM: 'xterm' },
  })
}

/** Runs it to its end. */
export async function run(t: Teardown, args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const { ended } = await start(t, args, options)
  return within(ended, `the end of evenkeel ${args.join(' ')}`, 15_000)
}

export async function folder(t: Teardown): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-cli-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return dir
}

function spawned(t: Teardown, file: string, args: readonly string[], { cwd, env }: CommandOptions): Command {
  const { NO_COLOR: _color, FORCE_COLOR: _force, EVENKEEL_ADMIN_TOKEN: _token, ...inherited } = process.env
  const child = spawn(file, args, { cwd, env: { ...inherited, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...output }))
  return { child, stdout: () => output.stdout, stderr: () => output.stderr, ended }
}
