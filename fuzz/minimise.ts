/** Makes an input smaller while it keeps doing what it does. */

const MOST_TRIES = 2000

/** @param still does a smaller one still do it? */
export function minimise(input: Buffer, still: (input: Buffer) => boolean): Buffer {
  let best = input
  let tries = 0
  for (let size = Math.max(1, best.length >> 1); size >= 1 && tries < MOST_TRIES; size = size > 1 ? size >> 1 : 0) {
    for (let at = 0; at < best.length && tries < MOST_TRIES; tries++) {
      const less = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
      if (still(less)) best = less
      else at += size
    }
  }
  return best
}
