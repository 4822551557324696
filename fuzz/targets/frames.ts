/** Frames of HTTP/2 in any pieces. */
import {
  BAD,
  DATA,
  DATA_HEAD,
  DATA_PIECE,
  FRAME,
  FrameReader,
  HEADER_BYTES,
  MAX_FRAME,
  PADDED,
} from '../../lib/datapaths/h2/frames.ts'
import type { Random } from '../random.ts'
import { Arrival, pieceOf, same, type Target } from '../target.ts'

/** What a reader tells, with the content of each DATA frame in one. */
function read(input: Buffer, random: Random, whole: boolean): string[] {
  const arrival = new Arrival(input, random)
  const reader = new FrameReader()
  const told: string[] = []
  let content = ''
  let at = arrival.base
  while (arrival.more(whole ? input.length : pieceOf(random)))
    while (at < arrival.end) {
      at = reader.step(arrival.buf, at, arrival.end)
      const { type, flags, stream, length } = reader
      const bytes = reader.bytes.toString('latin1', reader.start, reader.end)
      if (reader.event === BAD) return [...told, `bad ${reader.error}`]
      if (reader.event === FRAME) told.push(`frame ${type} ${flags} ${stream} ${bytes}`)
      else if (reader.event === DATA_HEAD) told.push(`data ${flags} ${stream} ${length}`)
      else if (reader.event === DATA_PIECE) {
        content += bytes
        if (!reader.last) continue
        told.push(content)
        content = ''
      }
    }
  return told
}

/** Sizes of frames whose size says all by itself: RFC 9113 §6.4, §6.5, §6.7 to §6.9. */
const SIZES: Readonly<Record<number, (size: number, flags: number) => boolean>> = {
  3: (size) => size === 4,
  4: (size, flags) => (flags % 2 === 1 ? size === 0 : size % 6 === 0),
  6: (size) => size === 8,
  7: (size) => size >= 8,
  8: (size) => size === 4,
}

/** The same from the description in RFC 9113 §4.1 and §6. */
function reference(input: Buffer): string[] {
  const told: string[] = []
  for (let at = 0; at + HEADER_BYTES <= input.length; ) {
    const length = input.readUIntBE(at, 3)
    const [type = 0, flags = 0] = [input[at + 3], input[at + 4]]
    const stream = input.readUInt32BE(at + 5) & 0x7fff_ffff
    const payload = input.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)
    if (length > MAX_FRAME || SIZES[type]?.(length, flags) === false) return [...told, 'bad 6']
    at += HEADER_BYTES + length
    if (type !== DATA) {
      if (payload.length === length) told.push(`frame ${type} ${flags} ${stream} ${payload.toString('latin1')}`)
      continue
    }
    const padded = (flags & PADDED) !== 0
    if (padded && length === 0) return [...told, 'bad 6']
    told.push(`data ${flags} ${stream} ${length}`)
    if (length === 0) continue
    const [padding = 0] = padded ? payload : [0]
    if (padded && payload.length === 0) break
    const size = length - (padded ? 1 + padding : 0)
    if (size < 0) return [...told, 'bad 1']
    const content = payload.subarray(padded ? 1 : 0, (padded ? 1 : 0) + size)
    // Where only padding is there, its content is told with the byte that says so.
    if (content.length === size) told.push(content.toString('latin1'))
  }
  return told
}

export const frames: Target = {
  name: 'frames',
  seeds: [
    '\0\0\0\x04\0\0\0\0\0\0\0\x05\0\x01\0\0\0\x01hello\0\0\x08\x06\0\0\0\0\0\x31\x32\x33\x34\x35\x36\x37\x38',
    '\0\0\x07\0\x09\0\0\0\x01\x03abc\0\0\0\0\0\x04\x08\0\0\0\0\0\0\0\0\x01',
    '\0\0\0\0\x01\0\0\0\x03\0\0\x03\x01\x05\0\0\0\x05\x82\x86\x84',
    '\0\x40\x01\x16\0\0\0\0\x01',
  ],
  words: ['\0\0\0', '\0\0\x01', '\0\x40\0', '\0\x40\x01', '\0\0\0\0\0\0\0\0\x01', '\x08', '\x09', '\x80\0\0\x01'],
  check(input, random) {
    const wanted = reference(input)
    same('in one piece', read(input, random, true), wanted)
    same('in pieces', read(input, random, false), wanted)
    return `${wanted.length} ${wanted.at(-1)?.slice(0, 7)}`
  },
}
