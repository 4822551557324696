/** Floods of frames and of handshakes, next to a normal client of the same data thread, and what they do to it where they are for somebody else. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { LoadResult } from '../load.ts'
import { firstLine } from '../net.ts'
import { BALANCER_CORE, LOAD_CORE } from '../processes.ts'
import { ask, besieged, times } from './besieged.ts'
import { type Attack, type Finding, promised, type Siege, told } from './contract.ts'
import { FLOODS, type Flood } from './flood-frames.ts'

const CLIENT = fileURLToPath(new URL('flood-client.ts', import.meta.url))
const PIT = fileURLToPath(new URL('pit-process.ts', import.meta.url))
const FLOOD_S = 8
const QUIET_S = 4

/**
 * What floods runs when nobody else of its core wants to, or it would measure how the kernel shares a core: the normal client and the
 * backends are on the same one. Its priority (`comeBehind`) counts among the groups of sessions, this one within its own and
 * wherever there are no such groups.
 */
const IDLE = ['-i', '0', process.execPath] as const

interface Report {
  readonly sent: number
  readonly connections: number
  readonly ended: number
  readonly answered: number
}

const SPARE = 8 // connections that the end of the flood met before us

/** Floods an address. */
async function pour({ processes, signal }: Siege, name: string, address: string): Promise<Report> {
  const args = [...IDLE, CLIENT, address, name, String(FLOOD_S)]
  const client = await processes.start('flood', 'chrt', args, { core: LOAD_CORE, stdout: 'pipe' })
  const stop = () => void processes.stop(client)
  signal.addEventListener('abort', stop)
  try {
    const [output] = await Promise.all([text(client.stdout), once(client.child, 'exit')])
    signal.throwIfAborted()
    if (client.child.exitCode !== 0) throw new Error(`the flood failed: ${client.complaint()}`)
    return JSON.parse(output)
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

const perSecond = ({ sent, connections }: Report): string =>
  `${Math.round(sent / FLOOD_S)} a second over ${connections} connections`

async function flood(siege: Siege, name: string, { service }: Flood): Promise<Finding[]> {
  const report = await pour(siege, name, siege.target[service])
  const { connections, ended, answered } = report
  if (service === 'tls')
    return [
      told('sent', perSecond(report)),
      promised('handshakes that we answered', `${Math.round(answered / FLOOD_S)} a second`, 'some', answered > 0),
    ]
  return [
    told('sent', perSecond(report)),
    promised('connections that we ended', `${ended} of ${connections}`, 'nearly all', ended >= connections - SPARE),
    promised('and told so by GOAWAY', `${answered} of ${connections}`, 'nearly all', answered >= connections - SPARE),
  ]
}

/** A flood of somebody, and the normal client of somebody, at the same time. */
async function both(siege: Siege, name: string, flooded: string, asked: string): Promise<[Report, LoadResult]> {
  return Promise.all([pour(siege, name, flooded), ask(siege, FLOOD_S, asked)])
}

/** The rig's own share: the same flood goes to a process that throws it away, the normal client asks us as before. */
async function control(siege: Siege, name: string): Promise<[Report, LoadResult]> {
  const { processes, target, signal } = siege
  const pit = await processes.start('pit', 'chrt', [...IDLE, PIT], { core: BALANCER_CORE, stdout: 'pipe' })
  try {
    return await both(siege, name, await firstLine(pit, signal), target.web)
  } finally {
    await processes.stop(pit)
  }
}

/** The same flood and the same normal client with another balancer. */
async function beside(siege: Siege, name: string, { service }: Flood): Promise<Finding[]> {
  const { rival } = siege
  if (rival === null) return []
  const quiet = await ask(siege, QUIET_S, rival.web)
  const [report, load] = await both(siege, name, rival[service], rival.web)
  const { ended, connections } = report
  return [
    told(`${rival.name}: its normal client, quiet p50 / p99`, times(quiet)),
    told(`${rival.name}: its normal client, p50 / p99`, times(load)),
    told(`${rival.name}: sent, ended by it`, `${perSecond(report)}, ${ended} of ${connections}`),
  ]
}

export const floods: readonly Attack[] = Object.entries(FLOODS).map(([name, each]) => ({
  name: `flood-${name}`,
  about: each.about,
  missing: () => undefined,
  run: async (siege) => {
    const [report, load] = await control(siege, name)
    return [
      told('normal client, p50 / p99, while the flood goes elsewhere', `${times(load)} (${perSecond(report)})`),
      ...(await besieged(siege, FLOOD_S, () => flood(siege, name, each), load)),
      ...(await beside(siege, name, each)),
    ]
  },
}))
