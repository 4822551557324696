/** Backends to draw from, each as likely as its share. */
import type { Backend } from '../pool/index.ts'

export interface Urn {
  readonly backends: readonly Backend[]
  /** Running sums of the shares. */
  readonly sums: Float64Array
  readonly total: number
}

/** `shareOf` may answer 0: such a backend is never drawn while another one has a share. */
export function urnOf(backends: readonly Backend[], shareOf: (backend: Backend) => number): Urn {
  const sums = new Float64Array(backends.length)
  let total = 0
  for (const [i, backend] of backends.entries()) {
    total += shareOf(backend)
    sums[i] = total
  }
  return { backends, sums, total }
}

export const weightOf = (backend: Backend): number => backend.weight

/** Index of the first whose running sum is above `at`, or of the last. */
export function draw(sums: Float64Array, at: number): number {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sums[middle] as number) > at) high = middle
    else low = middle + 1
  }
  return low
}
