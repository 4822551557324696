/** PROXY headers of both versions: what is accepted, what they say, and where they end. */
import { isIPv4, isIPv6 } from 'node:net'
import { formatHeader, formatV1 } from '../../lib/datapaths/proxy-protocol/format.ts'
import type { ProxyHeader } from '../../lib/datapaths/proxy-protocol/header.ts'
import { parseHeader } from '../../lib/datapaths/proxy-protocol/parse.ts'
import type { Random } from '../random.ts'
import { Arrival, holds, pieceOf, same, type Target } from '../target.ts'

type Result = ProxyHeader | string | null

/** Read as the bytes come; the buffer's first byte is the connection's, and poison lies behind what has come. */
function parse(input: Buffer, random: Random, whole: boolean): Result {
  const arrival = new Arrival(input, random)
  const buf = arrival.buf.subarray(arrival.base)
  let result = parseHeader(buf, arrival.end - arrival.base, 'any')
  while (result === null && arrival.more(whole ? input.length : pieceOf(random)))
    result = parseHeader(buf, arrival.end - arrival.base, 'any')
  return result
}

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'
const PORT = '(0|[1-9]\\d{0,4})'
const V1 = new RegExp(`^PROXY (TCP4|TCP6) (\\S+) (\\S+) ${PORT} ${PORT}\\r\\n`)

/** The second reader: where the header ends; 0: there is none, -1: more bytes are needed. */
function lengthOf(text: string): number {
  const v2 = text.startsWith(SIGNATURE)
  if (!v2 && SIGNATURE.startsWith(text.slice(0, 12)) && text.length < 12) return -1
  if (v2) {
    const [command = 0x21, family = 0x11] = [...text.slice(12, 14)].map((char) => char.charCodeAt(0))
    if (command !== 0x20 && command !== 0x21) return 0
    if (command === 0x21 && (family >> 4 > 3 || (family & 15) > 2)) return 0
    if (text.length < 16) return -1
    const size = text.charCodeAt(14) * 256 + text.charCodeAt(15)
    const least = command === 0x20 ? 0 : ([0, 12, 36, 216][family >> 4] ?? 0)
    return size > 4096 || size < least ? 0 : text.length < 16 + size ? -1 : 16 + size
  }
  if (!text.startsWith('PROXY ')) return 'PROXY '.startsWith(text) ? -1 : 0
  const line = text.slice(0, 107)
  const end = line.search(/[\r\n]/)
  if (end < 0 || (line[end] === '\r' && line.length === end + 1)) return text.length < 107 ? -1 : 0
  if (line.slice(end, end + 2) !== '\r\n') return 0
  if (/^PROXY UNKNOWN[ \r]/.test(line)) return end + 2
  const [, family = '', client = '', local = '', clientPort = '', localPort = ''] = V1.exec(line) ?? []
  const is = family === 'TCP4' ? isIPv4 : (address: string) => isIPv6(address) && !address.includes('%')
  const sound = family !== '' && is(client) && is(local) && Number(clientPort) < 65_536 && Number(localPort) < 65_536
  return sound ? end + 2 : 0
}

/** CRC-32C, bit by bit. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

/** Are the TLVs of a v2 header sound, its checksum too? */
function soundTlvs(bytes: Buffer, start: number): boolean {
  let sums = 0
  for (let at = start; at < bytes.length; ) {
    if (at + 3 > bytes.length) return false
    const type = bytes.readUInt8(at)
    const from = at + 3
    at = from + bytes.readUInt16BE(at + 1)
    if (at > bytes.length) return false
    if (type === 5 && at - from > 128) return false
    if (type === 0x20 && (at - from < 5 || !walks(bytes, from + 5, at))) return false
    if (type !== 3) continue
    if (++sums > 1 || at - from !== 4) return false
    const zeroed = Buffer.from(bytes).fill(0, from, at)
    if (crc32c(zeroed) !== bytes.readUInt32BE(from)) return false
  }
  return true
}

function walks(bytes: Buffer, start: number, end: number): boolean {
  let at = start
  while (at + 3 <= end) at += 3 + bytes.readUInt16BE(at + 1)
  return at === end
}

const ADDRESSES = [0, 12, 36, 216]

export const proxy: Target = {
  name: 'proxy',
  seeds: [
    'PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\nGET / HTTP/1.1\r\n',
    'PROXY TCP6 2001:db8::1 ::1 1 2\r\n',
    'PROXY UNKNOWN ffff:f\r\n',
    'PROXY UNKNOWN\r\n',
    `${SIGNATURE}\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02GET`,
    `${SIGNATURE}\x21\x21\0\x24${'\x20\x01'.repeat(16)}\0\x01\0\x02`,
    `${SIGNATURE}\x20\0\0\0`,
    `${SIGNATURE}\x21\x11\0\x2a\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02\x01\0\x02h2\x02\0\x01a\x05\0\x01u\x20\0\x0c\x07\0\0\0\0\x21\0\x04TLS1`,
    `${SIGNATURE}\x21\x11\0\x13\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02\x03\0\x04\0\0\0\0`,
    `${SIGNATURE}\x21\x31\0\xd8${'/s\0'.repeat(72)}`,
  ],
  words: [
    ...[
      'PROXY ',
      'TCP4 ',
      'TCP6 ',
      'UNKNOWN',
      ' ',
      '\r\n',
      '\n',
      '\r',
      '192.0.2.1',
      '::1',
      '::ffff:1.2.3.4',
      'fe80::1%eth0',
      '0',
      '65536',
      '00',
      '0x1',
    ],
    ...[
      SIGNATURE,
      '\x21\x11',
      '\x20',
      '\x21\x12',
      '\x21\x31',
      '\0\x0c',
      '\0\0',
      '\x10\0',
      '\xff\xff',
      '\x03\0\x04\0\0\0\0',
      '\x20\0\x05\0\0\0\0\0',
      '\x05\0\x81',
      '\x04\0\0',
      '\x02\0\x01a',
    ],
  ],
  check(input, random) {
    const whole = parse(input, random, true)
    same('in pieces', parse(input, random, false), whole)
    for (const only of ['v1', 'v2'] as const) {
      const one = parseHeader(input, input.length, only)
      if (whole !== null && typeof whole === 'object')
        same(`accepting ${only} alone`, typeof one === 'object', whole.version === only)
    }
    const text = input.toString('latin1')
    const length = lengthOf(text)
    if (whole === null) {
      same('more are needed', length, -1)
      return 'more'
    }
    if (typeof whole === 'string') {
      const v2 = text.startsWith(SIGNATURE)
      const addresses = ADDRESSES[input.length > 13 ? input.readUInt8(13) >> 4 : 0] ?? 0
      holds(
        length === 0 || (v2 && length > 0 && !soundTlvs(input.subarray(0, length), 16 + addresses)),
        `refused: ${whole}`,
      )
      return `bad ${whole.replaceAll(/\d+/g, '')}`
    }
    same('where it ends', whole.length, length)
    if (whole.version === 'v2' && whole.ends !== null)
      holds(soundTlvs(input.subarray(0, length), 16 + (ADDRESSES[input.readUInt8(13) >> 4] ?? 0)), 'TLVs are not sound')
    if (whole.ends === null) return `ok ${whole.version} nothing`
    const { remoteAddress, localAddress } = whole.ends
    holds(isIPv4(remoteAddress) || isIPv6(remoteAddress), `not an address: ${remoteAddress}`)
    holds(isIPv4(localAddress) || isIPv6(localAddress), `not an address: ${localAddress}`)
    for (const version of ['v1', 'v2'] as const) {
      const written = Buffer.from(formatHeader(version, { ...whole.ends, serverName: '' }), 'latin1')
      const again = parseHeader(written, written.length, 'any')
      same(`written as ${version}`, again !== null && typeof again === 'object' ? again.ends : again, whole.ends)
    }
    holds(formatV1(whole.ends).length <= 107, 'a line that is too long')
    return `ok ${whole.version} ${isIPv4(remoteAddress)} ${whole.alpn !== ''} ${whole.authority !== ''} ${whole.ssl !== null} ${whole.uniqueId !== ''}`
  },
}
