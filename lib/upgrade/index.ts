/** One process comes in another's place: `Upgrades` is the side of the one before, `Predecessor` that of the other. */
export { type Left, Predecessor } from './predecessor.ts'
export type { Successor } from './successor.ts'
export { Upgrades } from './upgrades.ts'
