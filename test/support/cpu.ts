/** How long work takes, whatever else the machine does. */

/** CPU time of this thread, in milliseconds. */
export function cpuMs(work: () => void): number {
  const begun = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(begun)
  return (user + system) / 1000
}
