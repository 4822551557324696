/** What may be done to the balancer and its backends: how often, to whom, how long, and which failures it explains. */
import { MISBEHAVIOUR_NAMES, type MisbehaviourName } from './misbehaviour.ts'

/**
 * How a request or stream ended, as its client saw it: all of it right; looking whole without being so; cut behind its
 * head; ended before; never connected; nothing for too long; not begun as its peer says; or the status of an error.
 */
export type Outcome = 'whole' | 'wrong' | 'cut' | 'none' | 'refused' | 'late' | 'unprocessed' | `${number}`

/** What a request is to a proxy: one that may be sent again, one that may not, or a stream without an end of its own. */
export type Nature = 'safe' | 'unsafe' | 'stream'

export type Excuses = Readonly<Record<Nature, readonly Outcome[]>>

/** What a fault is drawn by. */
export interface Plan {
  readonly kind: Kind
  /** Among all others. */
  readonly weight: number
  readonly targets: readonly string[]
  /** Shortest and longest time in ms; 0: it has no end of its own. */
  readonly lasts: readonly [number, number]
  /** ms after its end in which nothing else is done to the target, and in which it still explains a failure. */
  readonly rest: number
  /** Failures of these are its doing, while it lasts and rests. */
  readonly excuses: Excuses
  /** It strikes at once: what is begun when it has been done has no excuse. */
  readonly sudden?: true
  /** It is between clients and balancer: only those behind its target suffer, and nothing is executed twice because of it. */
  readonly clientSide?: true
}

/** What a relay may do to what flows through it, before a backend, and between clients and balancer. */
export const RELAY_MODES = ['delay', 'trickle', 'reset', 'half-close', 'truncate', 'black-hole'] as const
export const FRONT_MODES = [...RELAY_MODES, 'stall'] as const
export type RelayKind = `relay-${(typeof RELAY_MODES)[number]}`
export type FrontKind = `front-${(typeof FRONT_MODES)[number]}`
export type VerbKind = 'verb-drainstop' | 'verb-suspend' | 'verb-stop' | 'verb-weight'
export type Kind =
  | 'backend-kill'
  | 'backend-stop'
  | MisbehaviourName
  | RelayKind
  | FrontKind
  | VerbKind
  | 'thread-end'
  | 'process-kill'
  | 'process-restart'
  | 'certificates'
  | 'reload'
  | 'reload-refused'
  | 'disk-full'
  | 'packet-loss'

/** Backends that the balancer reaches directly, and those behind a relay. */
export const DIRECT = ['b0', 'b1']
export const RELAYED = ['b2', 'b3']
export const BACKENDS = [...DIRECT, ...RELAYED]
export const SERVICES = ['web', 'secure', 'tcp', 'tls'] as const
export type Service = (typeof SERVICES)[number]
/** The relay that some clients of a service go by. */
export const frontOf = (service: Service): string => `front-${service}`
export const FRONTS = SERVICES.map(frontOf)
export const THREADS = 2

const NOTHING: Excuses = { safe: [], unsafe: [], stream: [] }
const both = (...outcomes: Outcome[]): Excuses => ({ safe: outcomes, unsafe: outcomes, stream: [] })
const all = (...outcomes: Outcome[]): Excuses => ({ safe: outcomes, unsafe: outcomes, stream: outcomes })
const START = 4000 // of a balancer, with its backends found up
const EXCHANGE = 5000 // the files are looked at every second, and read once they rest
const RESENT = 5000 // until what TCP sends again and again has come, or was given up
const SAVED = 12_000 // until what could not be written is: a restart before that forgets what operators did
const SETTLE = 1500 // until probes have seen it, and what was under way has ended

const misbehaviour = (kind: MisbehaviourName): Plan => {
  // One that sends nothing is found by its time; a body that had begun can only be cut.
  const outcomes: Outcome[] = kind === 'too-long' ? [] : ['502', '504', 'cut']
  return { kind, weight: 2, targets: DIRECT, lasts: [300, 1500], rest: SETTLE, excuses: both(...outcomes) }
}

const relay = (kind: RelayKind, excuses: Excuses): Plan => ({
  kind,
  weight: 4,
  targets: RELAYED,
  lasts: [300, 2000],
  rest: SETTLE,
  excuses,
})

const front = (kind: FrontKind, excuses: Excuses, longest = 2000): Plan => ({
  kind,
  weight: 3,
  targets: FRONTS,
  lasts: [300, longest],
  rest: SETTLE,
  excuses,
  clientSide: true,
})

const verb = (kind: VerbKind, excuses: Excuses): Plan => ({
  kind,
  weight: 3,
  targets: BACKENDS,
  lasts: [300, 2000],
  rest: SETTLE,
  excuses,
})

const BROKEN = all('502', 'cut')
/** All connections of a thread or process end; HTTP/2 can say of a request that it was not begun. */
const ENDED = all('none', 'cut', 'refused', 'unprocessed')
/** Its client's connection broke: the balancer can't tell it anything. */
const LOST = all('none', 'cut')

export const PLANS: readonly Plan[] = [
  {
    kind: 'backend-kill',
    weight: 10,
    targets: DIRECT,
    lasts: [200, 1500],
    rest: SETTLE,
    // What may be sent again is; only an answer that had begun is cut.
    excuses: { safe: ['cut'], unsafe: ['cut', '502'], stream: ['cut', '502'] },
    sudden: true,
  },
  {
    kind: 'backend-stop',
    weight: 5,
    targets: DIRECT,
    lasts: [300, 3000],
    rest: SETTLE,
    excuses: all('504', '502', 'cut'),
  },
  ...MISBEHAVIOUR_NAMES.map(misbehaviour),
  relay('relay-delay', NOTHING),
  relay('relay-trickle', NOTHING),
  relay('relay-reset', BROKEN),
  relay('relay-half-close', BROKEN),
  relay('relay-truncate', BROKEN),
  relay('relay-black-hole', all('502', '504', 'cut')),
  front('front-delay', NOTHING),
  front('front-trickle', NOTHING),
  front('front-stall', NOTHING, 1200), // shorter than what any side waits for
  front('front-reset', LOST),
  front('front-half-close', LOST),
  front('front-truncate', LOST),
  front('front-black-hole', LOST, 6000), // longer than what the balancer waits for
  {
    kind: 'packet-loss',
    weight: 6,
    targets: BACKENDS,
    lasts: [500, 3000],
    rest: RESENT,
    excuses: all('502', '503', '504', 'cut'),
  },
  verb('verb-weight', NOTHING),
  verb('verb-drainstop', { safe: [], unsafe: [], stream: ['cut'] }),
  verb('verb-suspend', all('502', '503', 'cut', 'none')),
  verb('verb-stop', all('502', '503', 'cut', 'none')),
  {
    kind: 'thread-end',
    weight: 3,
    targets: Array.from({ length: THREADS }, (_, n) => `t${n}`),
    lasts: [0, 0],
    rest: SETTLE,
    excuses: ENDED,
  },
  { kind: 'process-kill', weight: 1, targets: ['balancer'], lasts: [0, 0], rest: START, excuses: ENDED },
  { kind: 'process-restart', weight: 1, targets: ['balancer'], lasts: [0, 0], rest: START, excuses: ENDED },
  { kind: 'certificates', weight: 4, targets: ['certificates'], lasts: [0, 0], rest: EXCHANGE, excuses: NOTHING },
  { kind: 'reload', weight: 8, targets: ['configuration'], lasts: [0, 0], rest: SETTLE, excuses: NOTHING },
  { kind: 'reload-refused', weight: 3, targets: ['configuration'], lasts: [0, 0], rest: SETTLE, excuses: NOTHING },
  { kind: 'disk-full', weight: 2, targets: ['disk'], lasts: [500, 2000], rest: SAVED, excuses: NOTHING },
]

const byKind = new Map(PLANS.map((plan) => [plan.kind, plan]))

export function planOf(kind: string): Plan {
  const plan = byKind.get(kind as Kind)
  if (plan === undefined) throw new Error(`no fault ${kind}`)
  return plan
}
