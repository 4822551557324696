/** How each fault of the plan is brought about and taken back. */
import { MISBEHAVIOUR_NAMES } from './misbehaviour.ts'
import { lose, loseNoMore, noLoss } from './network.ts'
import { FRONT_MODES, type FrontKind, type Kind, RELAY_MODES, type RelayKind } from './plan.ts'
import type { Direction, Spoiling } from './relay.ts'
import type { Blow } from './schedule.ts'
import type { Stage } from './stage.ts'

export interface Deed {
  /** Why it can't be done here; null: it can. Absent: it can anywhere. */
  missing?(stage: Stage): string | null
  begin(stage: Stage, blow: Blow): Promise<void> | void
  end(stage: Stage, blow: Blow): Promise<void> | void
}

const nothing = (): void => undefined
const MOST_LOST = 20 // of a hundred packets
const MOST_BYTES = 20_000 // of an answer or more of them, before a relay cuts it

const after = (salt: number): number => salt % MOST_BYTES
const SPOILINGS: Record<Spoiling['mode'], (salt: number) => Spoiling> = {
  pass: () => ({ mode: 'pass' }),
  delay: (salt) => ({ mode: 'delay', ms: 20 + (salt % 200) }),
  trickle: (salt) => ({ mode: 'trickle', bytes: 1000 + (salt % 5000) }),
  stall: () => ({ mode: 'stall' }),
  reset: (salt) => ({ mode: 'reset', after: after(salt) }),
  'half-close': (salt) => ({ mode: 'half-close', after: after(salt) }),
  truncate: (salt) => ({ mode: 'truncate', after: after(salt) }),
  'black-hole': () => ({ mode: 'black-hole' }),
}
const DIRECTIONS: readonly Direction[] = ['answers', 'requests', 'both']

const RELAY_KINDS = RELAY_MODES.map((mode) => `relay-${mode}` as const)
const FRONT_KINDS = FRONT_MODES.map((mode) => `front-${mode}` as const)

/** Of answers, before backends; before the balancer of what its clients say too. */
function spoil(kind: RelayKind | FrontKind): Deed {
  const mode = kind.slice(kind.indexOf('-') + 1) as Spoiling['mode']
  const directions = kind.startsWith('front-') ? DIRECTIONS : DIRECTIONS.slice(0, 1)
  return {
    begin: (stage, { target, salt }) => {
      const of = directions[(salt >>> 16) % directions.length] ?? 'answers'
      stage.spoil(target, { ...SPOILINGS[mode](salt), of })
    },
    end: (stage, { target }) => stage.spoil(target, { mode: 'pass' }),
  }
}

const misbehaviours = Object.fromEntries(
  MISBEHAVIOUR_NAMES.map((name): [string, Deed] => [
    name,
    {
      begin: (stage, { target }) => stage.misbehave(target, name),
      end: (stage, { target }) => stage.misbehave(target, null),
    },
  ]),
)

const DEEDS: Readonly<Record<string, Deed>> = {
  ...misbehaviours,
  ...Object.fromEntries([...RELAY_KINDS, ...FRONT_KINDS].map((kind) => [kind, spoil(kind)])),
  'backend-kill': {
    begin: (stage, { target }) => stage.kill(target),
    end: (stage, { target }) => stage.revive(target),
  },
  'backend-stop': {
    begin: (stage, { target }) => stage.signal(target, 'SIGSTOP'),
    end: (stage, { target }) => stage.signal(target, 'SIGCONT'),
  },
  'verb-weight': {
    begin: (stage, { target, salt }) => stage.orderBackend(target, 'weight', { weight: 1 + (salt % 10) }),
    end: (stage, { target }) => stage.orderBackend(target, 'weight', { weight: 1 }),
  },
  'verb-drainstop': {
    begin: (stage, { target }) => stage.orderBackend(target, 'drainstop', { timeout: '1s' }),
    end: (stage, { target }) => stage.orderBackend(target, 'start'),
  },
  'verb-suspend': {
    begin: (stage, { target }) => stage.orderBackend(target, 'suspend'),
    end: async (stage, { target }) => {
      await stage.orderBackend(target, 'resume')
      await stage.orderBackend(target, 'start')
    },
  },
  'verb-stop': {
    begin: (stage, { target }) => stage.orderBackend(target, 'stop'),
    end: (stage, { target }) => stage.orderBackend(target, 'start'),
  },
  'thread-end': { begin: (stage, { target }) => stage.endThread(target.slice(1)), end: nothing },
  'process-kill': {
    begin: async (stage) => void (await stage.stopBalancer('SIGKILL')),
    end: (stage) => stage.startBalancer(),
  },
  'process-restart': {
    begin: async (stage) => {
      const { code, signal } = await stage.stopBalancer('SIGTERM')
      // 4: it drained until its deadline, and streams were left.
      if (code !== 0 && code !== 4) throw new Error(`asked to stop, the balancer ended with ${signal ?? code}`)
    },
    end: (stage) => stage.startBalancer(),
  },
  reload: { begin: (stage, { salt }) => stage.reload(salt), end: nothing },
  'reload-refused': { begin: (stage, { salt }) => stage.reloadInVain(salt), end: nothing },
  certificates: { begin: (stage) => stage.exchangeCertificate(), end: nothing },
  'packet-loss': {
    missing: noLoss,
    begin: (stage, { target, salt }) => lose(target, stage.portsOf(target), 1 + (salt % MOST_LOST)),
    end: (_stage, { target }) => loseNoMore(target),
  },
  'disk-full': {
    missing: (stage) => stage.disk.missing,
    begin: (stage) => stage.disk.fill(),
    end: (stage) => stage.disk.clear(),
  },
}

export function deedOf(kind: Kind): Deed {
  const deed = DEEDS[kind]
  if (deed === undefined) throw new Error(`nobody knows how to do ${kind}`)
  return deed
}
