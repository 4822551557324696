/** How long work takes, whatever else the machine does. */
import { existsSync, readFileSync } from 'node:fs'

/** CPU time of this thread, in milliseconds. */
export function cpuMs(work: () => void): number {
  const begun = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(begun)
  return (user + system) / 1000
}

const TICKS = 100 // a second, of /proc

/** CPU seconds of whatever has ended under this process. */
export function spentByChildren(): number {
  if (!existsSync('/proc/self/stat')) return 0
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / TICKS
}
