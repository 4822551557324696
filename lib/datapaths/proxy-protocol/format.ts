/** Writes a PROXY protocol header, version 1 or 2. */
import { addressBytes } from '../../core/index.ts'
import { widened } from './addresses.ts'
import { crc32c } from './crc32c.ts'
import { type Ends, FAMILY, STREAM, TLV, V2_FIXED_BYTES, V2_SIGNATURE } from './header.ts'

const AUTHORITY_BYTES = 255 // of a host name

/** Of whom a header tells. */
export interface Client extends Ends {
  /** The name it asked for in its TLS handshake, or ''. Version 1 can't say it. */
  readonly serverName: string
}

/** As latin-1 text, so that it goes out in one write with the text that follows. */
export const formatHeader = (version: 'v1' | 'v2', client: Client): string =>
  version === 'v1' ? formatV1(client) : formatV2(client, false).toString('latin1')

/** Ends of two families are both told as IPv6. An end that is not known makes both unknown. */
export function formatV1({ remoteAddress, remotePort, localAddress, localPort }: Ends): string {
  const remote = addressBytes(remoteAddress)
  const local = addressBytes(localAddress)
  if (remote === null || local === null) return 'PROXY UNKNOWN\r\n'
  const mixed = remote.length !== local.length
  const text = (address: string, bytes: Buffer): string =>
    mixed && bytes.length === 4 ? `::ffff:${address}` : (address.split('%')[0] ?? '')
  const family = remote.length === 4 && !mixed ? 'TCP4' : 'TCP6'
  return `PROXY ${family} ${text(remoteAddress, remote)} ${text(localAddress, local)} ${remotePort} ${localPort}\r\n`
}

export function formatV2(client: Client, checksum: boolean): Buffer {
  const { family, addresses } = addressesOf(client)
  const parts = [addresses]
  const authority = Buffer.from(client.serverName, 'latin1')
  if (family !== FAMILY.unspec && authority.length > 0 && authority.length <= AUTHORITY_BYTES)
    parts.push(tlv(TLV.authority, authority))
  if (checksum) parts.push(tlv(TLV.crc32c, Buffer.alloc(4)))
  const rest = Buffer.concat(parts)
  const fixed = Buffer.alloc(V2_FIXED_BYTES)
  V2_SIGNATURE.copy(fixed)
  fixed[12] = 0x21 // version 2, PROXY
  fixed[13] = family
  fixed.writeUInt16BE(rest.length, 14)
  const header = Buffer.concat([fixed, rest])
  if (checksum) header.writeUInt32BE(crc32c(header, 0, header.length, header.length - 4), header.length - 4)
  return header
}

function addressesOf({ remoteAddress, remotePort, localAddress, localPort }: Ends): {
  family: number
  addresses: Buffer
} {
  const remote = addressBytes(remoteAddress)
  const local = addressBytes(localAddress)
  if (remote === null || local === null) return { family: FAMILY.unspec, addresses: Buffer.alloc(0) }
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(localPort, ports.writeUInt16BE(remotePort, 0))
  if (remote.length === 4 && local.length === 4)
    return { family: (FAMILY.inet << 4) | STREAM, addresses: Buffer.concat([remote, local, ports]) }
  return { family: (FAMILY.inet6 << 4) | STREAM, addresses: Buffer.concat([widened(remote), widened(local), ports]) }
}

function tlv(type: number, value: Buffer): Buffer {
  const head = Buffer.from([type, 0, 0])
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}
