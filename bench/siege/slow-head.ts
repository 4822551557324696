/** Thousands of connections that send one byte of a head every five seconds. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { assertFileLimit } from '../memory.ts'
import { LOAD_CORE } from '../processes.ts'
import { besieged } from './besieged.ts'
import { type Attack, type Finding, promised, type Siege, told } from './contract.ts'

const CLIENTS = fileURLToPath(new URL('slow-clients.ts', import.meta.url))
const OPEN_S = 5 // in which all connections are opened
const EVERY_S = 5
const HEAD_S = 10 // the default of timeouts.head
const LATE_S = 1

interface Report {
  readonly answered: number
  readonly unanswered: number
  readonly shortestMs: number
  readonly longestMs: number
}

async function attack({ processes, target, connections, signal }: Siege): Promise<Finding[]> {
  const args = [CLIENTS, target.web, ...[connections, OPEN_S * 1000, EVERY_S * 1000].map(String)]
  const clients = await processes.start('slow clients', process.execPath, args, { core: LOAD_CORE, stdout: 'pipe' })
  const stop = () => void processes.stop(clients)
  signal.addEventListener('abort', stop)
  try {
    const [output] = await Promise.all([text(clients.stdout), once(clients.child, 'exit')])
    signal.throwIfAborted()
    if (clients.child.exitCode !== 0) throw new Error(`the slow clients failed: ${clients.complaint()}`)
    const { answered, unanswered, shortestMs, longestMs }: Report = JSON.parse(output)
    const all = answered === connections && unanswered === 0
    const lives = [shortestMs, longestMs].map((life) => (life / 1000).toFixed(1))
    const inTime = shortestMs >= HEAD_S * 1000 && longestMs <= (HEAD_S + LATE_S) * 1000
    return [
      promised('slow heads ended with 408', `${answered} of ${connections}`, 'all', all),
      promised('shortest and longest life', `${lives.join(' s, ')} s`, `${HEAD_S} s to ${HEAD_S + LATE_S} s`, inTime),
    ]
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** The first wave, which nothing is asked of: a runtime keeps some of the memory that so many connections took once. */
export async function warmUp(siege: Siege): Promise<Finding[]> {
  assertFileLimit(siege.connections)
  const { target, signal } = siege
  const cold = await target.atRest(signal)
  await attack(siege)
  const warm = await target.settled(cold, signal)
  target.restMemory = warm.memory
  const [first, then] = [cold, warm].map(({ memory }) => `${Math.round(memory / 2 ** 20)} MiB`)
  return [told(`memory before and after a first wave of ${siege.connections} slow heads`, `${first}, ${then}`)]
}

export const slowHead: Attack = {
  name: 'slow-head',
  about: `connections that send one byte of a head every ${EVERY_S} s`,
  missing: () => undefined,
  run: (siege) => besieged(siege, OPEN_S + HEAD_S, () => attack(siege)),
}
