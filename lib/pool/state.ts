/** The one place where the state of a backend is decided: a pure function of what is known about it. */
import { ACCEPTS } from '../board/index.ts'

/** In the order of their numbers on the board. */
export const BACKEND_STATES = ['unknown', 'up', 'draining', 'down', 'maintenance'] as const
export type BackendState = (typeof BACKEND_STATES)[number]

/** Why a state changed. */
export const CAUSES = ['probe', 'passive', 'agent', 'operator', 'config', 'cluster', 'drain-ended'] as const
export type Cause = (typeof CAUSES)[number]

/** What somebody wants of a backend. */
export type Wish = 'ready' | 'drain' | 'maintenance'

export interface Facts {
  /** What the probes see. */
  readonly health: 'unknown' | 'passing' | 'failing'
  /** A probe passes and asks for a drain. */
  readonly probeDrain: boolean
  /** What the operator wants. */
  readonly admin: Wish
  /** What the backend's own agent says. */
  readonly agent: Wish | 'down'
  /** Flows failed on it, too many in a row. */
  readonly ejected: boolean
  /** The time of its drain is up: bound clients are not served any more. */
  readonly drained: boolean
  /** Does it serve flows? */
  readonly busy: boolean
}

/** What holds of a backend that nothing is known of. */
export const NO_FACTS: Facts = {
  health: 'unknown',
  probeDrain: false,
  admin: 'ready',
  agent: 'ready',
  ejected: false,
  drained: false,
  busy: false,
}

/**
 * | admin, agent         | health, ejected, agent down | busy     | state                  |
 * |----------------------|-----------------------------|----------|------------------------|
 * | one: maintenance     | any                         | yes / no | draining / maintenance |
 * | else                 | one of them bad             | yes / no | draining / down        |
 * | one: drain, or probe | else                        | any      | draining               |
 * | ready                | passing                     | any      | up                     |
 * | ready                | unknown                     | any      | unknown                |
 */
export function stateOf(facts: Facts): BackendState {
  const { health, admin, agent, busy } = facts
  if (admin === 'maintenance' || agent === 'maintenance') return busy ? 'draining' : 'maintenance'
  if (isBad(facts)) return busy ? 'draining' : 'down'
  if (admin === 'drain' || agent === 'drain' || facts.probeDrain) return 'draining'
  return health === 'passing' ? 'up' : 'unknown'
}

/** Which clients its service lets in: all, those that are bound to a backend, none. */
export type Admits = 'all' | 'bound' | 'none'

/** Which flows it takes, as bits of ACCEPTS. */
export function acceptsOf(facts: Facts, admits: Admits = 'all'): number {
  if (admits === 'none') return 0
  return admits === 'all' ? ownAcceptsOf(facts) : ownAcceptsOf(facts) & ACCEPTS.bound
}

function ownAcceptsOf(facts: Facts): number {
  const state = stateOf(facts)
  const panic = facts.admin === 'ready' && facts.agent !== 'maintenance' ? ACCEPTS.panic : 0
  if (state === 'up') return ACCEPTS.new | ACCEPTS.bound | panic
  const served = state === 'draining' && !isBad(facts) && !isOut(facts) && !facts.drained
  return (served ? ACCEPTS.bound : 0) | panic
}

const isBad = ({ health, agent, ejected }: Facts): boolean => health === 'failing' || agent === 'down' || ejected
const isOut = ({ admin, agent }: Facts): boolean => admin === 'maintenance' || agent === 'maintenance'

const INDEX = new Map(BACKEND_STATES.map((state, index) => [state, index]))
export const stateToNumber = (state: BackendState): number => INDEX.get(state) ?? 0
export const stateFromNumber = (index: number): BackendState => BACKEND_STATES[index] ?? 'unknown'
