/** What a Host or an authority may be (RFC 3986 §3.2.2, RFC 9110 §7.2). */
import { isIPv6 } from 'node:net'
import { CLASS, HOST } from './bytes.ts'

const MAX_PORT = 65_535
const MAX_HOST = 255 // RFC 3986 §3.2.2; backends are told of it in up to three fields

/** `name`, `1.2.3.4` or `[v6]`, with an optional port; no userinfo, path, comma or space. */
export function validHost(buf: Buffer, start: number, end: number): boolean {
  const stop = buf[start] === 91 ? endOfLiteral(buf, start, end) : endOfName(buf, start, end)
  return (
    stop > start && stop - start <= MAX_HOST && (stop === end || (buf[stop] === 58 && validPort(buf, stop + 1, end)))
  )
}

/** Where an address in brackets ends; -1: it is none. */
function endOfLiteral(buf: Buffer, start: number, end: number): number {
  const close = buf.indexOf(93, start)
  if (close < 0 || close >= end) return -1
  const address = buf.latin1Slice(start + 1, close)
  return isIPv6(address) && !address.includes('%') ? close + 1 : -1
}

/** Where a name ends: at the colon before the port, or at the end; -1: it has a byte that no name has. */
function endOfName(buf: Buffer, start: number, end: number): number {
  let p = start
  while (p < end && buf[p] !== 58) {
    const byte = buf[p] as number
    if (((CLASS[byte] as number) & HOST) === 0 || byte === 91 || byte === 93) return -1
    // An escape is whole: two readers of half a one would see two hosts.
    if (byte === 37 && !(p + 2 < end && isHex(buf[p + 1] as number) && isHex(buf[p + 2] as number))) return -1
    p++
  }
  return p
}

const isHex = (byte: number): boolean => (byte >= 48 && byte <= 57) || ((byte | 32) >= 97 && (byte | 32) <= 102)

/** Digits, or none (RFC 3986 §3.2.3). */
function validPort(buf: Buffer, start: number, end: number): boolean {
  let port = 0
  for (let p = start; p < end; p++) {
    const digit = (buf[p] as number) - 48
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
    if (port > MAX_PORT) return false
  }
  return true
}
