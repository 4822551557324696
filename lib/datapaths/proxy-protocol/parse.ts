/** Reads a PROXY protocol header, version 1 or 2, from the first bytes of a connection. Pure, and never throws. */
import { isIPv4, isIPv6 } from 'node:net'
import { addressBytes } from '../../core/index.ts'
import { formatIPv4, formatIPv6, widened } from './addresses.ts'
import {
  ADDRESS_BYTES,
  type Ends,
  FAMILY,
  NOTHING_TOLD,
  type ProxyHeader,
  STREAM,
  V1_BYTES,
  V2_FIXED_BYTES,
  V2_MAX_LENGTH,
  V2_SIGNATURE,
} from './header.ts'
import { readTlvs } from './tlvs.ts'

/** Which versions are accepted. */
export type Accepted = 'v1' | 'v2' | 'any'

const CR = 13
const LF = 10
const V1_PREFIX = Buffer.from('PROXY ', 'latin1')
const NO_HEADER = 'there is no PROXY header'

/**
 * Reads `buf[0..end)`. The shortest prefix that tells decides, so that it does not matter in which pieces bytes come.
 * @returns the header, a sentence that says what is wrong, or null when more bytes are needed
 */
export function parseHeader(buf: Buffer, end: number, accepted: Accepted): ProxyHeader | string | null {
  if (end === 0) return null
  if (buf[0] === V1_PREFIX[0]) return accepted === 'v2' ? 'version 1 is not accepted here' : parseV1(buf, end)
  if (buf[0] === V2_SIGNATURE[0]) return accepted === 'v1' ? 'version 2 is not accepted here' : parseV2(buf, end)
  return NO_HEADER
}

function startsWith(buf: Buffer, end: number, prefix: Buffer): boolean {
  const size = Math.min(end, prefix.length)
  return buf.compare(prefix, 0, size, 0, size) === 0
}

function parseV1(buf: Buffer, end: number): ProxyHeader | string | null {
  if (!startsWith(buf, end, V1_PREFIX)) return NO_HEADER
  const seen = Math.min(end, V1_BYTES)
  for (let i = V1_PREFIX.length; i < seen; i++) {
    if (buf[i] === LF) return 'the line ends with a bare LF'
    if (buf[i] !== CR) continue
    if (i + 1 === seen) break
    if (buf[i + 1] !== LF) return 'the line has a bare CR'
    return parseLine(buf.latin1Slice(V1_PREFIX.length, i), i + 2)
  }
  return seen < V1_BYTES ? null : `the line is longer than ${V1_BYTES} bytes`
}

/** What follows `PROXY `. One space between fields; what follows UNKNOWN says nothing. */
function parseLine(line: string, length: number): ProxyHeader | string {
  if (line === 'UNKNOWN' || line.startsWith('UNKNOWN ')) return { ...NOTHING_TOLD, version: 'v1', length }
  const fields = line.split(' ')
  const [family = '', client = '', local = '', clientPort = '', localPort = ''] = fields
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : null
  if (isAddress === null) return 'the protocol is not TCP4, TCP6 or UNKNOWN'
  if (fields.length !== 5) return 'the line has not two addresses and two ports'
  if (!isAddress(client) || !isAddress(local)) return `an address is not one of ${family}`
  if (!isPort(clientPort) || !isPort(localPort)) return 'a port is not a number from 0 to 65535'
  const ends = {
    remoteAddress: canonical(client),
    remotePort: Number(clientPort),
    localAddress: canonical(local),
    localPort: Number(localPort),
  }
  return { ...NOTHING_TOLD, version: 'v1', length, ends }
}

const isPort = (text: string): boolean => /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
const isPlainIPv6 = (text: string): boolean => !text.includes('%') && isIPv6(text)

/** However it was written, a client has one name: addresses are logged, compared and hashed as text. */
function canonical(address: string): string {
  const bytes = addressBytes(address)
  return bytes === null ? address : formatIPv6(widened(bytes), 0)
}

function parseV2(buf: Buffer, end: number): ProxyHeader | string | null {
  if (!startsWith(buf, end, V2_SIGNATURE)) return NO_HEADER
  if (end < 13) return null
  const [version, command] = nibbles(buf[12] as number)
  if (version !== 2) return `the version is ${version}`
  if (command > 1) return `the command is ${command}`
  const local = command === 0
  if (end < 14) return null
  const [family, transport] = nibbles(buf[13] as number)
  if (!local && (family > 3 || transport > 2)) return `the family is 0x${(buf[13] as number).toString(16)}`
  if (end < V2_FIXED_BYTES) return null
  const size = buf.readUInt16BE(14)
  if (size > V2_MAX_LENGTH) return `the header is longer than ${V2_FIXED_BYTES + V2_MAX_LENGTH} bytes`
  const addresses = ADDRESS_BYTES[local ? FAMILY.unspec : family] as number
  if (size < addresses) return 'the addresses are cut short'
  const length = V2_FIXED_BYTES + size
  if (end < length) return null
  // Of these the receiver ignores the rest, whatever it is.
  if (local || family === FAMILY.unspec) return { ...NOTHING_TOLD, version: 'v2', length }
  const tlvs = readTlvs(buf, V2_FIXED_BYTES + addresses, length)
  if (typeof tlvs === 'string') return tlvs
  return { ...tlvs, version: 'v2', length, ends: transport === STREAM ? endsOf(buf, family) : null }
}

const nibbles = (byte: number): [number, number] => [byte >> 4, byte & 15]

function endsOf(buf: Buffer, family: number): Ends | null {
  if (family === FAMILY.unix) return null
  const at = V2_FIXED_BYTES
  const [format, size] = family === FAMILY.inet ? [formatIPv4, 4] : [formatIPv6, 16]
  return {
    remoteAddress: format(buf, at),
    remotePort: buf.readUInt16BE(at + size * 2),
    localAddress: format(buf, at + size),
    localPort: buf.readUInt16BE(at + size * 2 + 2),
  }
}
