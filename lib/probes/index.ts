/** The table of probes: a row per health type. */
import type { HealthConfig } from '../config/index.ts'
import { BalancerError } from '../core/index.ts'
import type { Probe } from './contract.ts'
import { createHttpProbe } from './http.ts'
import { createTcpProbe } from './tcp.ts'

export { PROBE_REASONS, type Probe, ProbeFailure, type ProbeReason, type ProbeResult } from './contract.ts'
export { type ProbeRecord, ProbeRunner, type ProbeRunnerOptions, spreadStart } from './runner.ts'

const PROBES: Partial<Record<HealthConfig['type'], (health: HealthConfig) => Probe | null>> = {
  none: () => null,
  tcp: createTcpProbe,
  http: createHttpProbe,
  https: createHttpProbe,
}

/**
 * The probe that a health configuration asks for; null for `none`.
 * @throws BalancerError when it can't be made, such as for a CA file that doesn't exist
 */
export function createProbe(health: HealthConfig): Probe | null {
  const create = PROBES[health.type]
  if (create === undefined)
    throw new BalancerError('CONFIG_INVALID', `health.type: ${health.type} is not available yet`)
  return create(health)
}
