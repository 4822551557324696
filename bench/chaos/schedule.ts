/** Draws what is done when: the same seed gives the same schedule. */
import { Random } from '../../fuzz/random.ts'
import { BACKENDS, type Kind, PLANS, type Plan, planOf } from './plan.ts'

export interface Blow {
  /** From 1, in order of `at`. */
  readonly n: number
  /** ms from the start of the run. */
  readonly at: number
  readonly kind: Kind
  readonly target: string
  readonly lasts: number
  /** For what else must be chosen. */
  readonly salt: number
}

const MEAN_GAP = 500 // ms between two blows
const MOST_BACKENDS = 2 // under a fault at once: the others can serve
const LEAD = 1000 // ms of calm at the beginning
const WHOLE = 'balancer'
const WHOLE_EVERY = 30_000 // ms between two ends of the whole process, the first after half of that
const TRIES = 20

/** A blow each `every` ms, from `from` on. */
export interface Beat {
  readonly kind: Kind
  /** Some of the plan's. */
  readonly targets: readonly string[]
  readonly every: number
  readonly from: number
  readonly lasts: number
}

const endOf = ({ at, lasts, kind }: Blow): number => at + lasts + planOf(kind).rest

const meets = (a: Blow, b: Blow): boolean => a.at < endOf(b) && b.at < endOf(a)

/** Whether it may come beside what there is. */
function fits(blow: Blow, blows: readonly Blow[]): boolean {
  const present = blows.filter((other) => meets(blow, other))
  // Nothing that is meant for a process reaches one that is just being started.
  if (blow.target === WHOLE ? present.length > 0 : present.some(({ target }) => target === WHOLE)) return false
  if (present.some(({ target, kind }) => target === blow.target || (kind === blow.kind && kind === 'thread-end')))
    return false
  if (!BACKENDS.includes(blow.target)) return true
  const hit = new Set(present.map(({ target }) => target).filter((target) => BACKENDS.includes(target)))
  return hit.add(blow.target).size <= MOST_BACKENDS
}

function drawBlow(random: Random, at: number, plan: Plan): Omit<Blow, 'n'> {
  const [shortest, longest] = plan.lasts
  const lasts = shortest + random.below(longest - shortest + 1)
  return { at, kind: plan.kind, target: random.pick(plan.targets), lasts, salt: random.next() }
}

const wheelOf = (plans: readonly Plan[]): Plan[] => plans.flatMap((plan) => Array<Plan>(plan.weight).fill(plan))
const numbered = (blows: readonly Omit<Blow, 'n'>[]): Blow[] =>
  [...blows].sort((a, b) => a.at - b.at).map((blow, i) => ({ ...blow, n: i + 1 }))

/** What fits into `ms`, with its rest. */
export function drawSchedule(seed: number, ms: number): Blow[] {
  const random = new Random(seed)
  const blows: Blow[] = []
  const add = (at: number, plan: Plan): boolean => {
    const blow = { n: 0, ...drawBlow(random, at, plan) }
    const good = endOf(blow) <= ms && fits(blow, blows)
    if (good) blows.push(blow)
    return good
  }
  // First what needs calm around it, which it would never find later.
  const whole = wheelOf(PLANS.filter(({ targets }) => targets.includes(WHOLE)))
  for (let at = WHOLE_EVERY >> 1; at < ms; at += WHOLE_EVERY) add(at, random.pick(whole))
  const wheel = wheelOf(PLANS.filter(({ targets }) => !targets.includes(WHOLE)))
  for (let at = LEAD; at < ms; at += 1 + random.below(2 * MEAN_GAP))
    for (let i = 0; i < TRIES && !add(at, random.pick(wheel)); i++);
  return numbered(blows)
}

/** What comes in its own time, whatever else there is: for runs that are about a certain load of faults. */
export function beatSchedule(seed: number, ms: number, beats: readonly Beat[]): Blow[] {
  const random = new Random(seed)
  const blows: Omit<Blow, 'n'>[] = []
  for (const { kind, targets, every, from, lasts } of beats) {
    const { rest } = planOf(kind)
    for (let at = from; at + lasts + rest <= ms; at += every)
      blows.push({ at, kind, lasts, target: random.pick(targets), salt: random.next() })
  }
  return numbered(blows)
}

/** Each kind once, one after the other. */
export function rowSchedule(seed: number, plans: readonly Plan[], lasts: number): Blow[] {
  const random = new Random(seed)
  const blows: Blow[] = []
  let at = LEAD
  for (const { kind, targets, rest } of plans) {
    const target = random.pick(targets)
    blows.push({ n: blows.length + 1, at, kind, target, lasts, salt: random.next() })
    at += lasts + rest
  }
  return blows
}
