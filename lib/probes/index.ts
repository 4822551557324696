/** The table of probes: a row per health type. */
import type { HealthConfig } from '../config/index.ts'
import type { Probe, ProbeNames } from './contract.ts'
import { createDnsProbe } from './dns.ts'
import { createExecProbe } from './exec.ts'
import { createGrpcProbe } from './grpc.ts'
import { createHttpProbe } from './http.ts'
import { createImapProbe } from './imap.ts'
import { createLdapProbe } from './ldap.ts'
import { createMysqlProbe } from './mysql.ts'
import { createPop3Probe } from './pop3.ts'
import { createPostgresProbe } from './postgres.ts'
import { createRadiusProbe } from './radius.ts'
import { createRedisProbe } from './redis.ts'
import { createSmtpProbe } from './smtp.ts'
import { createTcpProbe } from './tcp.ts'
import { createUdpProbe } from './udp.ts'

export {
  PROBE_REASONS,
  type Probe,
  ProbeFailure,
  type ProbeNames,
  type ProbeReason,
  type ProbeResult,
} from './contract.ts'
export { type ProbeRecord, ProbeRunner, type ProbeRunnerOptions, spreadStart } from './runner.ts'

const PROBES: Readonly<Record<HealthConfig['type'], (health: HealthConfig, names: ProbeNames) => Probe | null>> = {
  none: () => null,
  tcp: createTcpProbe,
  tls: createTcpProbe,
  http: createHttpProbe,
  https: createHttpProbe,
  grpc: createGrpcProbe,
  udp: createUdpProbe,
  dns: createDnsProbe,
  smtp: createSmtpProbe,
  imap: createImapProbe,
  pop3: createPop3Probe,
  ldap: createLdapProbe,
  radius: createRadiusProbe,
  redis: createRedisProbe,
  postgres: createPostgresProbe,
  mysql: createMysqlProbe,
  exec: createExecProbe,
}

/**
 * The probe that a health configuration asks for; null for `none`.
 * @throws BalancerError when it can't be made, such as for a CA file that doesn't exist
 */
export const createProbe = (health: HealthConfig, names: ProbeNames): Probe | null => PROBES[health.type](health, names)
