/** Reads the CPU time of a process tree from /proc, in nanoseconds. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const TICK_NS = 10_000_000 // USER_HZ is 100 on every Linux port that Node runs on
// Two ticks of rounding for each of two readings: below that the two sources agree.
const ROUNDING_NS = 4 * TICK_NS

const POLL_MS = 20
const QUIET_NS = 200_000 // 1 % of a core over one poll
const SETTLE_MS = 1000

/** CPU time at one moment, from the two sources that the kernel keeps. */
export interface CpuReading {
  /** Nanoseconds of each living thread, by `pid/tid`. */
  readonly threads: ReadonlyMap<string, number>
  /** User and system time of the processes and their reaped children, threads that ended included; 10 ms steps. */
  readonly processNs: number
}

/** CPU time between two readings. */
export interface CpuUse {
  readonly ns: number
  /** `threads`: exact; `process`: threads ended in between, so that the coarse source tells more. */
  readonly from: 'threads' | 'process'
}

/** First field of /proc/PID/task/TID/schedstat: nanoseconds on a CPU. */
export function parseSchedstat(text: string): number {
  const ns = Number(text.split(' ', 1)[0])
  if (text === '' || !Number.isFinite(ns)) throw new Error(`not a schedstat: ${JSON.stringify(text)}`)
  return ns
}

/** The fields of /proc/PID/stat that count here. The command's name may hold spaces and parentheses. */
export function parseStat(text: string): { parent: number; ticks: number } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const parent = Number(fields[1])
  // utime, stime, cutime, cstime are fields 14 to 17 of proc(5); the rest starts at field 3
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  if (fields.length < 15 || !Number.isFinite(parent + ticks)) throw new Error(`not a stat: ${JSON.stringify(text)}`)
  return { parent, ticks }
}

/** A process and all its descendants, given the parent of each process. */
export function descendants(root: number, parents: ReadonlyMap<number, number>): number[] {
  const tree = [root]
  for (const member of tree) {
    for (const [pid, parent] of parents) if (parent === member) tree.push(pid)
  }
  return tree
}

/** CPU time spent between two readings of the same tree. */
export function cpuBetween(before: CpuReading, after: CpuReading): CpuUse {
  let threads = 0
  for (const [id, ns] of after.threads) threads += ns - (before.threads.get(id) ?? 0)
  const processNs = after.processNs - before.processNs
  return processNs > threads + ROUNDING_NS ? { ns: processNs, from: 'process' } : { ns: threads, from: 'threads' }
}

/** `read`'s answer, or undefined for a process or thread that ended in the meantime. */
function ifAlive<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined
    throw error
  }
}

/** The process and its descendants, now. */
export function readTree(root: number): number[] {
  const parents = new Map<number, number>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const stat = ifAlive(() => parseStat(readFileSync(`/proc/${entry}/stat`, 'utf8')))
    if (stat !== undefined) parents.set(Number(entry), stat.parent)
  }
  return descendants(root, parents)
}

export function readCpu(root: number): CpuReading {
  const threads = new Map<string, number>()
  let ticks = 0
  for (const pid of readTree(root)) {
    ticks += ifAlive(() => parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')))?.ticks ?? 0
    for (const tid of ifAlive(() => readdirSync(`/proc/${pid}/task`)) ?? []) {
      const ns = ifAlive(() => parseSchedstat(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8')))
      if (ns !== undefined) threads.set(`${pid}/${tid}`, ns)
    }
  }
  return { threads, processNs: ticks * TICK_NS }
}

/** A reading taken once the tree is quiet, so that work left over from a run is counted to that run. */
export async function readSettledCpu(root: number, signal: AbortSignal): Promise<CpuReading> {
  const deadline = performance.now() + SETTLE_MS
  let last = readCpu(root)
  for (;;) {
    await delay(POLL_MS, undefined, { signal })
    const next = readCpu(root)
    if (cpuBetween(last, next).ns < QUIET_NS || performance.now() > deadline) return next
    last = next
  }
}

/** Resident memory of a process tree in bytes. */
export const readMemory = (root: number): number => memoryOf(readTree(root))

/** The same of processes that are known: to look for them costs milliseconds, which a measurement beside it would see. */
export function memoryOf(pids: readonly number[]): number {
  let kib = 0
  for (const pid of pids) {
    const status = ifAlive(() => readFileSync(`/proc/${pid}/status`, 'utf8')) ?? ''
    kib += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0)
  }
  return kib * 1024
}
