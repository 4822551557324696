export { ActiveCounts, ActiveSum } from './active.ts'
export { Bindings, type BindingTable } from './bindings.ts'
export { factsOf, packBindings, type TableFacts, unpackBindings } from './bindings-copy.ts'
export { MAX_SCOPES, newBindings } from './bindings-layout.ts'
export { Board, type Decision } from './board.ts'
export {
  ACCEPTS,
  BackendCell,
  ListenerCell,
  PoolCell,
  ServiceCell,
  ThreadCell,
  WEIGHT_UNIT,
} from './cells.ts'
export { Clients, type ClientTable, type Pace, paceOf, REFUSED, sharedTime, UNLIMITED } from './clients.ts'
export {
  AFFINITY_RESULTS,
  type AffinityResult,
  BACKEND,
  BUCKETS,
  CODE_CLASSES,
  HANDSHAKE_FAILURES,
  HANDSHAKES,
  type HandshakeFailure,
  HTTP2_ERRORS,
  HTTP2_RESETS,
  LISTENER,
  OVERLOADS,
  type Overload,
  REASONS,
  RETRY_REASONS,
  type Reason,
  type RetryReason,
  SERVICE,
} from './columns.ts'
export type { Digest } from './keyed-hash.ts'
export { MAX_ROWS, type RowKind } from './layout.ts'
export { RowBook, type RowKey } from './row-book.ts'
