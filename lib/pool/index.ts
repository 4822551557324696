export { Backend, type BackendOptions, type Security, type SendProxy, type Tier } from './backend.ts'
export type { Affinity, Flow, Policy, PolicyFactory, PolicyTools } from './contracts.ts'
export { FULL, Pool, type PoolOptions } from './pool.ts'
export { Queue, type QueueLimits, type Waiter } from './queue.ts'
export {
  type Admits,
  acceptsOf,
  BACKEND_STATES,
  type BackendState,
  CAUSES,
  type Cause,
  type Facts,
  NO_FACTS,
  stateFromNumber,
  stateOf,
  stateToNumber,
  type Wish,
} from './state.ts'
