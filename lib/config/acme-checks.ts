/** The rules that join options of certificates that are ordered. */
import { parseAddressRange } from '../core/index.ts'
import type { Place } from './source.ts'
import { child, type Entry, itemsOf, type Tree, textOf } from './tree.ts'

interface Found {
  readonly at: Place
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** Who orders certificates says from whom, and has a service where the authority asks. */
export function checkAcme(root: Tree, services: readonly (readonly [string, Entry])[]): Found[] {
  if (child(child(root, 'appliance'), 'acme') !== undefined) return []
  return services.flatMap(([name, { value }]) =>
    itemsOf(child(child(value, 'tls'), 'certificates')).flatMap((row, i) => {
      const names = child(row, 'acme')
      if (names === undefined) return []
      const path = ['virtualServices', name, 'tls', 'certificates', i, 'acme']
      return [
        { at: names.at, path, message: 'needs appliance.acme: { acceptTerms: true }, the authority to order it from' },
      ]
    }),
  )
}

const ASKED_AT = { 'http-01': [80, ['http']], 'tls-alpn-01': [443, ['https', 'tls']] } as const

/** A port may be mapped on the way, so this is a warning. */
export function warnOfAcme(root: Tree, services: readonly (readonly [string, Entry])[]): Found[] {
  const appliance = child(root, 'appliance')
  const acme = appliance?.kind === 'map' ? appliance.entries.get('acme') : undefined
  if (acme === undefined) return []
  const wanted = services.some(([, { value }]) =>
    itemsOf(child(child(value, 'tls'), 'certificates')).some((row) => child(row, 'acme') !== undefined),
  )
  const path = ['appliance', 'acme']
  if (!wanted)
    return [
      { at: acme.at, path, message: 'has no effect: no certificate is ordered (tls.certificates: [{ acme: … }])' },
    ]
  const challenge = textOf(child(acme.value, 'challenge')) ?? 'http-01'
  if (challenge !== 'http-01' && challenge !== 'tls-alpn-01') return []
  const [port, protocols] = ASKED_AT[challenge]
  const asked = services.some(([, { value }]) => {
    const protocol = textOf(child(value, 'protocol')) ?? ''
    return (
      protocols.some((each) => each === protocol) && itemsOf(child(value, 'listen')).some((each) => hasPort(each, port))
    )
  })
  if (asked) return []
  const message = `${challenge} is asked on port ${port}, where no service with protocol ${protocols.join(' or ')} listens; this works only if that port is mapped to one`
  return [{ at: acme.at, path: [...path, 'challenge'], message }]
}

function hasPort(listen: Tree, port: number): boolean {
  const range = parseAddressRange(textOf(listen) ?? '')
  return typeof range !== 'string' && range.first <= port && port <= range.last
}
