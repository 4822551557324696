/**
 * The rules that join several options. They read the tree, not the parsed result, so that a mistake in one option
 * hides none elsewhere; a value that is wrong by itself is passed over.
 */
import { durationOf, formatAddress, nearest, parseAddressRange } from '../core/index.ts'
import { checkAcme, warnOfAcme } from './acme-checks.ts'
import { checkAffinity, checkGroups, idleAffinity } from './affinity-checks.ts'
import { canonicalHost, checkListeners } from './listeners.ts'
import { checkProbe, idleProbeOptions } from './probe-checks.ts'
import type { Finding, Place } from './source.ts'
import {
  checkBackendProtocol,
  checkBackendTls,
  checkTls,
  warnOfBackendProtocol,
  warnOfBackendTls,
  warnOfTls,
} from './tls-checks.ts'
import { child, type Entry, itemsOf, type Tree, textOf } from './tree.ts'

const MAX_SERVICES = 4096 // rows of the board
const HEALTH_INTERVAL_MS = 2000 // the defaults of the schema, where only the other of the two is set
const HEALTH_TIMEOUT_MS = 1000
const LOAD_INTERVAL_MS = 7000
const LOAD_TIMEOUT_MS = 2000

export const check = (root: Tree): Finding[] => [
  ...checkWhole(root),
  ...[...servicesOf(root)].flatMap(([name, entry]) => checkService(name, entry)),
]

/** What joins services, or stands beside them. */
export function checkWhole(root: Tree): Finding[] {
  const services = [...servicesOf(root)]
  const findings = [
    ...checkAdmin(root),
    ...checkListeners(root),
    ...checkGroups(services),
    ...checkAcme(root, services),
  ]
  const extra = services[MAX_SERVICES]
  if (extra !== undefined) {
    const message = `${services.length} services are more than ${MAX_SERVICES}`
    findings.push({ at: extra[1].at, path: ['virtualServices', extra[0]], message })
  }
  return findings
}

/** What joins the options of one service. */
export function checkService(name: string, entry: Entry): Finding[] {
  const findings = [
    ...checkTls(entry),
    ...checkPools(entry),
    ...checkRoutes(entry.value),
    ...checkProxyProtocol(entry.value),
    ...checkAffinity(entry),
  ]
  return findings.map(({ at, path, message }) => ({ at, path: ['virtualServices', name, ...path], message }))
}

function servicesOf(root: Tree): Iterable<[string, Entry]> {
  const services = child(root, 'virtualServices')
  return services?.kind === 'map' ? services.entries : []
}

function checkAdmin(root: Tree): Finding[] {
  const admin = root.kind === 'map' ? root.entries.get('admin') : undefined
  const listen = textOf(child(admin?.value, 'listen'))
  if (admin === undefined || listen === undefined) return []
  const range = parseAddressRange(listen)
  if (typeof range === 'string' || /^127\.|^::1$/.test(canonicalHost(range.host))) return []
  const token = child(admin.value, 'token')
  if (token !== undefined && (token.kind !== 'leaf' || token.broken === true || token.value !== '')) return []
  const message = `is required because ${listen} is not a loopback address`
  return [{ at: token?.at ?? admin.at, path: ['admin', 'token'], message }]
}

/** A service's own pool, then those under `pools`, with the path to each. */
function poolsOf(service: Tree): (readonly [tree: Tree, path: readonly string[]])[] {
  const pools = child(service, 'pools')
  const named = pools?.kind === 'map' ? [...pools.entries] : []
  return [[service, []], ...named.map(([name, { value }]) => [value, ['pools', name]] as const)]
}

function checkPools({ at, value: service }: Entry): Finding[] {
  if (service.kind !== 'map') return []
  const findings: Finding[] = []
  const pools = poolsOf(service)
  const own = child(service, 'backends')
  if (own === undefined && !hasRoutes(service))
    findings.push({ at, path: ['backends'], message: 'backends is missing: where flows go' })
  if (own?.kind === 'list' && itemsOf(own).length === 0 && !hasRoutes(service))
    findings.push({ at: own.at, path: ['backends'], message: 'at least one backend is needed' })
  for (const [pool, path] of pools) {
    for (const each of [
      ...checkTimes(child(pool, 'health')),
      ...checkProbe(pool),
      ...checkBackendTls(pool, service),
      ...checkBackendProtocol(pool, service),
      ...checkBalancing(pool, isHttp(service)),
    ])
      findings.push({ ...each, path: [...path, ...each.path] })
    const sorry = child(pool, 'sorry')
    const allDown = child(pool, 'allDown')
    if (textOf(allDown) === 'sorry' && sorry === undefined)
      findings.push({
        at: allDown?.at ?? pool.at,
        path: [...path, 'sorry'],
        message: 'is missing: allDown sorry needs respond, redirect or backend there',
      })
    if (!isHttp(service))
      for (const key of ['respond', 'redirect']) {
        const answer = child(sorry, key)
        if (answer !== undefined)
          findings.push({ at: answer.at, path: [...path, 'sorry', key], message: 'needs protocol http or https' })
      }
  }
  return [...findings, ...checkNames(pools)]
}

/** The names of all backends of a service are different: `service/backend` is the name of one. */
function checkNames(pools: ReturnType<typeof poolsOf>): Finding[] {
  const findings: Finding[] = []
  const seen = new Map<string, string>()
  for (const [pool, where] of pools)
    for (const [i, item] of itemsOf(child(pool, 'backends')).entries()) {
      const { name, at, path } = nameOf(item)
      if (name === undefined) continue
      const first = seen.get(name)
      if (first === undefined) seen.set(name, [...where, `backends[${i}]`].join('.'))
      else {
        const message = `the name ${name} is taken by ${first}; give one of them another name`
        findings.push({ at, path: [...where, 'backends', i, ...path], message })
      }
    }
  return findings
}

const isHttp = (service: Tree): boolean => (textOf(child(service, 'protocol')) ?? 'http').startsWith('http')
const hasRoutes = (service: Tree): boolean => itemsOf(child(service, 'routes')).length > 0

/** Every route goes by what its protocol has, and leads to a pool that is there. */
function checkRoutes(service: Tree): Finding[] {
  const routes = child(service, 'routes')
  if (routes === undefined || itemsOf(routes).length === 0) return []
  const protocol = textOf(child(service, 'protocol')) ?? 'http'
  if (protocol === 'udp') return [{ at: routes.at, path: ['routes'], message: 'needs another protocol than udp' }]
  const [foreign, why] = isHttp(service)
    ? ['sni', 'needs protocol tcp or tls; write match: { host: … }']
    : ['match', 'needs protocol http or https; write sni']
  const misplaced = itemsOf(routes).flatMap((route, i) => {
    const at = child(route, foreign)?.at
    return at === undefined ? [] : [{ at, path: ['routes', i, foreign], message: why }]
  })
  return [...misplaced, ...checkRoutedPools(service, routes)]
}

function checkRoutedPools(service: Tree, routes: Tree): Finding[] {
  const pools = child(service, 'pools')
  const names = pools?.kind === 'map' ? [...pools.entries.keys()] : []
  return itemsOf(routes).flatMap((route, i) => {
    const pool = child(route, 'pool')
    const name = textOf(pool)
    if (pool === undefined || name === undefined || names.includes(name)) return []
    const near = nearest(name, names)
    const known = names.length === 0 ? 'there are no pools' : `known: ${names.join(', ')}`
    const message = `there is no pool ${name}; ${near === undefined ? known : `did you mean ${near}?`}`
    return [{ at: pool.at, path: ['routes', i, 'pool'], message }]
  })
}

function nameOf(backend: Tree): { name: string | undefined; at: Place; path: readonly string[] } {
  const own = child(backend, 'name')
  if (own !== undefined) return { name: textOf(own), at: own.at, path: ['name'] }
  const address = backend.kind === 'leaf' ? backend : child(backend, 'address')
  const range = parseAddressRange(textOf(address) ?? '')
  return {
    name: typeof range === 'string' ? undefined : formatAddress(range.host, range.first),
    at: address?.at ?? backend.at,
    path: [],
  }
}

function checkTimes(health: Tree | undefined): Finding[] {
  const interval = msOf(child(health, 'interval'), HEALTH_INTERVAL_MS)
  const timeout = child(health, 'timeout')
  if (timeout === undefined || interval === undefined) return []
  const ms = msOf(timeout, HEALTH_TIMEOUT_MS)
  if (ms === undefined || ms <= interval * 10) return []
  return [
    { at: timeout.at, path: ['health', 'timeout'], message: `${textOf(timeout)} is more than ten times the interval` },
  ]
}

/** Who may say who the client is must be listed: without a list everybody could. */
function checkProxyProtocol(service: Tree): Finding[] {
  const own = child(service, 'proxyProtocol')
  const accept = child(own, 'accept')
  const from = child(own, 'from')
  if (accept === undefined || !['v1', 'v2', 'any'].includes(textOf(accept) ?? '')) return []
  if (from !== undefined && (from.kind !== 'list' || itemsOf(from).length > 0)) return []
  const message = 'is needed: the addresses of the load balancers that send the PROXY header'
  return [{ at: from?.at ?? accept.at, path: ['proxyProtocol', 'from'], message }]
}

/** A policy must be able to know what it goes by. */
function checkBalancing(pool: Tree, http: boolean): Finding[] {
  const findings: Finding[] = []
  const balance = child(pool, 'balance')
  const load = child(pool, 'load')
  const key = child(child(pool, 'hash'), 'key')
  if (balance !== undefined && textOf(balance) === 'least-load' && load === undefined) {
    const message = 'least-load needs load: { type: http | agent, … }, which says where backends tell theirs'
    findings.push({ at: balance.at, path: ['balance'], message })
  }
  if (key !== undefined && textOf(balance) === 'hash' && !http && (key.kind === 'map' || textOf(key) === 'path')) {
    const message = 'is known of requests only, with protocol http or https; write source-ip'
    findings.push({ at: key.at, path: ['hash', 'key'], message })
  }
  if (load === undefined) return findings
  if (textOf(child(load, 'type')) === 'agent' && child(load, 'port') === undefined)
    findings.push({ at: load.at, path: ['load', 'port'], message: 'is missing: the port of the agent' })
  const interval = msOf(child(load, 'interval'), LOAD_INTERVAL_MS)
  const timeout = child(load, 'timeout')
  const ms = msOf(timeout, LOAD_TIMEOUT_MS)
  if (interval !== undefined && ms !== undefined && ms > interval) {
    const message = `${timeout === undefined ? '2s, the default,' : textOf(timeout)} is more than the interval`
    findings.push({ at: (timeout ?? load).at, path: ['load', 'timeout'], message })
  }
  return findings
}

function msOf(tree: Tree | undefined, fallback: number): number | undefined {
  if (tree === undefined) return fallback
  const ms = tree.kind === 'leaf' && typeof tree.value === 'string' && !tree.broken ? durationOf(tree.value) : undefined
  return typeof ms === 'number' ? ms : undefined
}

/** What is allowed and yet has no effect. */
export function warn(root: Tree): Finding[] {
  const services = [...servicesOf(root)]
  const findings: Finding[] = [...warnOfAcme(root, services)]
  if (services.length === 0)
    findings.push({ at: root.at, path: ['virtualServices'], message: 'there are no services: nothing will be served' })
  for (const [name, { value: service }] of services) {
    const protocol = textOf(child(service, 'protocol')) ?? ''
    const idle = (path: readonly string[], message: string) => {
      const at = ownEntry(root, service, path)
      if (at !== undefined) findings.push({ at, path: ['virtualServices', name, ...path], message })
    }
    if (protocol !== 'http' && protocol !== 'https') {
      idle(['http'], `has no effect with protocol ${protocol}`)
      idle(['filters'], `has no effect with protocol ${protocol}`)
      idle(['backendProtocol'], `has no effect with protocol ${protocol}`)
      for (const key of ['requestsPerClient', 'bodyRate', 'pipelined'])
        idle(['limits', key], `has no effect with protocol ${protocol}`)
    }
    if (textOf(child(child(service, 'http'), 'engine')) === 'http-proxy')
      idle(['http', 'http2'], 'has no effect with engine http-proxy')
    else if (protocol === 'https') idle(['http', 'http2', 'cleartext'], 'has no effect with protocol https')
    else if (protocol === 'http') idle(['http', 'http2', 'enabled'], 'has no effect with protocol http')
    if (!poolsOf(service).some(([pool]) => ['h2', 'h2c'].includes(textOf(child(pool, 'backendProtocol')) ?? '')))
      idle(['http', 'backendHttp2'], 'has no effect while no backendProtocol is h2 or h2c')
    const routed = new Set(itemsOf(child(service, 'routes')).map((route) => textOf(child(route, 'pool'))))
    const pools = child(service, 'pools')
    if (pools?.kind === 'map')
      for (const [pool, { at }] of pools.entries)
        if (!routed.has(pool))
          findings.push({
            at,
            path: ['virtualServices', name, 'pools', pool],
            message: 'has no effect: no route leads there',
          })
    for (const [pool, at] of poolsOf(service))
      for (const { path, message } of idlePoolOptions(pool))
        if (at.length === 0 || below(pool, path) !== below(service, path)) idle([...at, ...path], message)
    for (const [pool, where] of poolsOf(service))
      for (const { at, path, message } of [...warnOfBackendTls(pool), ...warnOfBackendProtocol(pool)])
        findings.push({ at, path: ['virtualServices', name, ...where, ...path], message })
    for (const { at, path, message } of warnOfTls(service))
      findings.push({ at, path: ['virtualServices', name, ...path], message })
    const proxyProtocol = child(service, 'proxyProtocol')
    if ((textOf(child(proxyProtocol, 'accept')) ?? 'off') === 'off')
      for (const key of ['from', 'timeout']) idle(['proxyProtocol', key], 'has no effect while accept is off')
    for (const [i, block] of itemsOf(child(proxyProtocol, 'from')).entries())
      if (textOf(block)?.endsWith('/0') === true)
        findings.push({
          at: block.at,
          path: ['virtualServices', name, 'proxyProtocol', 'from', i],
          message: 'lets every client claim any address',
        })
  }
  return findings
}

/** Options of a service's own pool, or of one under `pools`, that have no effect. */
function idlePoolOptions(pool: Tree): { readonly path: readonly string[]; readonly message: string }[] {
  const found = idleProbeOptions(pool).map(({ path, message }) => ({ path: ['health', ...path], message }))
  const idle = (path: string[], message: string) => found.push({ path, message })
  if (textOf(child(pool, 'allDown')) !== 'sorry') idle(['sorry'], 'has no effect while allDown is not sorry')
  const balance = textOf(child(pool, 'balance')) ?? 'round-robin'
  if (balance !== 'hash') idle(['hash'], `has no effect with balance ${balance}`)
  const load = child(pool, 'load')
  const reporter = textOf(child(load, 'type'))
  if (reporter === 'http') idle(['load', 'send'], 'has no effect with type http')
  if (reporter === 'agent') for (const key of ['path', 'host']) idle(['load', key], 'has no effect with type agent')
  for (const [key, message] of idleAffinity(pool)) idle(['affinity', key], message)
  return found
}

const below = (tree: Tree, path: readonly string[]): Tree | undefined =>
  path.reduce<Tree | undefined>((at, key) => child(at, key), tree)

/** Where the service itself sets a key. What comes from `defaults` is meant for those services that can use it. */
function ownEntry(root: Tree, service: Tree, path: readonly string[]): Place | undefined {
  let entry: Entry | undefined
  let common: Tree | undefined = child(root, 'defaults')
  let tree: Tree | undefined = service
  for (const key of path) {
    entry = tree?.kind === 'map' ? tree.entries.get(key) : undefined
    common = child(common, key)
    tree = entry?.value
  }
  return entry === undefined || tree === common ? undefined : entry.at
}
