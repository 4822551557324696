/** The one place where the state of a backend is decided: a pure function of what is known about it. */

/** In the order of their numbers on the board. */
export const BACKEND_STATES = ['unknown', 'up', 'draining', 'down', 'maintenance'] as const
export type BackendState = (typeof BACKEND_STATES)[number]

/** Why a state changed. */
export const CAUSES = ['probe', 'passive', 'agent', 'operator', 'config', 'cluster', 'drain-ended'] as const
export type Cause = (typeof CAUSES)[number]

export interface Facts {
  /** What the probes see. */
  readonly health: 'unknown' | 'passing' | 'failing'
  /** What the operator wants. */
  readonly admin: 'ready' | 'drain' | 'maintenance'
  /** Does it serve flows? */
  readonly busy: boolean
}

/**
 * | admin       | health  | busy     | state               |
 * |-------------|---------|----------|---------------------|
 * | ready       | passing | any      | up                  |
 * | ready       | unknown | any      | unknown             |
 * | ready       | failing | yes / no | draining / down     |
 * | drain       | failing | yes / no | draining / down     |
 * | drain       | else    | any      | draining            |
 * | maintenance | any     | yes / no | draining / maintenance |
 */
export function stateOf(facts: Facts): BackendState {
  if (facts.admin === 'maintenance') return facts.busy ? 'draining' : 'maintenance'
  if (facts.health === 'failing') return facts.busy ? 'draining' : 'down'
  if (facts.admin === 'drain') return 'draining'
  return facts.health === 'passing' ? 'up' : 'unknown'
}

/** May a backend in this state get new flows? */
export const takesNewFlows = (state: BackendState): boolean => state === 'up'

const INDEX = new Map(BACKEND_STATES.map((state, index) => [state, index]))
export const stateToNumber = (state: BackendState): number => INDEX.get(state) ?? 0
export const stateFromNumber = (index: number): BackendState => BACKEND_STATES[index] ?? 'unknown'
