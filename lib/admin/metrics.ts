/** Shows the control thread to the telemetry, which knows nothing of it. */
import { OVERLOADS } from '../board/index.ts'
import { formatAddress } from '../core/index.ts'
import { BACKEND_STATES } from '../pool/index.ts'
import { type Manager, type Reloads, type RunningService, Utilisation } from '../service/index.ts'
import { Exposition, type ProcessSource, type ServiceSource } from '../telemetry/index.ts'

/** Made when it is first asked for: a balancer that nobody scrapes need not load prom-client. */
export function expositionOf(manager: Manager, reloads: Reloads, version: string): () => Promise<Exposition> {
  const control = new Utilisation()
  const process: ProcessSource = {
    version,
    configuredAt: () => reloads.inForce.at,
    reloads: () => reloads.counts,
    threads: () =>
      (manager.threads?.status() ?? []).map(({ thread, deaths, faults, state, held }) => ({
        thread,
        deaths,
        faults,
        serving: state === 'running',
        held,
        delay: manager.board.pulse(thread).delay,
        turn: manager.board.pulse(thread).turn,
      })),
    mishaps: () => manager.mishaps.count,
    orders: () => manager.security.orders.counts,
    overload: () => OVERLOADS.map((reason) => [reason, manager.overload.includes(reason)] as const),
    *utilisation() {
      yield ['control', control.read(performance.now())]
      for (const [thread, value] of (manager.threads?.utilisation() ?? []).entries()) yield [String(thread), value]
    },
  }
  const services = function* (): Generator<ServiceSource> {
    for (const service of manager.services.values()) yield sourceOf(service, manager)
  }
  let made: Promise<Exposition> | undefined
  return () => {
    made ??= Exposition.create({ board: manager.board, states: BACKEND_STATES, services }, process)
    return made
  }
}

const sourceOf = (service: RunningService, manager: Manager): ServiceSource => {
  const { name, view, trackers, certificates } = service
  return {
    name,
    row: view.row,
    protocol: view.protocol,
    listeners: view.listeners.map(({ row, host, port }) => ({ row, name: formatAddress(host, port) })),
    pools: view.pools,
    affinityEntries: manager.affinityEntriesOf(service),
    backends: trackers,
    certificates: (certificates?.certificates ?? []).map(({ credentials, problem }) => ({
      name: credentials.names[0] ?? '',
      notAfter: credentials.notAfter,
      broken: problem !== null,
    })),
  }
}
