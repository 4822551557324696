/** CRC-32C (RFC 3720 §12.1, appendix B.4): the checksum of PROXY protocol v2. */

const POLYNOMIAL = 0x82f63b78 // Castagnoli's, bits reversed

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
  return crc
})

/** The checksum of `buf[start..end)`, with the four bytes at `hole` counted as zeros. */
export function crc32c(buf: Buffer, start: number, end: number, hole: number): number {
  let crc = 0xffff_ffff
  for (let i = start; i < end; i++) {
    const byte = i >= hole && i < hole + 4 ? 0 : (buf[i] as number)
    crc = (TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8)
  }
  return ~crc >>> 0
}
