/** The rules that join the options of affinity with each other and with the rest of a service. */
import { formatAddress, parseAddressRange } from '../core/index.ts'
import type { Finding } from './source.ts'
import { child, type Entry, itemsOf, type Tree, textOf } from './tree.ts'

const PROTOCOLS: Readonly<Record<string, readonly string[]>> = {
  header: ['http', 'https'],
  cookie: ['http', 'https'],
  'tls-session': ['tcp'],
  'rdp-cookie': ['tcp', 'tls'],
}

/** What a reader would do instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  header: 'it is read from requests; use source-ip',
  cookie: 'it is read from requests; use source-ip',
  'tls-session': 'it is read from a handshake that goes through to the backends; use source-ip',
  'rdp-cookie': 'it is read from the first packet of a connection; use source-ip',
}

type Findings = Omit<Finding, 'path'> & { readonly path: readonly (string | number)[] }

/** Of one service and its pools. Paths are relative to the service. */
export function checkAffinity({ value: service }: Entry): Findings[] {
  const own = child(service, 'affinity')
  const protocol = textOf(child(service, 'protocol'))
  const findings = checkOne(own, protocol, ['affinity'])
  const pools = child(service, 'pools')
  if (pools?.kind !== 'map') return findings
  for (const [name, { value }] of pools.entries) {
    const affinity = child(value, 'affinity')
    if (affinity !== own) findings.push(...checkOne(affinity, protocol, ['pools', name, 'affinity']))
  }
  return findings
}

function checkOne(affinity: Tree | undefined, protocol: string | undefined, path: readonly string[]): Findings[] {
  const type = child(affinity, 'type')
  const word = textOf(type) ?? 'none'
  const findings: Findings[] = []
  const protocols = PROTOCOLS[word]
  if (type !== undefined && protocols !== undefined && protocol !== undefined && !protocols.includes(protocol)) {
    const message = `${word} needs protocol ${protocols.join(' or ')}: ${INSTEAD[word]}`
    findings.push({ at: type.at, path: [...path, 'type'], message })
  }
  if (type !== undefined && child(affinity, 'name') === undefined) {
    const existing = word === 'cookie' && textOf(child(affinity, 'mode')) === 'existing'
    const what = word === 'header' ? 'the header that tells clients apart' : 'the cookie that the backends set'
    if (word === 'header' || existing)
      findings.push({ at: type.at, path: [...path, 'name'], message: `is missing: ${what}` })
  }
  const fallback = child(affinity, 'fallback')
  if (fallback !== undefined && textOf(fallback) === 'source-ip' && word === 'source-ip')
    findings.push({ at: fallback.at, path: [...path, 'fallback'], message: 'is the type itself; leave it out' })
  return findings
}

interface Member {
  readonly name: string
  readonly affinity: Tree
  readonly identities: ReadonlySet<string>
}

/** Services that share bindings must cut addresses alike, tell their backends apart, and have some in common. */
export function checkGroups(services: Iterable<[string, Entry]>): Finding[] {
  const findings: Finding[] = []
  const groups = new Map<string, Member>()
  for (const [name, { value: service }] of services) {
    const affinity = child(service, 'affinity')
    const group = child(affinity, 'group')
    const word = textOf(group)
    if (affinity === undefined || group === undefined || word === undefined) continue
    if ((textOf(child(affinity, 'type')) ?? 'none') === 'none') continue
    const path = ['virtualServices', name]
    const identities = identitiesIn(service, path, findings)
    const first = groups.get(word)
    if (first === undefined) {
      groups.set(word, { name, affinity, identities })
      continue
    }
    for (const key of ['prefix4', 'prefix6']) {
      const [own, other] = [numberIn(affinity, key), numberIn(first.affinity, key)]
      if (own === other) continue
      const at = child(affinity, key)?.at ?? affinity.at
      const message = `is ${own}, but ${other} in ${first.name}, which is in the same group`
      findings.push({ at, path: [...path, 'affinity', key], message })
    }
    if (
      identities.size > 0 &&
      first.identities.size > 0 &&
      ![...identities].some((each) => first.identities.has(each))
    ) {
      const message = `has no backend in common with ${first.name}: give them the same names there and here`
      findings.push({ at: group.at, path: [...path, 'affinity', 'group'], message })
    }
  }
  return findings
}

/** By what a group knows the backends of a service; findings are added where two are known by the same. */
function identitiesIn(service: Tree, path: readonly string[], findings: Finding[]): ReadonlySet<string> {
  const seen = new Map<string, number>()
  for (const [i, backend] of itemsOf(child(service, 'backends')).entries()) {
    const identity = identityIn(backend)
    if (identity === undefined) continue
    const before = seen.get(identity)
    if (before === undefined) seen.set(identity, i)
    else {
      const message = `is on the same host as backends[${before}]: in a group they need names to be told apart`
      findings.push({ at: backend.at, path: [...path, 'backends', i], message })
    }
  }
  return new Set(seen.keys())
}

const WHOLE: Readonly<Record<string, number>> = { prefix4: 32, prefix6: 128 }

function numberIn(tree: Tree, key: string): unknown {
  const value = child(tree, key)
  return value?.kind === 'leaf' ? value.value : WHOLE[key]
}

/** By what a group knows a backend; undefined where that is wrong by itself. */
function identityIn(backend: Tree): string | undefined {
  const address = textOf(backend.kind === 'leaf' ? backend : child(backend, 'address')) ?? ''
  const range = parseAddressRange(address)
  const name = textOf(child(backend, 'name'))
  if (typeof range === 'string') return name
  return name === undefined || name === formatAddress(range.host, range.first) ? range.host : name
}

/** What is allowed and yet has no effect, by key. */
export function idleAffinity(service: Tree): [key: string, message: string][] {
  const affinity = child(service, 'affinity')
  const type = textOf(child(affinity, 'type')) ?? 'none'
  const mode = textOf(child(affinity, 'mode')) ?? 'insert'
  const own = type === 'cookie' && mode === 'insert'
  const byAddress = type === 'source-ip' || textOf(child(affinity, 'fallback')) === 'source-ip'
  const idle: [string, boolean][] = [
    ['name', type !== 'cookie' && type !== 'header'],
    ['mode', type !== 'cookie'],
    ['fallback', type === 'none'],
    ['prefix4', !byAddress || type === 'none'],
    ['prefix6', !byAddress || type === 'none'],
    ['timeout', type === 'none' || (own && !byAddress)],
    ['maxIdle', !own],
    ['maxLife', !own],
    ['group', type === 'none'],
  ]
  const why = type === 'cookie' ? `type cookie and mode ${mode}` : `type ${type}`
  return idle.filter(([, is]) => is).map(([key]) => [key, `has no effect with ${why}`])
}
