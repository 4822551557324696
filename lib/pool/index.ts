export { Backend } from './backend.ts'
export type { Flow, Policy, PolicyFactory, PolicyTools } from './contracts.ts'
export { Pool } from './pool.ts'
export {
  BACKEND_STATES,
  type BackendState,
  CAUSES,
  type Cause,
  type Facts,
  stateFromNumber,
  stateOf,
  stateToNumber,
  takesNewFlows,
} from './state.ts'
