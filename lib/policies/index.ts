/** The table of balancing policies: a new one is one file and one row here. */
import type { Policy, PolicyFactory, PolicyTools } from '../pool/index.ts'
import { type HashOptions, hash } from './hash.ts'
import { leastConnections } from './least-connections.ts'
import { leastLoad } from './least-load.ts'
import { leastTime } from './least-time.ts'
import { randomTwo } from './random-two.ts'
import { roundRobin } from './round-robin.ts'

/** What the configuration of a service says of its policy. */
export type PolicyOptions = HashOptions

type Make = (tools: PolicyTools, options: PolicyOptions) => Policy

export const policies: ReadonlyMap<string, Make> = new Map<string, Make>([
  ['round-robin', roundRobin],
  ['least-connections', leastConnections],
  ['least-load', leastLoad],
  ['least-time', leastTime],
  ['random-two', randomTwo],
  ['hash', hash],
])

/** Makes the policy with this name; undefined: there is none. */
export function policyFactory(name: string, options: PolicyOptions): PolicyFactory | undefined {
  const make = policies.get(name)
  return make === undefined ? undefined : (tools) => make(tools, options)
}

export { smoothSchedule } from './round-robin.ts'
