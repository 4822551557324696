/**
 * The way down of `systemctl restart`: another process comes in the running one's place, and the way up finds it (adopted.ts).
 * The unit needs `KillMode=process`, or systemd would end that process with the first one.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const JOB_MS = 5000

/** Is systemd about to start `unit` again, whose stop this is a part of? False too where systemd can't be asked. */
export async function isRestarting(unit: string): Promise<boolean> {
  const args = ['list-jobs', '--plain', '--no-legend', unit]
  const { stdout } = await promisify(execFile)('systemctl', args, { timeout: JOB_MS }).catch(() => ({ stdout: '' }))
  return jobIn(stdout, unit) === 'restart'
}

/** The job of a unit in what `systemctl list-jobs` prints: number, unit, job, state. */
export function jobIn(listed: string, unit: string): string | undefined {
  const rows = listed.split('\n').map((line) => line.trim().split(/\s+/))
  return rows.find(([, name]) => name === unit)?.[2]
}
