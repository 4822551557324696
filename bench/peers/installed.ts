/** Finds programs of the system by asking for their version. */
import { spawnSync } from 'node:child_process'

/** The first match of `pattern` in what the program says of itself, or why there is none. */
export function findProgram(
  command: string,
  args: readonly string[],
  pattern: RegExp,
): { version: string } | { missing: string } {
  const run = spawnSync(command, args, { encoding: 'utf8' })
  if (run.error !== undefined) return { missing: `${command} is not installed` }
  const version = pattern.exec(`${run.stdout}${run.stderr}`)?.[1]
  return version === undefined ? { missing: `${command} does not tell its version` } : { version }
}
