/** What the framing fields of a head say of its body, and what is refused because two readers could disagree. */
import fc from 'fast-check'
import t from 'tap'
import { Framing } from '../../../lib/datapaths/http/framing.ts'
import { cuts, endsOf, POISONS, parse, parsed, requestText } from './fixtures/heads.ts'

function framing(fields: string, version = '1.1'): Framing {
  const { head, buf, base } = parsed(`POST / HTTP/${version}\r\nHost: a.test\r\n${fields}\r\n`)
  const framing = new Framing()
  framing.read(head, buf, base)
  return framing
}

const LENGTHS: Readonly<Record<string, number>> = {
  '0': 0,
  '5': 5,
  '00005': 5,
  '0000000000000005': 5,
  '9007199254740991': Number.MAX_SAFE_INTEGER,
  '': 400,
  '+5': 400,
  '-5': 400,
  '5,5': 400,
  '5, 5': 400,
  '5 5': 400,
  '5;': 400,
  '0x5': 400,
  '5.0': 400,
  '5e3': 400,
  five: 400,
  '\xb5': 400,
  '9007199254740992': 400,
  '9007199254740993': 400,
  '9999999999999999': 400,
  '00000000000000005': 400,
  '18446744073709551621': 400,
}
for (const [value, expected] of Object.entries(LENGTHS)) {
  // Within the table 400 is the refusal; no good value is 400.
  const refused = expected === 400
  t.test(`Content-Length ${JSON.stringify(value)} is ${refused ? 'refused' : expected}`, (t) => {
    const found = framing(`Content-Length: ${value}\r\n`)
    t.equal(found.error, refused ? 400 : 0)
    if (!refused) t.equal(found.length, expected)
    t.equal(found.chunked, false)
    t.end()
  })
}

const CODINGS: Readonly<Record<string, number>> = {
  chunked: 0,
  Chunked: 0,
  CHUNKED: 0,
  '': 400,
  ',': 400,
  'chunked,': 400,
  ',chunked': 400,
  'chunked, chunked': 400,
  'chunked, gzip': 400,
  'chunked chunked': 400,
  'chunked;q=1': 400,
  '"chunked"': 400,
  'chu nked': 400,
  'ch\xfcnked': 400,
  gzip: 501,
  identity: 501,
  'gzip, chunked': 501,
  xchunked: 501,
  chunkedx: 501,
}
for (const [value, error] of Object.entries(CODINGS))
  t.test(`Transfer-Encoding ${JSON.stringify(value)} is ${error === 0 ? 'chunked' : error}`, (t) => {
    const found = framing(`Transfer-Encoding: ${value}\r\n`)
    t.equal(found.error, error)
    t.equal(found.chunked, error === 0)
    t.equal(found.length, -1)
    t.end()
  })

const TOGETHER: Readonly<Record<string, string>> = {
  'both, the length first': 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
  'both, the coding first': 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n',
  'both, with a length of 0': 'Content-Length: 0\r\nTransfer-Encoding: chunked\r\n',
  'two equal lengths': 'Content-Length: 5\r\nContent-Length: 5\r\n',
  'two lengths of 0': 'Content-Length: 0\r\ncontent-length: 0\r\n',
  'two different lengths': 'Content-Length: 5\r\nContent-Length: 6\r\n',
  'two codings': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
  'a coding spread over two fields': 'Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n',
  'a twin of the length': 'Content_Length: 5\r\n',
  'a twin beside the length': 'Content-Length: 5\r\nContent_Length: 5\r\n',
  'a twin of the coding': 'Transfer_Encoding: chunked\r\n',
  'a twin beside the coding': 'Transfer-Encoding: chunked\r\nTRANSFER_ENCODING: chunked\r\n',
}
for (const [what, fields] of Object.entries(TOGETHER))
  t.test(`refused: ${what}`, (t) => {
    const { error, problem } = framing(fields)
    t.ok([400, 501].includes(error), `${error}`)
    if (!fields.includes('gzip')) t.equal(error, 400)
    t.not(problem, '')
    t.end()
  })

t.test('a transfer coding on HTTP/1.0 is refused, a length is not', (t) => {
  t.equal(framing('Transfer-Encoding: chunked\r\n', '1.0').error, 400)
  t.equal(framing('Transfer-Encoding: gzip\r\n', '1.0').error, 400)
  t.equal(framing('Content-Length: 5\r\n', '1.0').length, 5)
  t.end()
})

const CONNECTIONS: Readonly<
  Record<string, readonly [close: boolean, keepAlive: boolean, upgrade: boolean, nominated: readonly string[] | null]>
> = {
  '': [false, false, false, null],
  close: [true, false, false, null],
  CLOSE: [true, false, false, null],
  'Keep-Alive': [false, true, false, null],
  upgrade: [false, false, true, null],
  'keep-alive, Upgrade': [false, true, true, null],
  'close, keep-alive': [true, true, false, null],
  ', ,close,': [true, false, false, null],
  'X-Gone': [false, false, false, ['x-gone']],
  'a,B , \tc\t,close': [true, false, false, ['a', 'b', 'c']],
  closed: [false, false, false, ['closed']],
  'close x': [false, false, false, ['close x']],
}
for (const [value, [close, keepAlive, upgrade, nominated]] of Object.entries(CONNECTIONS))
  t.test(`Connection ${JSON.stringify(value)}`, (t) => {
    const found = framing(`Connection: ${value}\r\n`)
    const named = found.nominated === null ? null : [...found.nominated]
    t.same([found.close, found.keepAlive, found.upgrade, named], [close, keepAlive, upgrade, nominated])
    t.equal(found.error, 0)
    t.end()
  })

t.test('several Connection fields count together', (t) => {
  const found = framing('Connection: a\r\nConnection: close\r\nConnection: b, upgrade\r\n')
  t.same([found.close, found.upgrade, [...(found.nominated ?? [])]], [true, true, ['a', 'b']])
  t.end()
})

t.test('a connection goes on by default on HTTP/1.1, and only when asked to on HTTP/1.0', (t) => {
  t.equal(framing('').persistent(1), true)
  t.equal(framing('').persistent(0), false)
  t.equal(framing('Connection: keep-alive\r\n').persistent(0), true)
  for (const minor of [0, 1]) t.equal(framing('Connection: close, keep-alive\r\n').persistent(minor), false)
  t.end()
})

t.test('a framing that is read again remembers nothing of the head before', (t) => {
  const reused = new Framing()
  const heads = [
    'Content-Length: 5\r\nConnection: close, x\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Content-Length: x\r\n',
    '',
  ]
  for (const fields of [...heads, ...heads.toReversed()]) {
    const { head, buf, base } = parsed(`POST / HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`)
    const fresh = new Framing()
    t.equal(reused.read(head, buf, base), fresh.read(head, buf, base))
    if (fresh.error === 0) t.same({ ...reused }, { ...fresh })
  }
  t.end()
})

t.test('any pieces of a head give the same framing, whatever stands behind it', (t) => {
  const read = (found: ReturnType<typeof parse>): string => {
    const framing = new Framing()
    framing.read(found.head, found.buf, found.base)
    return JSON.stringify(framing)
  }
  fc.assert(
    fc.property(requestText, cuts, fc.constantFrom(...POISONS), ({ text }, at, poison) => {
      const bytes = Buffer.from(text, 'latin1')
      const whole = read(parse(bytes, [bytes.length]))
      return whole === read(parse(bytes, endsOf(at, bytes.length), { poison }))
    }),
    { numRuns: 500 },
  )
  t.end()
})
