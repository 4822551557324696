/** What is to be started so that a process of the present installation comes in this one's place. Pure. */
import { delimiter, join, resolve } from 'node:path'

export interface Program {
  readonly file: string
  readonly args: readonly string[]
}

export interface Invocation {
  /** As this process was called: its runtime, by a path or a name in PATH. */
  readonly argv0: string
  /** Where its runtime was, every link resolved. */
  readonly execPath: string
  readonly execArgv: readonly string[]
  /** Runtime, script, arguments. */
  readonly argv: readonly string[]
  readonly cwd: string
  readonly path: string
  readonly exists: (file: string) => boolean
}

/**
 * The same call again. Links are followed anew, so that what was put in the place of runtime and script is started.
 * @returns a sentence when there is nothing to be started
 */
export function programOf(by: Invocation): Program | string {
  const { execPath, execArgv, argv, cwd, exists } = by
  const script = argv[1] ?? ''
  if (!exists(script)) return `${script} is not there any more`
  const named = runtimeOf(by)
  const file = [named, execPath].find((each) => each !== null && exists(each))
  if (file === undefined || file === null) return `the runtime ${execPath} is not there any more`
  if (!exists(cwd)) return `the folder that it was started in, ${cwd}, is not there any more`
  return { file, args: [...execArgv, script, ...argv.slice(2)] }
}

function runtimeOf({ argv0, cwd, path, exists }: Invocation): string | null {
  if (argv0.includes('/')) return resolve(cwd, argv0)
  return (
    path
      .split(delimiter)
      .map((folder) => join(folder, argv0))
      .find(exists) ?? null
  )
}
