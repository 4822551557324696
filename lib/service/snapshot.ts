/** What of the running services is to survive a restart. */
import type { RunningService } from './blueprint.ts'
import type { Operator } from './operator.ts'
import type { SavedBackend, Snapshot } from './saved.ts'

export function snapshotOf(operator: Operator, running: ReadonlyMap<string, RunningService>): Omit<Snapshot, 'at'> {
  const { appliance, services, backends } = operator
  const touched = [...services].filter(([, { last }]) => last !== null)
  const rows: Record<string, SavedBackend> = {}
  for (const { name, trackers, outliers } of running.values()) {
    const ejections = new Map(outliers.flatMap((watch) => [...watch.saved()]))
    for (const tracker of trackers) {
      const key = `${name}/${tracker.name}`
      const ejection = ejections.get(tracker.name)
      const subject = backends.get(key)
      rows[key] = {
        ...tracker.saved(),
        ...(subject !== undefined && subject.last !== null ? { standing: subject.saved } : {}),
        ...(ejection === undefined ? {} : { ejection }),
      }
    }
  }
  return {
    ...(appliance.last === null ? {} : { appliance: appliance.saved }),
    services: Object.fromEntries(touched.map(([name, subject]) => [name, subject.saved])),
    backends: rows,
  }
}
