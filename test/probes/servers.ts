/** Real servers as ordinary processes of a test: on free ports, in a folder of their own, ended with the test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import type { Address } from '../../lib/core/index.ts'
import { refusedPort } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'

const PATHS = [
  '/usr/sbin',
  '/usr/bin',
  '/usr/lib/postfix/sbin',
  '/usr/lib/postgresql/15/bin',
  '/usr/local/bin',
  '/sbin',
]

/** The path of a program, or undefined. */
export const programOf = (name: string): string | undefined =>
  [...(process.env['PATH'] ?? '').split(delimiter), ...PATHS]
    .map((dir) => join(dir, name))
    .find((path) => existsSync(path))

/** For the option `skip`: false, or what is missing. */
export const needs = (...names: string[]): string | false => {
  const missing = names.filter((name) => (name === 'root' ? process.getuid?.() !== 0 : programOf(name) === undefined))
  return missing.length === 0 ? false : `needs ${missing.join(', ')}`
}

/** A short path, because Unix sockets below it have short names; open to the users that servers run as. */
export function folderOf(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'ek-probe-'))
  chmodSync(dir, 0o755)
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** For a server that takes its time to start: nobody is given it meanwhile. */
export const freePort = refusedPort

export const at = (port: number): Address => ({ host: '127.0.0.1', port })

interface ServerOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Waits until it accepts connections here, at all of them. */
  readonly port?: number | readonly number[]
  readonly uid?: number
  readonly gid?: number
  readonly env?: Readonly<Record<string, string>>
}

export interface Server {
  /** What it has said so far. */
  log(): string
  /** Ends it, if it still runs. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

export async function startServer(t: Test, options: ServerOptions): Promise<Server> {
  const { program, args, port, uid, gid, env = {} } = options
  const child: ChildProcess = spawn(programOf(program) ?? program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
    env: { PATH: PATHS.join(delimiter), LANG: 'C.UTF-8', ...env },
    ...(uid === undefined ? null : { uid }),
    ...(gid === undefined ? null : { gid }),
  })
  let said = ''
  const collect = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-20_000)
  }
  child.stdout?.on('data', collect)
  child.stderr?.on('data', collect)
  const ended = once(child, 'exit')
  const running = (): boolean => child.exitCode === null && child.signalCode === null
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (!running()) return
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
    await ended
    clearTimeout(timer)
  }
  t.teardown(() => stop())
  if (port !== undefined)
    await eventually(
      `${program} accepts`,
      async () => {
        if (!running()) throw new Error(`${program} ended: ${said}`)
        const each = await Promise.all([port].flat().map(accepts))
        return each.every(Boolean)
      },
      20_000,
    ).catch((error: unknown) => {
      throw new Error(`${program}: ${said}`, { cause: error })
    })
  return { log: () => said, stop }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.end()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** Runs a program to its end. */
export function run(
  program: string,
  args: readonly string[],
  options: { input?: string; uid?: number; gid?: number } = {},
): string {
  const { status, stdout, stderr, error } = spawnSync(programOf(program) ?? program, args, {
    encoding: 'utf8',
    cwd: '/',
    env: { PATH: PATHS.join(delimiter), LANG: 'C.UTF-8' },
    ...options,
  })
  if (status !== 0) throw new Error(`${program} failed: ${stderr}${stdout}`, { cause: error })
  return stdout
}
