/** Floods of frames and of handshakes, next to a normal client of the same data thread. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { LOAD_CORE } from '../processes.ts'
import { besieged } from './besieged.ts'
import { type Attack, type Finding, promised, type Siege, told } from './contract.ts'
import { FLOODS, type Flood } from './flood-frames.ts'

const CLIENT = fileURLToPath(new URL('flood-client.ts', import.meta.url))
const FLOOD_S = 8

interface Report {
  readonly sent: number
  readonly connections: number
  readonly ended: number
  readonly answered: number
}

const SPARE = 8 // connections that the end of the flood met before us

async function flood({ processes, target, signal }: Siege, name: string, { service }: Flood): Promise<Finding[]> {
  const args = [CLIENT, target[service], name, String(FLOOD_S)]
  const client = await processes.start('flood', process.execPath, args, { core: LOAD_CORE, stdout: 'pipe' })
  const stop = () => void processes.stop(client)
  signal.addEventListener('abort', stop)
  try {
    const [output] = await Promise.all([text(client.stdout), once(client.child, 'exit')])
    signal.throwIfAborted()
    if (client.child.exitCode !== 0) throw new Error(`the flood failed: ${client.complaint()}`)
    const { sent, connections, ended, answered }: Report = JSON.parse(output)
    const perSecond = `${Math.round(sent / FLOOD_S)} a second over ${connections} connections`
    if (service === 'tls')
      return [
        told('sent', perSecond),
        promised('handshakes that we answered', `${Math.round(answered / FLOOD_S)} a second`, 'some', answered > 0),
      ]
    return [
      told('sent', perSecond),
      promised('connections that we ended', `${ended} of ${connections}`, 'nearly all', ended >= connections - SPARE),
      promised('and told so by GOAWAY', `${answered} of ${connections}`, 'nearly all', answered >= connections - SPARE),
    ]
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

export const floods: readonly Attack[] = Object.entries(FLOODS).map(([name, each]) => ({
  name: `flood-${name}`,
  about: each.about,
  missing: () => undefined,
  run: (siege) => besieged(siege, FLOOD_S, () => flood(siege, name, each)),
}))
