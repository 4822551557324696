/** Whose doing it is when a request does not end well. */
import type { Reason } from '../../board/index.ts'

const BY_CLIENT: ReadonlySet<Reason> = new Set<Reason>([
  'bad-request',
  'too-large',
  'client-timeout',
  'refused',
  'limit-rate',
  'limit-body-rate',
])

/** For a request that we answer ourselves: `endedBy` of its record. */
export const blameOf = (reason: Reason): 'client' | 'us' | 'backend' =>
  BY_CLIENT.has(reason) ? 'client' : reason === 'no-backend' ? 'us' : 'backend'
