/** The rules that join options of TLS. */
import type { Place } from './source.ts'
import { child, type Entry, itemsOf, type Tree, textOf } from './tree.ts'

interface Found {
  readonly at: Place
  readonly path: readonly (string | number)[]
  readonly message: string
}

export function checkTls({ at, value: service }: Entry): Found[] {
  const protocol = textOf(child(service, 'protocol'))
  const tls = service.kind === 'map' ? service.entries.get('tls') : undefined
  const startTls = child(service, 'startTls')
  if (startTls !== undefined && protocol !== undefined && protocol !== 'tls')
    return [{ at: startTls.at, path: ['startTls'], message: 'needs protocol tls: what follows it is TLS, and relayed' }]
  if ((protocol === 'tls' || protocol === 'https') && tls === undefined)
    return [{ at, path: ['tls'], message: `is missing: protocol ${protocol} needs tls.certificates` }]
  if (tls === undefined) return []
  const meant = new Map([
    ['tcp', '; did you mean tls?'],
    ['http', '; did you mean https?'],
    ['udp', ''],
  ]).get(protocol ?? '')
  if (meant !== undefined) return [{ at: tls.at, path: ['tls'], message: `protocol ${protocol} has no tls${meant}` }]
  return [
    ...checkClientAuth(tls.value),
    ...itemsOf(child(tls.value, 'certificates')).flatMap((row, i) =>
      checkCertificate(row).map((found) => ({ ...found, path: ['certificates', i, ...found.path] })),
    ),
  ].map((found) => ({ ...found, path: ['tls', ...found.path] }))
}

/** Who asks for certificates must say who signs them. */
function checkClientAuth(tls: Tree): Found[] {
  const mode = child(tls, 'clientAuth')
  const asks = ['request', 'require'].includes(textOf(mode) ?? '')
  if (mode === undefined || !asks || child(tls, 'clientCa') !== undefined) return []
  return [
    { at: mode.at, path: ['clientCa'], message: 'is missing: the authorities that sign the certificates of clients' },
  ]
}

/** PEM files, a PKCS#12 file or names to order one for, and one way to tell the passphrase. */
function checkCertificate(row: Tree): Found[] {
  if (row.kind !== 'map') return []
  const of = (key: string) => row.entries.get(key)
  const keyType = of('keyType')
  if (of('acme') !== undefined)
    return ['cert', 'key', 'pfx', 'passphrase', 'passphraseFile'].flatMap((key) => {
      const at = of(key)?.at
      return at === undefined ? [] : [{ at, path: [key], message: 'stands beside acme; give one of them' }]
    })
  if (keyType !== undefined) return [{ at: keyType.at, path: ['keyType'], message: 'is for acme; a file has its key' }]
  const missing = (key: string, message: string): Found => ({ at: row.at, path: [key], message })
  const found: Found[] = []
  const pfx = of('pfx')
  if (pfx === undefined) {
    if (of('cert') === undefined)
      found.push(missing('cert', 'is missing: name the PEM file with the certificate, or give pfx or acme'))
    if (of('key') === undefined) found.push(missing('key', 'is missing: name the PEM file with the private key'))
  }
  for (const key of ['cert', 'key']) {
    const entry = of(key)
    if (pfx !== undefined && entry !== undefined)
      found.push({ at: entry.at, path: [key], message: 'is in the pfx already; give one of them' })
  }
  const second = of('passphraseFile')
  if (second !== undefined && of('passphrase') !== undefined)
    found.push({ at: second.at, path: ['passphraseFile'], message: 'stands beside passphrase; give one of them' })
  return found
}

/** What has no effect; and suites with CBC, which are allowed and weak. */
export function warnOfTls(service: Tree): Found[] {
  const tls = child(service, 'tls')
  const ciphers = child(tls, 'ciphers')
  const asks = (textOf(child(tls, 'clientAuth')) ?? 'none') !== 'none'
  const idle = (asks ? [] : ['clientCa', 'clientCrl', 'clientAllow']).flatMap((key) => {
    const at = child(tls, key)?.at
    return at === undefined ? [] : [{ at, path: ['tls', key], message: 'has no effect while clientAuth is none' }]
  })
  const weak = itemsOf(ciphers).flatMap((suite, i) => {
    const name = textOf(suite) ?? ''
    if (!name.startsWith('ECDHE-') || /GCM|POLY1305|CCM/.test(name)) return []
    const message = `${name} encrypts with CBC, whose padding has been attacked time and again; prefer one with GCM`
    return [{ at: suite.at, path: ['tls', 'ciphers', i], message }]
  })
  return [...idle, ...weak]
}

/** What contradicts itself in the TLS towards a pool's backends. */
export function checkBackendTls(pool: Tree, service: Tree): Found[] {
  const tls = child(pool, 'backendTls')
  const found: Found[] = []
  for (const [peer, path] of [
    [tls, ['backendTls']],
    [child(child(pool, 'health'), 'tls'), ['health', 'tls']],
  ] as const)
    found.push(...checkPeer(peer).map((each) => ({ ...each, path: [...path, ...each.path] })))
  if (tls === undefined) return found
  const asks = child(tls, 'startTls')
  if (asks !== undefined && isTrue(asks) && child(service, 'startTls') === undefined) {
    const message = 'needs startTls of the service, which says how'
    found.push({ at: asks.at, path: ['backendTls', 'startTls'], message })
  }
  if (sendsProxy(pool, service))
    found.push({ at: tls.at, path: ['backendTls'], message: 'is not available yet beside sendProxy' })
  return found
}

/** What backends can't speak together with what else is said of them. */
export function checkBackendProtocol(pool: Tree, service: Tree): Found[] {
  const protocol = child(pool, 'backendProtocol')
  const spoken = textOf(protocol) ?? 'http1'
  const http = (textOf(child(service, 'protocol')) ?? 'http').startsWith('http')
  if (protocol === undefined || !http || !['h2', 'h2c'].includes(spoken)) return []
  const found = (message: string): Found => ({ at: protocol.at, path: ['backendProtocol'], message })
  const problems: Found[] = []
  if (textOf(child(child(service, 'http'), 'engine')) === 'http-proxy')
    problems.push(found('needs http.engine native; http-proxy speaks HTTP/1.1 to backends'))
  const tls = child(pool, 'backendTls')
  if (spoken === 'h2' && tls === undefined) problems.push(found('needs backendTls; without TLS it is h2c'))
  if (spoken === 'h2c' && tls !== undefined) problems.push(found('is in clear text; with backendTls it is h2'))
  if (sendsProxy(pool, service))
    problems.push(found('is not available beside sendProxy: a connection has requests of many clients'))
  return problems
}

function sendsProxy(pool: Tree, service: Tree): boolean {
  const senders = [
    child(service, 'sendProxy'),
    ...itemsOf(child(pool, 'backends')).map((each) => child(each, 'sendProxy')),
  ]
  return senders.some((each) => ['v1', 'v2'].includes(textOf(each) ?? ''))
}

/** Probes that ask in another version of HTTP than backends may understand. */
export function warnOfBackendProtocol(pool: Tree): Found[] {
  const protocol = textOf(child(pool, 'backendProtocol'))
  const health = child(pool, 'health')
  const type = child(health, 'type')
  if (protocol !== 'h2' && protocol !== 'h2c') return []
  if (type === undefined || !['http', 'https'].includes(textOf(type) ?? '') || child(health, 'port') !== undefined)
    return []
  const message = 'asks in HTTP/1.1, which many backends with HTTP/2 do not speak; write grpc or tcp, or give a port'
  return [{ at: type.at, path: ['health', 'type'], message }]
}

function checkPeer(peer: Tree | undefined): Found[] {
  const found: Found[] = []
  const missing = { cert: 'key', key: 'cert' } as const
  for (const [key, other] of Object.entries(missing)) {
    const at = child(peer, key)?.at
    if (at !== undefined && child(peer, other) === undefined)
      found.push({ at, path: [other], message: `is missing: ${key} needs it` })
  }
  const pins = child(peer, 'pins')
  if (pins !== undefined && isTrue(child(peer, 'insecureSkipVerify')))
    found.push({ at: pins.at, path: ['pins'], message: 'would not be looked at because of insecureSkipVerify' })
  return found
}

const isTrue = (tree: Tree | undefined): boolean => tree?.kind === 'leaf' && tree.value === true

/** Backends that nobody verifies, and probes that are in clear text where TLS is expected. */
export function warnOfBackendTls(pool: Tree): Found[] {
  const tls = child(pool, 'backendTls')
  if (tls === undefined) return []
  const found: Found[] = []
  const skip = child(tls, 'insecureSkipVerify')
  if (skip !== undefined && isTrue(skip))
    found.push({
      at: skip.at,
      path: ['backendTls', 'insecureSkipVerify'],
      message: 'anybody in the path can be the backend; give ca, and serverName where it is not the address',
    })
  const health = child(pool, 'health')
  const type = child(health, 'type')
  if (type !== undefined && textOf(type) === 'http' && child(health, 'port') === undefined)
    found.push({
      at: type.at,
      path: ['health', 'type'],
      message: 'is in clear text, and the backends expect TLS; write https',
    })
  const mode = textOf(child(child(health, 'tls'), 'mode')) ?? 'off'
  if (type !== undefined && textOf(type) === 'grpc' && mode === 'off' && child(health, 'port') === undefined)
    found.push({
      at: type.at,
      path: ['health', 'type'],
      message: 'is in clear text, and the backends expect TLS; write tls: { mode: implicit }',
    })
  return found
}
