/** Loaded into a balancer under test by `faults.ts`: looks for a file with the name of this thread, and does what it says. */
import { execFileSync } from 'node:child_process'
import { openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isMainThread, workerData } from 'node:worker_threads'
import { BackendConnection } from '../../lib/datapaths/http/backend-connection.ts'
import { H1Session } from '../../lib/datapaths/http/h1.ts'
import { Relay } from '../../lib/datapaths/tcp/relay.ts'

export type Fault =
  /** The event loop stands still for good, in a loop, or for 5 s. */
  | 'spin'
  | 'stand'
  /** For 4 s each turn of the event loop takes 200 ms. */
  | 'labour'
  /** It waits in a system call that nothing ends. */
  | 'native'
  /** Its heap fills up. */
  | 'fill'
  | 'throw'
  | 'reject'
  /** Whoever sends or is answered `planted-fault` meets an error. */
  | 'flows'
  /** The deadlines of client connections and of relays meet one. */
  | 'timers'
  /** Writes down the environment and what it was started with. */
  | 'tell'

const LOOK_MS = 20
const dir = fileURLToPath(new URL(import.meta.url).searchParams.get('dir') ?? '')
const thread = isMainThread ? 'control' : (workerData as { thread?: number } | null)?.thread
const file = `${dir}/${thread}`

function spin(): never {
  for (;;);
}

/** The event loop stands still, at no cost for whoever else is on this machine. */
function stand(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

function labour(until: number): void {
  if (performance.now() > until) return
  stand(200)
  setImmediate(labour, until)
}

function throwOn(session: { onBytes(bytes: Buffer, length: number): void }): void {
  const { onBytes } = session
  session.onBytes = function (bytes, length) {
    if (bytes.subarray(0, length).includes('planted-fault')) throw new TypeError('a planted fault')
    onBytes.call(this, bytes, length)
  }
}

function throwLate(owner: { onDeadline(): void }): void {
  owner.onDeadline = () => {
    throw new TypeError('a planted fault')
  }
}

function happen(fault: string): void {
  const kept: object[] = []
  if (fault === 'spin') spin()
  else if (fault === 'stand') stand(5000)
  else if (fault === 'labour') labour(performance.now() + 4000)
  else if (fault === 'native') {
    execFileSync('mkfifo', [`${dir}/fifo`])
    openSync(`${dir}/fifo`, 'r') // waits for a writer
  } else if (fault === 'fill') for (;;) kept.push({ row: kept.length, text: [kept.length] })
  else if (fault === 'throw') throw new TypeError('a planted fault')
  else if (fault === 'reject') void Promise.reject(new TypeError('a planted fault'))
  else if (fault === 'flows') for (const each of [H1Session.prototype, BackendConnection.prototype]) throwOn(each)
  else if (fault === 'timers') for (const each of [H1Session.prototype, Relay.prototype]) throwLate(each)
  else if (fault === 'tell') writeFileSync(`${file}.told`, JSON.stringify({ env: process.env, workerData }))
}

function look(): void {
  let fault: string
  try {
    fault = readFileSync(file, 'utf8')
  } catch {
    return // there is none
  }
  rmSync(file)
  happen(fault)
}

if (thread !== undefined) setInterval(look, LOOK_MS).unref()
