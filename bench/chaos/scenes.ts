/** The table of what can be played: which faults, over which load. */
import type { Campaign } from './campaign.ts'
import { MISBEHAVIOUR_NAMES } from './misbehaviour.ts'
import { BACKENDS, DIRECT, planOf } from './plan.ts'
import { beatSchedule, drawSchedule, rowSchedule } from './schedule.ts'

export interface Scene {
  readonly name: string
  readonly seconds: number
  campaign(seed: number, seconds: number): Pick<Campaign, 'blows' | 'backends' | 'mixes'>
}

const MIXED: Campaign['mixes'] = [
  { rate: 90, clients: { h1: 6, 'h1-new': 3, tcp: 4, websocket: 4 } },
  { rate: 90, clients: { 'h1-tls': 3, 'h1-tls-new': 1, h2: 3, tls: 3, 'websocket-tls': 3 } },
]
const KILL_EVERY = 3000 // ms: down, found down, up again, found up again
const TAIL = 3000 // ms behind the last fault

const mixed: Scene = {
  name: 'mixed',
  seconds: 60,
  campaign: (seed, seconds) => ({
    blows: drawSchedule(seed, seconds * 1000),
    backends: BACKENDS,
    mixes: MIXED,
  }),
}

/** Each way in which a backend can break HTTP, in turn. */
const faults: Scene = {
  name: 'faults',
  seconds: 45,
  campaign: (seed, seconds) => {
    const plans = [...MISBEHAVIOUR_NAMES, 'relay-black-hole' as const].map(planOf)
    const blows = rowSchedule(seed, plans, 1500).filter(({ at }) => at + TAIL <= seconds * 1000)
    return { blows, backends: BACKENDS, mixes: MIXED }
  },
}

/** One of two backends is killed again and again, at 300 requests a second. */
const kills: Scene = {
  name: 'kills',
  seconds: 305,
  campaign: (seed, seconds) => ({
    blows: beatSchedule(seed, seconds * 1000, [
      { kind: 'backend-kill', targets: ['b0'], every: KILL_EVERY, from: 1000, lasts: 1000 },
    ]),
    backends: DIRECT,
    mixes: [{ rate: 300, clients: { h1: 16, 'h1-new': 8 } }],
  }),
}

export const SCENES: Readonly<Record<string, Scene>> = { mixed, faults, kills }
