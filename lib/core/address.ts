/** Socket addresses as text and back: `10.0.0.1:80`, `[::1]:80`, ranges of ports. */
import { isIP } from 'node:net'

export interface Address {
  /** An IP address without brackets. */
  readonly host: string
  readonly port: number
}

export interface AddressRange {
  readonly host: string
  readonly first: number
  readonly last: number
}

export const formatAddress = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/**
 * Reads `address:port` or `address:first-last`; IPv6 in brackets.
 * @returns the range, or a sentence that says what is wrong and what would be right
 */
export function parseAddressRange(text: string): AddressRange | string {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,9})(?:-(\d{1,9}))?$/.exec(text)
  if (match === null) return `${JSON.stringify(text)} is not an address and port; write 10.0.0.1:80 or [::1]:80`
  const host = match[1] ?? match[2] ?? ''
  const kind = isIP(host)
  if (kind === 0) return `${JSON.stringify(host)} is not an IP address; write 10.0.0.1:80 or [::1]:80`
  if (kind === 6 && match[1] === undefined) return `an IPv6 address stands in brackets: [${host}]:${match[3]}`
  if (kind === 4 && match[1] !== undefined) return `an IPv4 address stands without brackets: ${host}:${match[3]}`
  const first = Number(match[3])
  const last = match[4] === undefined ? first : Number(match[4])
  const bad = [first, last].find((port) => port > 65_535)
  if (bad !== undefined) return `port ${bad} is above 65535`
  if (first === 0 && match[4] !== undefined) return 'a range of ports starts at 1 or above'
  if (last < first) return `the range ${first}-${last} runs backwards`
  return { host, first, last }
}
