/** The rules that join several options of probes: what a type needs, and what has no effect with it. */
import { durationOf } from '../core/index.ts'
import type { Finding } from './source.ts'
import { child, type Tree, textOf } from './tree.ts'

const TIMEOUT_MS = 1000 // the default of the schema
const HTTP = ['http', 'https']
const STARTTLS = ['smtp', 'imap', 'pop3', 'ldap', 'postgres', 'mysql']
const IMPLICIT = ['https', 'tls', 'tcp', 'smtp', 'imap', 'pop3', 'ldap', 'redis', 'grpc']

/** What has no default that could be right. */
const NEEDED: Readonly<Record<string, string>> = { udp: 'send', dns: 'name', radius: 'secret', exec: 'command' }
/** Options that only make sense beside another of their section. */
const BESIDE: readonly (readonly [section: string, key: string, other: string])[] = [
  ['ldap', 'bindDn', 'password'],
  ['ldap', 'password', 'bindDn'],
  ['radius', 'user', 'password'],
  ['radius', 'password', 'user'],
  ['radius', 'reject', 'user'],
  ['redis', 'user', 'password'],
  ['postgres', 'password', 'user'],
  ['postgres', 'database', 'user'],
  ['mysql', 'password', 'user'],
]
const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  tcp: ['tcp', 'tls'],
  ...Object.fromEntries(
    ['grpc', 'udp', 'dns', 'smtp', 'ldap', 'radius', 'redis', 'postgres', 'mysql', 'exec'].map((type) => [
      type,
      [type],
    ]),
  ),
}

const typeOf = (health: Tree | undefined): string => textOf(child(health, 'type')) ?? 'tcp'

/** @param service its tree; paths of what is found begin with `health` */
export function checkProbe(service: Tree): Finding[] {
  const health = child(service, 'health')
  if (health === undefined) return []
  const type = typeOf(health)
  const section = child(health, type)
  const findings: Finding[] = []
  const find = (at: Tree | undefined, path: readonly string[], message: string) =>
    findings.push({ at: (at ?? section ?? child(health, 'type') ?? health).at, path: ['health', ...path], message })

  const needed = NEEDED[type]
  if (needed !== undefined && child(section, needed) === undefined)
    find(undefined, [type, needed], `is needed with type ${type}`)
  for (const [name, key, other] of BESIDE) {
    const own = child(section, key)
    if (type === name && own !== undefined && child(section, other) === undefined)
      find(own, [name, key], `needs ${name}.${other} too`)
  }
  const role = child(section, 'role')
  if (type === 'postgres' && role !== undefined && textOf(role) !== 'any' && child(section, 'user') === undefined)
    find(role, ['postgres', 'role'], 'needs postgres.user too')

  const mode = child(child(health, 'tls'), 'mode')
  if (textOf(mode) === 'starttls' && !STARTTLS.includes(type))
    find(mode, ['tls', 'mode'], `type ${type} has no starttls${IMPLICIT.includes(type) ? '; write implicit' : ''}`)
  if (textOf(mode) === 'implicit' && STARTTLS.includes(type) && !IMPLICIT.includes(type))
    find(mode, ['tls', 'mode'], `type ${type} has no implicit TLS; write starttls`)

  const quiet = child(section, 'quiet')
  const quietMs = durationOf(textOf(quiet) ?? 0)
  const timeoutMs = durationOf(textOf(child(health, 'timeout')) ?? `${TIMEOUT_MS}ms`)
  if (quiet !== undefined && typeof quietMs === 'number' && typeof timeoutMs === 'number' && quietMs >= timeoutMs)
    find(quiet, ['udp', 'quiet'], 'must be shorter than health.timeout')
  return findings
}

/** Options of probes without effect, by their paths below `health`. */
export function idleProbeOptions(service: Tree): { readonly path: readonly string[]; readonly message: string }[] {
  const health = child(service, 'health')
  const type = typeOf(health)
  const message = `has no effect with type ${type}`
  const idle: { path: readonly string[]; message: string }[] = []
  if (!HTTP.includes(type))
    for (const key of ['path', 'method', 'host', 'headers', 'expect', 'body', 'disableOn404'])
      idle.push({ path: [key], message })
  for (const [section, types] of Object.entries(SECTIONS))
    if (!types.includes(type)) idle.push({ path: [section], message })
  const always = type === 'https' || type === 'tls'
  const mode = textOf(child(child(health, 'tls'), 'mode')) ?? 'off'
  if (!IMPLICIT.includes(type) && !STARTTLS.includes(type)) idle.push({ path: ['tls'], message })
  else if (always)
    idle.push({ path: ['tls', 'mode'], message: `has no effect with type ${type}, which always uses TLS` })
  else if (mode === 'off')
    for (const key of ['serverName', 'ca', 'insecureSkipVerify'])
      idle.push({ path: ['tls', key], message: 'has no effect while tls.mode is off' })
  if (mode === 'off' && (type === 'ldap' || type === 'redis'))
    idle.push({ path: [type, 'password'], message: 'is sent in clear text while tls.mode is off' })
  return idle
}
