/** An IPv6 address as text, in the one form of RFC 5952. */

/** @param bytes sixteen of them; of another number nothing sensible comes out */
export function formatIPv6(bytes: Buffer): string {
  const groups = Array.from({ length: bytes.length >> 1 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':')
  return canonicalIPv6(groups)
}

/** Text that is no IPv6 address is given back as it is. */
export function canonicalIPv6(text: string): string {
  const url = URL.parse(`http://[${text}]`)
  return url === null ? text : url.hostname.slice(1, -1)
}
