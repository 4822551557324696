/** What `query` says of changes of the configuration. Pure: views in, lines out. */
import type { StatusView } from '../admin/index.ts'
import { compact } from './durations.ts'
import type { Paint } from './paint.ts'

/** Services and backends that are no longer configured and still have flows. */
export function departingLines(departing: StatusView['departing'], paint: Paint, now = Date.now()): string[] {
  if (departing.length === 0) return []
  const lines = departing.map(({ service, backend, flows, deadline }) => {
    const name = backend === null ? `service ${service}` : `${service}/${backend}`
    const left = compact(Math.max(0, Date.parse(deadline) - now))
    return paint('yellow', `${name} is no longer configured: ${flows} flows left, cut in ${left} at the latest`)
  })
  return ['', ...lines]
}
