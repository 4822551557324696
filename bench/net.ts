/** Ports that are free, and waiting for a port to answer. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { Started } from './processes.ts'

const READY_MS = 15_000
const POLL_MS = 20
const BELOW = [12_000, 32_000] as const // what the kernel gives out by itself: nobody gets one meanwhile

/** Ports of the loopback address that were free a moment ago, for programs that can't choose one themselves. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = randomInt(...BELOW)
    if (!ports.has(port) && (await isFree(port))) ports.add(port)
  }
  return [...ports]
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const bound = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  if (!(await bound)) return false
  await once(server.close(), 'close')
  return true
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Waits until a process accepts connections on all of the ports. */
export async function untilListening(started: Started, ports: readonly number[], signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (const port of ports) {
    while (!(await answers(port))) {
      started.assertRunning()
      if (performance.now() > deadline)
        throw new Error(`${started.name} did not listen on port ${port} within ${READY_MS / 1000} s`)
      await delay(POLL_MS, undefined, { signal })
    }
  }
}

/** The first line that a process prints; what follows is read and dropped. */
export async function firstLine(started: Started, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: started.stdout })
  const late = AbortSignal.timeout(READY_MS)
  try {
    // an interface that closes without a line aborts the wait, too
    const closed = new AbortController()
    lines.once('close', () => closed.abort())
    const [line] = await once(lines, 'line', { signal: AbortSignal.any([signal, late, closed.signal]) })
    return String(line)
  } catch (error) {
    signal.throwIfAborted()
    const what = late.aborted ? `printed nothing within ${READY_MS / 1000} s` : 'ended without printing a line'
    throw new Error(`${started.name} ${what}: ${started.complaint()}`, { cause: error })
  } finally {
    lines.close()
    started.stdout.resume()
  }
}
