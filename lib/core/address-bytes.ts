/** An IP address as bytes. */
import { isIPv4, isIPv6 } from 'node:net'

const IPV6_BYTES = 16

/** 4 or 16 bytes; null when `text` is no address. A zone (`%eth0`) means nothing to others and is dropped. */
export function addressBytes(text: string): Buffer | null {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number))
  if (!isIPv6(text)) return null
  const bytes = Buffer.alloc(IPV6_BYTES)
  const [head = '', tail] = (text.split('%')[0] ?? '').split('::')
  writeGroups(bytes, 0, head)
  if (tail !== undefined) writeGroups(bytes, bytes.length - sizeOf(tail), tail)
  return bytes
}

const isDotted = (group: string): boolean => group.includes('.')
const sizeOf = (groups: string): number =>
  groups === '' ? 0 : groups.split(':').reduce((size, group) => size + (isDotted(group) ? 4 : 2), 0)

function writeGroups(bytes: Buffer, start: number, groups: string): void {
  let at = start
  if (groups === '') return
  for (const group of groups.split(':')) {
    if (isDotted(group)) for (const byte of group.split('.')) at = bytes.writeUInt8(Number(byte), at)
    else at = bytes.writeUInt16BE(Number.parseInt(group, 16), at)
  }
}
