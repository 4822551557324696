/**
 * What operators start and stop, in NLB's words: two facts, and one function that turns them into the sentence of `query`
 * and of every verb's answer. Pure; the same for the appliance, a service and a backend.
 */

/** Does it take flows? */
export const OPERATIONS = ['started', 'draining', 'stopped'] as const
export type Operations = (typeof OPERATIONS)[number]

/** May operators start and stop it? */
export const CONTROLS = ['active', 'suspended'] as const
export type Control = (typeof CONTROLS)[number]

export const VERBS = ['start', 'stop', 'drainstop', 'suspend', 'resume'] as const
export type Verb = (typeof VERBS)[number]

export interface Standing {
  readonly operations: Operations
  /** Suspended: operations are stopped. */
  readonly control: Control
}

export const STARTED: Standing = { operations: 'started', control: 'active' }

/** What there is to say of a standing beside itself. */
export interface Circumstances {
  /** Flows under way. */
  readonly flows: number
  /** ms until a drain's deadline. */
  readonly leftMs: number
  /** Clients are bound to it: a drain without flows waits for those that come back. */
  readonly binds: boolean
  /** Flows that were cut just now; null: none could be. */
  readonly cut: number | null
}

/** What a verb does. */
export interface Decision {
  readonly verb: Verb
  readonly from: Standing
  readonly to: Standing
  /** The standing changes. */
  readonly changed: boolean
  /** Control is suspended: nothing is done. */
  readonly refused: boolean
  /** The exit code of the command. */
  readonly exit: 0 | 5
}

/**
 * | verb      | started  | draining | stopped | suspended          |
 * |-----------|----------|----------|---------|--------------------|
 * | start     | –        | started  | started | refused            |
 * | drainstop | draining | –        | –       | refused            |
 * | stop      | stopped  | stopped  | –       | refused            |
 * | suspend   | stopped, control suspended (all three) | –         |
 * | resume    | –        | –        | –       | control active     |
 */
export function decide(from: Standing, verb: Verb): Decision {
  const to = standingAfter(from, verb)
  const changed = to !== null && (to.operations !== from.operations || to.control !== from.control)
  return { verb, from, to: to ?? from, changed, refused: to === null, exit: to === null ? 5 : 0 }
}

/** null: refused. */
function standingAfter(from: Standing, verb: Verb): Standing | null {
  const { operations, control } = from
  if (verb === 'suspend') return { operations: 'stopped', control: 'suspended' }
  if (verb === 'resume') return { operations, control: 'active' }
  if (control === 'suspended') return null
  if (verb === 'start') return STARTED
  if (verb === 'stop') return { operations: 'stopped', control }
  return operations === 'started' ? { operations: 'draining', control } : from
}

/** The sentence of a standing, as `query` shows it. */
export function describe({ operations, control }: Standing, { flows, leftMs, binds, cut }: Circumstances): string {
  const suspended = control === 'suspended' ? '; control is suspended' : ''
  const ended = cut === null ? '' : `, ${count(cut)} cut`
  const until =
    binds && flows === 0
      ? `bound clients may come back for ${seconds(leftMs)}`
      : `cut in ${seconds(leftMs)} at the latest`
  const left = operations === 'draining' ? `, ${count(flows)} left, ${until}` : ''
  return `${operations}${left}${ended}${suspended}`
}

/** The sentence of a verb's answer: that of the standing to which it led, and what the verb did. */
export function answer({ verb, from, to, refused, changed }: Decision, now: Circumstances): string {
  if (refused) return `refused: control is suspended`
  const standing = describe(to, now)
  if (!changed) {
    if (verb === 'resume') return `control is not suspended; ${standing}`
    return verb === 'suspend' ? `already suspended: ${standing}` : `already ${standing}`
  }
  if (verb === 'resume') return `control is active; operations stay ${standing} until start`
  if (from.operations !== 'draining') return standing
  if (verb === 'start') return `${standing} again, drain cancelled`
  return standing.replace('stopped', 'stopped, drain cut short')
}

const count = (n: number): string => `${n} ${n === 1 ? 'flow' : 'flows'}`
const seconds = (ms: number): string => `${Math.max(0, Math.ceil(ms / 1000))} s`
