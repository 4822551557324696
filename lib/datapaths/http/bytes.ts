/** Which bytes may stand where in a head. */

/** A byte of a token: method, field name (RFC 9110 §5.6.2). */
export const TOKEN = 1
/** A byte of a field value: HTAB, SP, VCHAR, obs-text (RFC 9110 §5.5). */
export const VALUE = 2
/** A byte of a request target: VCHAR but `#`, a fragment never goes over the wire (RFC 9112 §3.2). */
export const TARGET = 4
/** A byte of a host: unreserved, sub-delims but the comma, `%`, and `:` and brackets of IPv6 and port. */
export const HOST = 8

export const CLASS = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  const char = String.fromCharCode(byte)
  let flags = 0
  if (byte < 0x80 && /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char)) flags |= TOKEN
  if (byte === 0x09 || (byte >= 0x20 && byte !== 0x7f)) flags |= VALUE
  if (byte > 0x20 && byte < 0x7f && char !== '#') flags |= TARGET
  if (byte < 0x80 && /[A-Za-z0-9\-._~!$&'()*+;=%:[\]]/.test(char)) flags |= HOST
  CLASS[byte] = flags
}

export const CR = 13
export const LF = 10
export const SP = 32
export const HTAB = 9
export const COLON = 58
export const COMMA = 44

/** Is `buf[start..end)` the text `lower`, whatever its case? `lower` is lower-case. */
export function equals(buf: Buffer, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false
  for (let i = 0; i < lower.length; i++) {
    const byte = buf[start + i] as number
    const folded = byte >= 65 && byte <= 90 ? byte | 0x20 : byte
    if (folded !== lower.charCodeAt(i)) return false
  }
  return true
}

/** Calls `each` with the bounds of every element of a comma-separated list, without the white space around it. */
export function forEachElement(
  buf: Buffer,
  start: number,
  end: number,
  each: (start: number, end: number) => void,
): void {
  let at = start
  while (at <= end) {
    let stop = at
    while (stop < end && buf[stop] !== COMMA) stop++
    let from = at
    let to = stop
    while (from < to && (buf[from] === SP || buf[from] === HTAB)) from++
    while (to > from && (buf[to - 1] === SP || buf[to - 1] === HTAB)) to--
    each(from, to)
    at = stop + 1
  }
}
