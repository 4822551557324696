/** By what a client is known: its IPv4 address, or the /64 of its IPv6 address, which is what one subscriber gets. */
import { isIP } from 'node:net'

export interface ClientKey {
  /** 4, 6, or 0 for text that is no address: all of those are one client. */
  family: number
  high: number
  low: number
}

const GROUPS = 4 // of 16 bits: the /64
const MAPPED = /^(?:0{0,4}:){2,5}ffff:(?=\d+\.)/i // ::ffff:192.0.2.1 is the IPv4 address

/** Reads `address` into `key`. */
export function readClientKey(address: string, key: ClientKey): void {
  key.family = isIP(address)
  key.high = 0
  key.low = 0
  if (key.family === 4) key.low = ipv4(address, 0)
  else if (key.family === 6) readIpv6(address, key)
}

function readIpv6(address: string, key: ClientKey): void {
  const mapped = MAPPED.exec(address)
  if (mapped !== null) {
    key.family = 4
    key.low = ipv4(address, mapped[0].length)
    return
  }
  let group = 0
  let value = 0
  for (let i = 0; i < address.length && group < GROUPS; i++) {
    const code = address.charCodeAt(i)
    if (code !== 58) value = (value << 4) | digit(code)
    else {
      set(key, group, value)
      group++
      value = 0
      // `::` stands for as many zeros as are missing: what follows it counts from the end.
      if (address.charCodeAt(i + 1) === 58) return readTail(address, i + 2, group, key)
    }
  }
}

/** Of the groups behind `::` those that still lie in the /64. */
function readTail(address: string, start: number, group: number, key: ClientKey): void {
  const zone = address.indexOf('%')
  const tail = zone < 0 ? address.slice(start) : address.slice(start, zone)
  if (tail === '') return
  const groups = tail.split(':')
  const missing = 8 - group - groups.length - (tail.includes('.') ? 1 : 0) // a dotted end stands for two groups
  for (let i = 0; group + missing + i < GROUPS; i++) {
    const text = groups[i]
    if (text === undefined || text.includes('.')) return
    set(key, group + missing + i, Number.parseInt(text, 16))
  }
}

function set(key: ClientKey, group: number, value: number): void {
  if (group === 0) key.high |= value << 16
  else if (group === 1) key.high |= value
  else if (group === 2) key.low |= value << 16
  else key.low |= value
}

const digit = (code: number): number => (code <= 57 ? code - 48 : (code | 0x20) - 87)

function ipv4(text: string, start: number): number {
  let word = 0
  let value = 0
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code !== 46) value = value * 10 + code - 48
    else {
      word = (word << 8) | value
      value = 0
    }
  }
  return (word << 8) | value
}
