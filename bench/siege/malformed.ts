/** Malformed requests at full speed, next to wrk. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { problemsOf, runLoad } from '../load.ts'
import { LOAD_CORE } from '../processes.ts'
import { SCENARIOS } from '../scenarios.ts'
import { besieged } from './besieged.ts'
import { type Attack, type Finding, promised, type Siege, told } from './contract.ts'

const CLIENT = fileURLToPath(new URL('malformed-client.ts', import.meta.url))

interface Report {
  readonly sent: number
  /** How often a request got another answer than it should, by both. */
  readonly wrong: Readonly<Record<string, number>>
}

async function malformed({ processes, target, seconds, signal }: Siege): Promise<Report> {
  const args = [CLIENT, target.web, String(seconds)]
  const client = await processes.start('malformed', process.execPath, args, { core: LOAD_CORE, stdout: 'pipe' })
  const stop = () => void processes.stop(client)
  signal.addEventListener('abort', stop)
  try {
    const [output] = await Promise.all([text(client.stdout), once(client.child, 'exit')])
    signal.throwIfAborted()
    if (client.child.exitCode !== 0) throw new Error(`the malformed requests failed: ${client.complaint()}`)
    return JSON.parse(output)
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

async function attack(siege: Siege): Promise<Finding[]> {
  const { processes, target, seconds, signal } = siege
  const [scenario] = SCENARIOS
  if (scenario === undefined) throw new Error('there is no scenario')
  const [report, load] = await Promise.all([
    malformed(siege),
    runLoad(processes, target.web, scenario, seconds, signal),
  ])
  const wrong = Object.entries(report.wrong).map(([what, times]) => `${times} × ${what}`)
  const problems = problemsOf(load)
  const perSecond = (requests: number) => `${Math.round(requests / seconds)} a second`
  return [
    told('malformed requests', perSecond(report.sent)),
    promised('of them with a wrong status', wrong.join('; ') || 'none', 'none', wrong.length === 0 && report.sent > 0),
    told("wrk's requests", `${perSecond(load.requests)}, p99 ${load.p99Ms.toFixed(2)} ms`),
    promised("wrk's errors", problems.join(', ') || 'none', 'none', problems.length === 0),
  ]
}

export const malformedRequests: Attack = {
  name: 'malformed',
  about: 'malformed requests at full speed, each on a connection of its own, next to wrk',
  missing: () => undefined,
  run: (siege) => besieged(siege, undefined, () => attack(siege)),
}
