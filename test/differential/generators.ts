/** Random requests and answers, most of them well-formed, all of them whole. */
import fc from 'fast-check'

export interface RequestCase {
  readonly method: string
  readonly target: string
  readonly version: string
  /** Field lines with their CRLF, framing included. */
  readonly lines: string
  readonly body: string
  /** Sizes of the pieces that it is sent in. */
  readonly sizes: readonly number[]
}

export interface AnswerCase {
  /** Everything that the backend writes. */
  readonly text: string
  readonly sizes: readonly number[]
  /** The backend ends the connection behind it. */
  readonly ends: boolean
  /** There are bytes behind the head, and to this status they do not belong. */
  readonly body: boolean
  readonly bodiless: boolean
}

export interface Case {
  readonly request: RequestCase
  readonly answer: AnswerCase
}

/** One of these, the first as often as all others together. */
const mostly = <T>(usual: fc.Arbitrary<T>, ...others: fc.Arbitrary<T>[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: others.length * 4, arbitrary: usual }, ...others)

const charsOf = (from: number, to: number, but = ''): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCharCode(from + i)).filter((c) => !but.includes(c))
const textOf = (chars: readonly string[], min: number, max: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...chars), minLength: min, maxLength: max })

const sizes = fc.oneof(
  fc.constant([1 << 20]),
  fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
)

const TOKEN = [...charsOf(0x41, 0x5a), ...charsOf(0x61, 0x7a), ...charsOf(0x30, 0x39), ..."-_.!#$%&'*+^`|~"]
const VALUE = [...charsOf(0x21, 0x7e), ...charsOf(0x80, 0xff), ' ', '\t', ',', ';', '"']

/** Names that mean something, or that a careless object would trip over. */
const NAMES = [
  'Accept',
  'Authorization',
  'Cookie',
  'Content-Type',
  'Content-Disposition',
  'Content-Encoding',
  'ETag',
  'Forwarded',
  'If-Match',
  'Keep-Alive',
  'Link',
  'Proxy-Authorization',
  'Proxy-Connection',
  'Range',
  'Referer',
  'Server',
  'Set-Cookie',
  'Trailer',
  'Upgrade',
  'User-Agent',
  'Vary',
  'Via',
  'Warning',
  'X-Forwarded-For',
  'X-Forwarded-Host',
  'X-Forwarded-Port',
  'X-Forwarded-Proto',
  'X-Forwarded-Server',
  'X_Forwarded_For',
  'X-Real-IP',
  'X-Request-Id',
  'X-Gone',
  'X-Kept',
  'Keep_Alive',
  '__proto__',
  'constructor',
  'toString',
  '0',
  '17',
]
const casing = fc.constantFrom(
  (name: string) => name,
  (name: string) => name.toLowerCase(),
  (name: string) => name.toUpperCase(),
  (name: string) => name.replace(/[a-z]/gi, (c, at: number) => (at % 2 === 0 ? c.toLowerCase() : c.toUpperCase())),
)
const name = mostly(
  fc.tuple(fc.constantFrom(...NAMES), casing).map(([text, change]) => change(text)),
  textOf(TOKEN, 1, 20).filter(
    (text) => !/^(?:host|connection|te|expect|date|content.length|transfer.encoding)$/i.test(text),
  ),
)
const space = mostly(fc.constant(' '), fc.constant(''), fc.constant('\t'), fc.constant('  '))
const value = mostly(
  textOf(VALUE, 0, 30),
  fc.constantFrom(
    '',
    '9.9.9.9',
    '127.0.0.1, 10.0.0.1',
    'x, 127.0.0.1',
    'bad id with spaces',
    'a;b="c"',
    '1.1 other (c)',
  ),
  textOf([...'ab'], 200, 400),
)
const line = fc.tuple(name, space, value, space).map(([n, before, v, behind]) => `${n}:${before}${v}${behind}\r\n`)

const connection = fc
  .array(fc.constantFrom('close', 'keep-alive', 'X-Gone', 'x-kept', 'TE', 'Cookie', 'Host', 'upgrade', ''), {
    maxLength: 3,
  })
  .map((options) => `Connection: ${options.join(', ')}\r\n`)
const lineOrOption = mostly(
  line,
  connection,
  fc.constantFrom('TE: trailers\r\n', 'TE: gzip, trailers;q=1\r\n', 'te: gzip ,trailers\r\n', 'Upgrade: foo\r\n'),
)

const shuffled = (lines: readonly string[], order: readonly number[]): string =>
  lines
    .map((text, i) => ({ text, key: order[i % order.length] ?? 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ text }) => text)
    .join('')

/** The bytes of a chunked body. */
const chunks = fc
  .tuple(
    fc.array(textOf(VALUE.concat('\r\n', '\0'), 1, 40), { maxLength: 5 }),
    fc.constantFrom('', '', '', ';x', ';x=y', '; a="b c"'),
    fc.array(line, { maxLength: 2 }),
    fc.boolean(),
  )
  .map(([parts, extension, trailers, upper]) => {
    const size = (text: string): string => {
      const hex = text.length.toString(16)
      return upper ? `0${hex.toUpperCase()}` : hex
    }
    return `${parts.map((text) => `${size(text)}${extension}\r\n${text}\r\n`).join('')}0${extension}\r\n${trailers.join('')}\r\n`
  })
const plain = textOf(VALUE.concat('\r\n', '\0'), 0, 80)

interface Framed {
  readonly lines: readonly string[]
  readonly body: string
}
const framed = {
  none: fc.constant({ lines: [], body: '' }),
  length: plain.map((body): Framed => ({ lines: [`Content-Length: ${body.length}\r\n`], body })),
  chunked: fc
    .tuple(chunks, casing)
    .map(([body, change]): Framed => ({ lines: [`Transfer-Encoding: ${change('chunked')}\r\n`], body })),
} satisfies Record<string, fc.Arbitrary<Framed>>

/** Framings that are refused, with no byte behind the head. */
const WRONG = [
  ['Content-Length: 0\r\n', 'Transfer-Encoding: chunked\r\n'],
  ['Content-Length: 0\r\n', 'Content-Length: 0\r\n'],
  ['Content-Length: +1\r\n'],
  ['Content-Length: 0, 0\r\n'],
  ['Content_Length: 0\r\n'],
  ['Transfer-Encoding: gzip\r\n'],
  ['Transfer-Encoding: chunked, chunked\r\n'],
  ['Transfer-Encoding: gzip, chunked\r\n'],
  ['Transfer-Encoding:\r\n'],
]
const wrong = fc.constantFrom(...WRONG).map((lines): Framed => ({ lines, body: '' }))

const method = mostly(
  fc.constantFrom('GET', 'GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH'),
  fc.constantFrom('PROPFIND', 'M-SEARCH', 'REPORT', 'TRACE', 'CONNECT', 'QUERY', 'get', 'X-Y', '!#$%'),
)
const PATH = charsOf(0x21, 0x7e, '#')
const path = textOf([...PATH, '/', '/', '.', '%', '?', '&'], 0, 40).map((text) => `/${text}`)
const target = mostly(
  path,
  fc.constantFrom(
    '/',
    '//',
    '/a/../b',
    '/?',
    '/a?b?c',
    '/%2e%2e/%zz',
    '*',
    'x',
    'http://',
    'ftp://a.test/',
    '/a#b',
    '/a\x7f',
  ),
  path.map((text) => `http://a.test${text}`),
  path.map((text) => `HTTPS://A.test:80${text.slice(1)}`),
)
const host = mostly(
  fc.constant('Host: a.test\r\n'),
  fc.constantFrom('Host: A.test:80\r\n', 'HOST:[::1]:8080\t\r\n', 'Host: 127.0.0.1\r\n'),
  fc.constantFrom(
    '',
    'Host:\r\n',
    'Host: a.test\r\nHost: a.test\r\n',
    'Host: a b\r\n',
    'Host: a.test/\r\n',
    'Host: u@a.test\r\n',
  ),
)
const expectation = mostly(
  fc.constant(''),
  fc.constantFrom('Expect: 100-continue\r\n', 'expect: 100-CONTINUE\r\n', 'Expect: x\r\n'),
)

export const request: fc.Arbitrary<RequestCase> = fc
  .record({
    method,
    target,
    version: mostly(fc.constant('HTTP/1.1'), fc.constantFrom('HTTP/1.0', 'HTTP/1.1', 'HTTP/2.0', 'HTTP/1.2')),
    host,
    expectation,
    lines: fc.array(lineOrOption, { maxLength: 8 }),
    framed: mostly<Framed>(framed.none, framed.length, framed.chunked, framed.length, framed.chunked, wrong),
    order: fc.array(fc.nat(100), { minLength: 3, maxLength: 8 }),
    sizes,
  })
  .map(({ method, target, version, host, expectation, lines, framed, order, sizes }) => ({
    method,
    target,
    version,
    lines: shuffled([host, expectation, ...framed.lines, ...lines], order),
    body: framed.body,
    sizes,
  }))

const status = mostly(
  fc.constantFrom(
    '200 OK',
    '200 OK',
    '201 Created',
    '204 No Content',
    '206 Partial',
    '301 Moved',
    '304 Not Modified',
    '404 No',
  ),
  fc.constantFrom(
    '500 ',
    '599 \xe9t\xe9',
    '200 ',
    '418 a  b\tc',
    '200',
    '299 x',
    '101 Switching',
    '099 x',
    '600 x',
    '2000 x',
  ),
)
const interims = mostly(
  fc.constant(''),
  fc.constantFrom(
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\nConnection: X-Gone\r\nX-Gone: 1\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n',
  ),
)
const date = fc.constantFrom('', '', 'Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n', 'DATE: x\r\n')

export const answer: fc.Arbitrary<AnswerCase> = fc
  .record({
    version: mostly(fc.constant('HTTP/1.1'), fc.constantFrom('HTTP/1.0', 'HTTP/1.1')),
    status,
    interims,
    date,
    lines: fc.array(lineOrOption, { maxLength: 8 }),
    framed: mostly<Framed>(framed.length, framed.chunked, framed.chunked, framed.none, wrong),
    order: fc.array(fc.nat(100), { minLength: 3, maxLength: 8 }),
    cut: mostly(fc.constant(0), fc.integer({ min: 1, max: 20 })),
    ends: mostly(fc.constant(false), fc.constant(true)),
    sizes,
  })
  .map(({ version, status, interims, date, lines, framed, order, cut, ends, sizes }) => {
    const head = `${version} ${status}\r\n${shuffled([date, ...framed.lines, ...lines], order)}\r\n`
    const whole = `${interims}${head}${framed.body}`
    // Without a length the end of the connection is the end of the body, and after a cut nothing more comes.
    const open = framed.lines.length === 0 || cut > 0
    const text = whole.slice(0, Math.max(0, whole.length - cut))
    const bodiless = /^(?:204|304)/.test(status)
    return { text, sizes, ends: ends || open, body: framed.body !== '', bodiless }
  })

/** Some requests on one connection, each with its answer. */
export const cases: fc.Arbitrary<Case[]> = fc.array(fc.record({ request, answer }), { minLength: 1, maxLength: 3 })
