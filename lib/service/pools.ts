/** What the pools of a service consist of, as its configuration says. */
import type { BackendConfig, HealthConfig, LoadConfig, PoolConfig, ServiceConfig } from '../config/index.ts'
import { formatAddress } from '../core/index.ts'
import type { Tier } from '../pool/index.ts'

/** A backend of a pool, and how it is probed. */
export interface Member {
  readonly backend: BackendConfig
  readonly tier: Tier
  readonly health: HealthConfig
  /** undefined: it has no agent. */
  readonly load: LoadConfig | undefined
}

/** The service's own (its name is ''), then those under `pools`. */
export const poolsOf = (service: ServiceConfig): (readonly [name: string, pool: PoolConfig])[] => [
  ['', service],
  ...Object.entries(service.pools),
]

/** The backends in their order, and the one that says sorry. */
export function membersOf(pool: PoolConfig): Member[] {
  const { health, load, sorry, allDown } = pool
  const members = pool.backends.map(
    (backend): Member => ({ backend, tier: backend.backup ? 'backup' : 'primary', health, load }),
  )
  if (allDown !== 'sorry' || sorry?.backend === undefined) return members
  const { host, port } = sorry.backend
  const name = `sorry-${formatAddress(host, port)}`
  const backend = { name, host, port, weight: 1, admin: 'ready' as const, maxConnections: 0, backup: false }
  return [...members, { backend, tier: 'sorry', health: { ...health, type: 'none' }, load: undefined }]
}

/** Backends of all pools together. */
export const sizeOf = (service: ServiceConfig): number =>
  poolsOf(service).reduce((sum, [, pool]) => sum + membersOf(pool).length, 0)
