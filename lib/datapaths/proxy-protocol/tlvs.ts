/** Reads the TLVs of a PROXY protocol v2 header. */
import { crc32c } from './crc32c.ts'
import { SSL_TLV, type SslInfo, TLV, UNIQUE_ID_BYTES } from './header.ts'

export interface Tlvs {
  authority: string
  alpn: string
  uniqueId: string
  ssl: SslInfo | null
}

const HEAD_BYTES = 3 // type, length
const SSL_BYTES = 5 // client bits, result of the verification

/**
 * Hands each TLV of `buf[start..end)` to `take`, which answers '' or what is wrong with it.
 * @returns '', or a sentence that says what is wrong
 */
function walk(
  buf: Buffer,
  start: number,
  end: number,
  take: (type: number, at: number, end: number) => string,
): string {
  let at = start
  while (at < end) {
    if (at + HEAD_BYTES > end) return 'a TLV is cut short'
    const type = buf[at] as number
    const from = at + HEAD_BYTES
    at = from + buf.readUInt16BE(at + 1)
    if (at > end) return `a TLV of type 0x${type.toString(16)} reaches past the header's end`
    const problem = take(type, from, at)
    if (problem !== '') return problem
  }
  return ''
}

/**
 * Reads the TLVs of `buf[start..end)`, the end of the header of `buf[0..end)`. Of a type that comes twice the last counts.
 * @returns what they say, or a sentence that says what is wrong
 */
export function readTlvs(buf: Buffer, start: number, end: number): Tlvs | string {
  const tlvs: Tlvs = { authority: '', alpn: '', uniqueId: '', ssl: null }
  let sums = 0
  const problem = walk(buf, start, end, (type, at, stop) => {
    if (type === TLV.crc32c) {
      if (++sums > 1) return 'there are two checksums'
      if (stop - at !== 4) return 'the checksum has not four bytes'
      return buf.readUInt32BE(at) === crc32c(buf, 0, end, at) ? '' : 'the checksum is wrong'
    }
    if (type === TLV.authority) tlvs.authority = buf.latin1Slice(at, stop)
    else if (type === TLV.alpn) tlvs.alpn = buf.latin1Slice(at, stop)
    else if (type === TLV.uniqueId) {
      if (stop - at > UNIQUE_ID_BYTES) return `the unique id is longer than ${UNIQUE_ID_BYTES} bytes`
      tlvs.uniqueId = buf.latin1Slice(at, stop)
    } else if (type === TLV.ssl) {
      const ssl = readSsl(buf, at, stop)
      if (typeof ssl === 'string') return ssl
      tlvs.ssl = ssl
    }
    return ''
  })
  return problem === '' ? tlvs : problem
}

function readSsl(buf: Buffer, start: number, end: number): SslInfo | string {
  if (start + SSL_BYTES > end) return 'the TLV about TLS is cut short'
  const texts = new Map<number, string>()
  const problem = walk(buf, start + SSL_BYTES, end, (type, at, stop) => {
    texts.set(type, buf.latin1Slice(at, stop))
    return ''
  })
  if (problem !== '') return problem
  return {
    client: buf[start] as number,
    verified: buf.readUInt32BE(start + 1) === 0,
    version: texts.get(SSL_TLV.version) ?? '',
    commonName: texts.get(SSL_TLV.commonName) ?? '',
    cipher: texts.get(SSL_TLV.cipher) ?? '',
  }
}
