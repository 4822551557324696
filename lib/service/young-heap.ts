/** Bounds the memory that V8 takes for what is new. */
import { setFlagsFromString } from 'node:v8'

/**
 * MiB of a data thread for what is new, as V8 counts: three semi-spaces. What outlives a turn are connections, and few: with V8's own 48 a flood filled
 * it all, for good, and a collection stood in the way of everybody for 10 to 15 ms. A request costs the same with either.
 */
export const YOUNG_MIB = 6

const GROWTH = 2 // V8's own factor

let bounded = false
let starting = 0

/**
 * From now on this thread's does not grow, but while others start. V8 doubles it whenever much outlives a collection, up to 128 MiB, as each reload of
 * a large configuration does, and shrinks it when all is collected, minutes later. A reload takes as long with 2 MiB.
 */
export function boundYoungHeap(): void {
  bounded = true
  set()
}

/**
 * To be called before a thread starts, and its answer once it has: with a flag that differs V8 takes nothing that node holds compiled (core/garbage.ts),
 * and the young heap of the new thread would stay as small as it begins.
 */
export function threadStarts(): () => void {
  starting++
  set()
  return () => {
    starting--
    set()
  }
}

/** The flag is the whole process's. */
const set = (): void => setFlagsFromString(`--semi-space-growth-factor=${bounded && starting === 0 ? 1 : GROWTH}`)
