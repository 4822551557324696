/** Lines of the Prometheus text format 0.0.4, for families whose label sets are many. */
import { BUCKETS } from '../board/index.ts'

export type SeriesType = 'counter' | 'gauge' | 'histogram'

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' }
const escaped = (value: string): string => value.replace(/[\\"\n]/g, (c) => ESCAPES[c] ?? c)

/** `service="shop",backend="b1"`, in the order given. */
export const labels = (pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',')

export const head = (name: string, help: string, type: SeriesType): string =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`

export const line = (name: string, labels: string, value: number): string => `${name}{${labels}} ${value}\n`

const BOUNDS = [...BUCKETS.map((bound) => `,le="${bound}"} `), ',le="+Inf"} ']

/**
 * A histogram's lines; none while nothing was observed, so that what is never used costs a scrape nothing.
 * @param counts per bucket, not cumulative; the last is above all bounds
 */
export function histogram(name: string, labels: string, counts: readonly number[], sum: number): string {
  let text = ''
  let count = 0
  const start = `${name}_bucket{${labels}`
  for (let i = 0; i < BOUNDS.length; i++) {
    count += counts[i] ?? 0
    text += `${start}${BOUNDS[i]}${count}\n`
  }
  return count === 0 ? '' : `${text}${line(`${name}_sum`, labels, sum)}${line(`${name}_count`, labels, count)}`
}
