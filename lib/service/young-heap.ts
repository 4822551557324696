/** Bounds the memory that V8 takes for what is new. */
import { setFlagsFromString } from 'node:v8'

const SEMI_MIB = 2

/**
 * MiB of a data thread for what is new, as V8 counts: three semi-spaces. What outlives a turn are connections, and few: with V8's own 48 a flood filled
 * it all, for good, and a collection stood in the way of everybody for 10 to 15 ms. A request costs the same with either.
 */
export const YOUNG_MIB = 3 * SEMI_MIB

/**
 * From now on this thread's does not grow, and data threads have theirs from their start. V8 doubles it whenever much outlives a collection, up to
 * 128 MiB, as each reload of a large configuration does, and shrinks it when all is collected, minutes later. A reload takes as long with 2 MiB.
 */
export function boundYoungHeap(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString(`--min-semi-space-size=${SEMI_MIB}`)
}
