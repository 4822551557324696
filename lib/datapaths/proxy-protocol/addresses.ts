/** IP addresses as bytes and back. */

const GROUPS = 8 // of 16 bits in an IPv6 address
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex') // ::ffff:0:0/96, IPv4 mapped into IPv6

/** 16 bytes of an address: an IPv4 address as its mapped one. */
export const widened = (bytes: Buffer): Buffer => (bytes.length === 4 ? Buffer.concat([MAPPED, bytes]) : bytes)

/** The 4 bytes at `at` as text. */
export const formatIPv4 = (bytes: Buffer, at: number): string =>
  `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`

/** The 16 bytes at `at` in the form of RFC 5952; a mapped IPv4 address as IPv4, so that a client has one name. */
export function formatIPv6(bytes: Buffer, at: number): string {
  if (bytes.compare(MAPPED, 0, MAPPED.length, at, at + MAPPED.length) === 0)
    return formatIPv4(bytes, at + MAPPED.length)
  const groups = Array.from({ length: GROUPS }, (_, i) => bytes.readUInt16BE(at + i * 2).toString(16))
  const { start, length } = longestZeros(groups)
  if (length < 2) return groups.join(':')
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`
}

/** The first of the longest runs of zero groups. */
function longestZeros(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let run = 0
  for (const [i, group] of groups.entries()) {
    run = group === '0' ? run + 1 : 0
    if (run > best.length) best = { start: i + 1 - run, length: run }
  }
  return best
}
