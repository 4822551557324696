/**
 * Becomes the user that the configuration names, before anything is listened on: this process is replaced by one that never was
 * root, and keeps no capability but that of binding ports below 1024.
 *
 * Why not after the ports are bound: a data thread that is replaced binds them again, and a reload binds others. And what the user may
 * not read, a key or the state file, is found out now and not at the first renewal.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import type { Config } from '../config/index.ts'
import { CommandFailure } from './failure.ts'

const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv']
const NET_BIND_SERVICE = 1n << 10n
const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/ // the schema lets nothing else in; here it keeps options out of arguments

export interface Identity {
  readonly uid: number
  readonly gid: number
}

/** @throws CommandFailure 2 for names that nobody has */
export function identityOf(user: string, group: string | undefined): Identity {
  const uid = idOf('user', ['passwd', user], 2)
  const gid = group === undefined ? idOf('user', ['passwd', user], 3) : idOf('group', ['group', group], 2)
  return { uid, gid }
}

/** `getent` knows users of directories too. */
function idOf(what: string, args: readonly [string, string], column: number): number {
  const [, name] = args
  let line = ''
  try {
    if (NAME.test(name)) line = execFileSync('getent', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    // nobody has it
  }
  const id = Number(line.split(':')[column] || Number.NaN)
  if (!Number.isInteger(id))
    throw new CommandFailure(2, `appliance.${what}: there is no ${what} ${name} on this machine`)
  return id
}

/** The arguments of setpriv: supplementary groups, group and user in this order, then capabilities. */
export function setprivArguments({ uid, gid }: Identity, bindable: boolean): string[] {
  const kept = bindable ? '-all,+net_bind_service' : '-all'
  return [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--init-groups',
    `--inh-caps=${kept}`,
    ...(bindable ? [`--ambient-caps=${kept}`] : []),
    `--bounding-set=${kept}`,
    '--no-new-privs',
  ]
}

/**
 * Does not return where it was started as root and a user is configured: the command then begins anew as that user.
 * @throws CommandFailure when that is not possible
 */
export function becomeConfigured({ appliance: { user, group } }: Config): void {
  if (user === undefined || process.getuid === undefined) return
  const identity = identityOf(user, group)
  const own = process.getuid()
  if (own === identity.uid) return
  if (own !== 0)
    throw new CommandFailure(1, `appliance.user: only root can become ${user}; start it as root, or as ${user}`)
  const setpriv = SETPRIV.find((path) => existsSync(path))
  if (setpriv === undefined || typeof process.execve !== 'function') {
    const what = setpriv === undefined ? 'setpriv (Debian: util-linux)' : 'Node.js 22.15 or later'
    throw new CommandFailure(1, `appliance.user needs ${what}; or start it as ${user}, and leave the option out`)
  }
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const args = [setpriv, ...setprivArguments(identity, mayBind()), '--', ...command]
  process.execve(setpriv, args, process.env)
}

/** A container may have taken the capability away. */
function mayBind(): boolean {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'
  return (BigInt(`0x${bounding}`) & NET_BIND_SERVICE) !== 0n
}
