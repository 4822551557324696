/** An IP address as four words, network order; an IPv4 address is the last one. */
import { isIPv6 } from 'node:net'

/** Reads `text` into `out`; answers its family, 0 where it is no address. */
export function readAddress(text: string, out: Int32Array): 0 | 4 | 6 {
  out.fill(0)
  if (!text.includes(':')) return readIpv4(text, 0, out) ? 4 : 0
  const zone = text.indexOf('%')
  const plain = zone < 0 ? text : text.slice(0, zone)
  if (!isIPv6(plain)) return 0
  const gap = plain.indexOf('::')
  if (gap < 0) readGroups(plain, 0, out)
  else {
    readGroups(plain.slice(0, gap), 0, out)
    const tail = plain.slice(gap + 2)
    readGroups(tail, 8 - countOf(tail), out)
  }
  // ::ffff:192.0.2.1 is the IPv4 address.
  if (out[0] !== 0 || out[1] !== 0 || out[2] !== 0xffff) return 6
  out[2] = 0
  return 4
}

function readIpv4(text: string, start: number, out: Int32Array): boolean {
  let word = 0
  let value = -1
  let dots = 0
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 46 && value >= 0 && dots < 3) {
      word = (word << 8) | value
      value = -1
      dots++
    } else if (code >= 48 && code <= 57) {
      value = (value < 0 ? 0 : value * 10) + code - 48
      if (value > 255) return false
    } else return false
  }
  out[3] = (word << 8) | value
  return dots === 3 && value >= 0
}

/** Groups of 16 bits that a part of an address stands for; a dotted end stands for two. */
const countOf = (part: string): number => (part === '' ? 0 : part.split(':').length + (part.includes('.') ? 1 : 0))

function readGroups(part: string, from: number, out: Int32Array): void {
  if (part === '') return
  let group = from
  for (const text of part.split(':')) {
    if (text.includes('.')) return void readIpv4(text, 0, out)
    const value = Number.parseInt(text, 16)
    out[group >> 1] = (out[group >> 1] as number) | (group % 2 === 0 ? value << 16 : value)
    group++
  }
}

/** The mask of word `index` (0..3) for a prefix of `bits`. */
export function maskOf(bits: number, index: number): number {
  const left = Math.max(0, Math.min(32, bits - 32 * index))
  return left === 0 ? 0 : -1 << (32 - left)
}
