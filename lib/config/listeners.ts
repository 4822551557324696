/** Finds listening addresses that would take each other's connections. */
import { isIP } from 'node:net'
import { type AddressRange, formatAddress, parseAddressRange } from '../core/index.ts'
import type { Path } from './path.ts'
import { type Finding, type Place, where } from './source.ts'
import { child, itemsOf, type Tree, textOf } from './tree.ts'

const MAX_LISTENERS = 4096 // sockets over all services; each data thread opens them all
const ADMIN_DEFAULT = '127.0.0.1:9600'

interface Listener {
  readonly range: AddressRange
  /** The host in the one form that compares. */
  readonly host: string
  readonly datagram: boolean
  readonly path: Path
  /** As another listener's problem names this one. */
  readonly name: () => string
  readonly at: Place
}

export function checkListeners(root: Tree): Finding[] {
  const findings: Finding[] = []
  const listeners: Listener[] = []
  let sockets = 0
  const services = child(root, 'virtualServices')
  for (const [name, { value: service }] of services?.kind === 'map' ? services.entries : []) {
    const datagram = textOf(child(service, 'protocol')) === 'udp'
    for (const [i, item] of itemsOf(child(service, 'listen')).entries()) {
      const range = parseAddressRange(textOf(item) ?? '')
      if (typeof range === 'string') continue
      const path = ['virtualServices', name, 'listen', i]
      sockets += range.last - range.first + 1
      if (sockets > MAX_LISTENERS) {
        const message = `with this there are ${sockets} listening sockets, more than ${MAX_LISTENERS}`
        return [{ at: item.at, path, message }]
      }
      const host = canonicalHost(range.host)
      listeners.push({
        range,
        host,
        datagram,
        path,
        name: () => `${name}.listen[${i}] at ${where(item.at)}`,
        at: item.at,
      })
    }
  }
  const admin = adminListener(root)
  const earlier = new Map<number, Listener[]>() // by port: only who has one in common can overlap
  if (admin !== undefined) occupy(earlier, admin)
  for (const listener of listeners) {
    const other = firstOverlapping(earlier, listener)
    occupy(earlier, listener)
    if (other === undefined) continue
    const { host, first, last } = listener.range
    const mine = formatAddress(host, first) + (last === first ? '' : `-${last}`)
    findings.push({ at: listener.at, path: listener.path, message: `${mine} overlaps ${other.name()}` })
  }
  return findings
}

function adminListener(root: Tree): Listener | undefined {
  const own = child(child(root, 'admin'), 'listen')
  const text = own === undefined ? ADMIN_DEFAULT : textOf(own)
  const range = parseAddressRange(text ?? '')
  if (typeof range === 'string') return undefined
  const name = () =>
    own === undefined ? `admin.listen, by default ${ADMIN_DEFAULT}` : `admin.listen at ${where(own.at)}`
  const at = own?.at ?? root.at
  return { range, host: canonicalHost(range.host), datagram: false, path: ['admin', 'listen'], name, at }
}

function occupy(earlier: Map<number, Listener[]>, listener: Listener): void {
  const { first, last } = listener.range
  for (let port = Math.max(first, 1); port <= last; port++) {
    const there = earlier.get(port)
    if (there === undefined) earlier.set(port, [listener])
    else there.push(listener)
  }
}

function firstOverlapping(earlier: ReadonlyMap<number, Listener[]>, listener: Listener): Listener | undefined {
  const { first, last } = listener.range
  for (let port = Math.max(first, 1); port <= last; port++) {
    const other = earlier.get(port)?.find((each) => overlap(each, listener))
    if (other !== undefined) return other
  }
  return undefined
}

function overlap(a: Listener, b: Listener): boolean {
  if (a.range.first === 0 || b.range.first === 0) return false // the kernel picks a free one
  if (a.datagram !== b.datagram) return false
  if (a.range.last < b.range.first || b.range.last < a.range.first) return false
  if (a.host === b.host) return true
  if (isIP(a.host) !== isIP(b.host)) return false // an IPv6 listener takes no IPv4
  return isWildcard(a.host) || isWildcard(b.host)
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'

/** Shortest lower-case IPv6; an IPv4 address mapped into IPv6 as IPv4. */
export function canonicalHost(host: string): string {
  if (isIP(host) !== 6) return host
  const [address = '', zone] = host.split('%')
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short)
  if (mapped === null) return zone === undefined ? short : `${short}%${zone}`
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)]
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}
