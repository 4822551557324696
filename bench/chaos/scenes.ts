/** The table of what can be played: which faults, over which load. */
import type { Campaign } from './campaign.ts'
import { MISBEHAVIOUR_NAMES } from './misbehaviour.ts'
import { BACKENDS, DIRECT, planOf } from './plan.ts'
import { beatSchedule, drawSchedule, rowSchedule } from './schedule.ts'

export interface Scene {
  readonly name: string
  readonly seconds: number
  /** Clients come at half the pace that they reach without faults and pauses. */
  readonly calibrated?: true
  campaign(seed: number, seconds: number): Pick<Campaign, 'blows' | 'backends' | 'balance' | 'mixes' | 'mostLost'>
}

const MIXED: Campaign['mixes'] = [
  { rate: 90, clients: { h1: 6, 'h1-new': 3, tcp: 4, websocket: 4 } },
  { rate: 90, clients: { 'h1-tls': 3, 'h1-tls-new': 1, h2: 3, tls: 3, wss: 3 } },
  { rate: 60, clients: { h1: 2, 'h1-tls': 2, h2: 2, tcp: 2, tls: 2, websocket: 2, wss: 2 }, relayed: true },
]
const KILL_EVERY = 2000 // ms: down, found down, up again, found up again
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
  seconds: 204, // 100 kills
  campaign: (seed, seconds) => ({
    blows: beatSchedule(seed, seconds * 1000, [
      { kind: 'backend-kill', targets: ['b0'], every: KILL_EVERY, from: 1000, lasts: 700 },
    ]),
    backends: DIRECT,
    // A process that is killed takes a while to go (4 to 80 ms were seen), in which its kernel takes what nobody will answer.
    // Who counts what is under way sends it no more than what is under way on the other one; who takes turns, half of all.
    balance: 'least-connections',
    mostLost: 1,
    mixes: [{ rate: 300, clients: { h1: 16, 'h1-new': 8 } }],
  }),
}

/** Minutes of everything that an appliance lives through in months. */
const soak: Scene = {
  name: 'soak',
  seconds: 600,
  calibrated: true,
  campaign: (seed, seconds) => ({
    blows: beatSchedule(seed, seconds * 1000, [
      { kind: 'reload', targets: ['configuration'], every: 2000, from: 1000, lasts: 0 },
      { kind: 'backend-kill', targets: DIRECT, every: 5000, from: 2500, lasts: 1000 },
      { kind: 'certificates', targets: ['certificates'], every: 10_000, from: 4000, lasts: 0 },
      { kind: 'thread-end', targets: ['t0', 't1'], every: 60_000, from: 30_000, lasts: 0 },
    ]),
    backends: BACKENDS,
    mixes: MIXED,
  }),
}

export const SCENES: Readonly<Record<string, Scene>> = { mixed, faults, kills, soak }
