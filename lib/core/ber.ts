/** The part of BER that LDAP is written in (RFC 4511 §5.1): tag, length, value. */

export interface BerElement {
  readonly tag: number
  readonly value: Buffer
}

export function encodeBer(tag: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const value = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  const { length } = value
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.of(tag, ...size), value])
}

/** Of 0 to 127. */
export const encodeBerInteger = (value: number, tag = 0x02): Buffer => Buffer.of(tag, 1, value)

/** How many more bytes the length takes when its first is this one; undefined where LDAP does not allow it. */
export function berLengthBytes(first: number): number | undefined {
  if (first < 128) return 0
  return first > 128 && first <= 132 ? first - 128 : undefined
}

/** @returns the elements one after another, or undefined where they don't fit their bytes */
export function decodeBer(bytes: Buffer): BerElement[] | undefined {
  const elements: BerElement[] = []
  let at = 0
  while (at < bytes.length) {
    const tag = bytes[at++] ?? 0
    const first = bytes[at++] ?? 128
    const more = berLengthBytes(first)
    if (more === undefined || at + more > bytes.length) return undefined
    const length = more === 0 ? first : bytes.readUIntBE(at, more)
    at += more
    if (at + length > bytes.length) return undefined
    elements.push({ tag, value: bytes.subarray(at, at + length) })
    at += length
  }
  return elements
}
