/** Measures what an idle keep-alive client connection costs a balancer in memory. */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readMemory } from './cpu.ts'
import { runLoad } from './load.ts'
import type { Running } from './peers/index.ts'
import { LOAD_CORE, type Processes } from './processes.ts'
import { SCENARIOS } from './scenarios.ts'

const CLIENTS = fileURLToPath(new URL('idle-clients.ts', import.meta.url))
const POLL_MS = 500
const STEADY = 0.002 // two readings in a row that differ by less than this share
const SETTLE_MS = 10_000
const SPARE_FILES = 2000 // a process needs files for backends, listeners and its runtime too

/** Refuses a number of connections that this process's limit on open files doesn't allow. */
export function assertFileLimit(connections: number, limits = readFileSync('/proc/self/limits', 'utf8')): void {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? '0'
  if (hard !== 'unlimited' && Number(hard) < connections + SPARE_FILES)
    throw new Error(`${connections} connections need ulimit -n of ${connections + SPARE_FILES}; it is ${hard}`)
}

/** Resident memory once it stands still, or after a deadline: runtimes give memory back late. */
async function settledMemory(pid: number, signal: AbortSignal): Promise<number> {
  const deadline = performance.now() + SETTLE_MS
  let last = readMemory(pid)
  let steady = 0
  while (steady < 4 && performance.now() < deadline) {
    await delay(POLL_MS, undefined, { signal })
    const next = readMemory(pid)
    steady = Math.abs(next - last) < last * STEADY ? steady + 1 : 0
    last = next
  }
  return last
}

/** Bytes of resident memory that each of `connections` idle connections adds to a balancer that is warm. */
export async function measureMemory(
  processes: Processes,
  running: Running,
  held: 'http' | 'https',
  connections: number,
  warmup: number,
  signal: AbortSignal,
): Promise<number> {
  const address = running.listeners[held]
  const scenario = SCENARIOS.find((candidate) => candidate.name === `${held}-1k`)
  if (address === undefined || scenario === undefined)
    throw new Error(`${running.process.name} has no ${held} listener`)
  if (warmup > 0) await runLoad(processes, address, scenario, warmup, signal)
  const before = await settledMemory(running.process.pid, signal)
  const [host = '', port = ''] = address.split(':')
  const args = [CLIENTS, host, port, String(connections), held]
  const clients = await processes.start('clients', process.execPath, args, {
    core: LOAD_CORE,
    stdin: 'pipe',
    stdout: 'pipe',
  })
  const stop = () => void processes.stop(clients)
  signal.addEventListener('abort', stop)
  try {
    const lines = createInterface({ input: clients.stdout })[Symbol.asyncIterator]()
    const expectAll = async (when: string) => {
      const held = (await lines.next()).value
      running.process.assertRunning()
      if (Number(held) !== connections)
        throw new Error(`${running.process.name} held ${held ?? 'no'} connections ${when}: ${clients.complaint()}`)
    }
    await expectAll('after they were opened')
    const after = await settledMemory(running.process.pid, signal)
    clients.child.stdin?.end()
    await expectAll('at the end')
    return (after - before) / connections
  } finally {
    signal.removeEventListener('abort', stop)
    await processes.stop(clients)
  }
}
