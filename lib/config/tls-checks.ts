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

/** Either PEM files or a PKCS#12 file, and one way to tell the passphrase. */
function checkCertificate(row: Tree): Found[] {
  if (row.kind !== 'map') return []
  const of = (key: string) => row.entries.get(key)
  const missing = (key: string, message: string): Found => ({ at: row.at, path: [key], message })
  const found: Found[] = []
  const pfx = of('pfx')
  if (pfx === undefined) {
    if (of('cert') === undefined)
      found.push(missing('cert', 'is missing: name the PEM file with the certificate, or give pfx'))
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
