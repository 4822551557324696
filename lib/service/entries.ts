/** What the configuration says of each backend, as far as the state file goes by it. */
import type { Config } from '../config/index.ts'
import { membersOf, poolsOf } from './pools.ts'
import { type Entry, entryOf, probedOf } from './saved.ts'

/** Every backend's part of the configuration, to compare it with what it was. */
export function entriesOf(config: Config): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const [name, service] of Object.entries(config.virtualServices))
    for (const [, pool] of poolsOf(service))
      for (const { backend, health } of membersOf(pool))
        entries.set(`${name}/${backend.name}`, { config: entryOf(backend), probed: probedOf(backend, health) })
  return entries
}
