/** The table of balancing policies: a new one is one file and one row here. */
import type { PolicyFactory } from '../pool/index.ts'
import { leastConnections } from './least-connections.ts'
import { randomTwo } from './random-two.ts'
import { roundRobin } from './round-robin.ts'

export const policies: ReadonlyMap<string, PolicyFactory> = new Map<string, PolicyFactory>([
  ['round-robin', roundRobin],
  ['least-connections', leastConnections],
  ['random-two', randomTwo],
])
export { smoothSchedule } from './round-robin.ts'
