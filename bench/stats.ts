/** The statistics of a bench: medians, quartiles, ratios paired by round. */

export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** The value below which a share `p` of the numbers lies, interpolated between neighbours. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const position = (sorted.length - 1) * p
  const below = sorted[Math.floor(position)]
  const above = sorted[Math.ceil(position)]
  if (below === undefined || above === undefined) throw new RangeError('no values')
  return below + (above - below) * (position - Math.floor(position))
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Median with the smallest and the largest value. */
export const spreadOf = (values: readonly number[]): Spread => ({
  median: median(values),
  low: quantile(values, 0),
  high: quantile(values, 1),
})

/** A figure a round. */
type Series = readonly (number | undefined)[]

/**
 * Combines two series round by round, so that what slows the machine for a while weighs on both sides.
 * Rounds that one side lacks (undefined) are left out; undefined when none is left.
 */
function paired(left: Series, right: Series, combine: (a: number, b: number) => number): Spread | undefined {
  const combined = left.flatMap((a, round) => {
    const b = right[round]
    return a === undefined || b === undefined ? [] : [combine(a, b)]
  })
  return combined.length === 0 ? undefined : spreadOf(combined)
}

export const pairedRatio = (numerators: Series, denominators: Series): Spread | undefined =>
  paired(numerators, denominators, (a, b) => a / b)

export const pairedDifference = (values: Series, from: Series): Spread | undefined =>
  paired(values, from, (a, b) => a - b)
