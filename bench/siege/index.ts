/** The table of attacks. */
import { aborts } from './aborts.ts'
import type { Attack } from './contract.ts'
import { floods } from './floods.ts'
import { malformedRequests } from './malformed.ts'
import { slowHead, warmUp } from './slow-head.ts'
import { slowHttpTests } from './slowhttptest.ts'

export { startSink } from './aborts.ts'
export type { Attack, Finding, Siege } from './contract.ts'
export { RIVALS, type Rival, startRival } from './rival.ts'
export { startTarget } from './target.ts'
export { warmUp }
export const ATTACKS: readonly Attack[] = [slowHead, ...slowHttpTests, malformedRequests, aborts, ...floods]
