/** The parser of heads: the same bytes mean the same however they come, and what stands behind them means nothing. */
import fc from 'fast-check'
import t from 'tap'
import { BAD, DONE, Head, type HeadLimits, MORE } from '../../../lib/datapaths/http/head.ts'
import {
  cuts,
  endsOf,
  LIMITS,
  mutated,
  type Parsed,
  POISONS,
  parse,
  requestText,
  responseText,
} from './fixtures/heads.ts'

const TIGHT: HeadLimits = { maxTarget: 12, maxHead: 60, maxFields: 3 }
const everyByte = (length: number): number[] => Array.from({ length: length + 1 }, (_, i) => i)
const outcome = ({ result, error, length, start, fields }: Parsed) => ({ result, error, length, start, fields })
const same = (a: Parsed, b: Parsed): boolean => JSON.stringify(outcome(a)) === JSON.stringify(outcome(b))

for (const response of [false, true]) {
  const what = response ? 'response' : 'request'
  const texts = response ? responseText : requestText

  t.test(`a serialised ${what} head is parsed as the head that it is, up to its end and no further`, (t) => {
    fc.assert(
      fc.property(
        texts,
        cuts,
        fc.constantFrom('', 'body', '\r\n', 'GET / HTTP/1.1\r\n'),
        ({ text, start, fields }, at, rest) => {
          const bytes = Buffer.from(text + rest, 'latin1')
          const found = parse(bytes, endsOf(at, bytes.length), { response })
          return (
            found.result === 'done' &&
            found.length === text.length &&
            found.start === start &&
            JSON.stringify(found.fields.map(([name, value]) => [name, value])) === JSON.stringify(fields)
          )
        },
      ),
      { numRuns: 1000 },
    )
    t.end()
  })

  for (const limits of [LIMITS, TIGHT])
    t.test(
      `any pieces of a ${what} head, good or bad, give the same result and error (${limits.maxHead} bytes at most)`,
      (t) => {
        const bytes = fc.oneof(
          mutated(texts.map(({ text }) => text)),
          texts.map(({ text }) => Buffer.from(text, 'latin1')),
          fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array)),
        )
        fc.assert(
          fc.property(bytes, cuts, fc.constantFrom(...POISONS), (bytes, at, poison) => {
            const whole = parse(bytes, [bytes.length], { response, limits })
            return (
              same(whole, parse(bytes, endsOf(at, bytes.length), { response, limits, poison })) &&
              same(whole, parse(bytes, everyByte(bytes.length), { response, limits, poison }))
            )
          }),
          { numRuns: 1500 },
        )
        t.end()
      },
    )

  t.test(`an unfinished ${what} head is neither good nor bad, whatever stands behind it`, (t) => {
    fc.assert(
      fc.property(texts, fc.nat(), ({ text }, at) => {
        const bytes = Buffer.from(text, 'latin1').subarray(0, at % text.length)
        return POISONS.every((poison) => parse(bytes, [bytes.length], { response, poison }).result === 'more')
      }),
      { numRuns: 300 },
    )
    t.end()
  })
}

t.test('a head that is whole stays so, one that is refused stays so, until it is reset', (t) => {
  const good = Buffer.from('GET / HTTP/1.1\r\nA: b\r\n\r\n')
  const bad = Buffer.from('GET / HTTP/3.0\r\n\r\n')
  const head = new Head()
  t.equal(head.parse(good, 0, good.length, LIMITS, false), DONE)
  t.equal(head.parse(good, 0, good.length, LIMITS, false), DONE)
  t.equal(head.pos, good.length)
  head.reset()
  t.equal(head.parse(bad, 0, bad.length, LIMITS, false), BAD)
  t.equal(head.error, 505)
  t.equal(head.parse(good, 0, good.length, LIMITS, false), BAD)
  head.reset()
  t.equal(head.error, 0)
  t.equal(head.problem, '')
  t.equal(head.parse(good, 0, 10, LIMITS, false), MORE)
  t.equal(head.parse(good, 0, good.length, LIMITS, false), DONE)
  t.equal(head.count, 1)
  t.end()
})

t.test('a head that is used again remembers nothing of the one before', (t) => {
  fc.assert(
    fc.property(requestText, requestText, (before, after) => {
      const head = new Head()
      const first = Buffer.from(before.text, 'latin1')
      head.parse(first, 0, first.length, LIMITS, false)
      head.reset()
      const bytes = Buffer.from(after.text, 'latin1')
      if (head.parse(bytes, 0, bytes.length, LIMITS, false) !== DONE) return false
      const fields = Array.from({ length: head.count }, (_, i) => [
        bytes.latin1Slice(head.nameStart(i), head.nameEnd(i)),
        bytes.latin1Slice(head.valueStart(i), head.valueEnd(i)),
      ])
      return JSON.stringify(fields) === JSON.stringify(after.fields) && head.pos === bytes.length
    }),
    { numRuns: 300 },
  )
  t.end()
})

const head = (fields: string, line = 'GET / HTTP/1.1'): string => `${line}\r\n${fields}\r\n`
const longValue = (n: number): string => head(`A: ${'v'.repeat(n)}\r\n`)
const BOUNDS: readonly (readonly [what: string, text: string, error: number])[] = [
  ['a method of 32 bytes', head('', `${'M'.repeat(32)} / HTTP/1.1`), 0],
  ['a method of 33 bytes', head('', `${'M'.repeat(33)} / HTTP/1.1`), 400],
  ['a target of 8 KiB', head('', `GET /${'t'.repeat(8191)} HTTP/1.1`), 0],
  ['a target of a byte more', head('', `GET /${'t'.repeat(8192)} HTTP/1.1`), 414],
  ['a name of 256 bytes', head(`${'n'.repeat(256)}: v\r\n`), 0],
  ['a name of 257 bytes', head(`${'n'.repeat(257)}: v\r\n`), 431],
  ['a value of 8 KiB', longValue(8192), 0],
  ['a value of a byte more', longValue(8193), 431],
  ['endless white space before a value', head(`A:${' '.repeat(9000)}v\r\n`), 431],
  ['100 fields', head('A: b\r\n'.repeat(100)), 0],
  ['101 fields', head('A: b\r\n'.repeat(101)), 431],
  ['fields of 32 KiB', head(`A: ${'v'.repeat(8000)}\r\n`.repeat(4)), 0],
  ['fields of more than 32 KiB', head(`${`A: ${'v'.repeat(8190)}\r\n`.repeat(4)}A: b\r\n`), 431],
  ['no fields', head(''), 0],
  ['one empty line in front', `\r\n${head('')}`, 0],
  ['two empty lines in front', `\r\n\r\n${head('')}`, 400],
  ['HTTP/1.0', head('', 'GET / HTTP/1.0'), 0],
  ['HTTP/1.2', head('', 'GET / HTTP/1.2'), 400],
  ['HTTP/0.9', head('', 'GET / HTTP/0.9'), 400],
  ['HTTP/2.0', head('', 'GET / HTTP/2.0'), 505],
  ['http/1.1', head('', 'GET / http/1.1'), 400],
  ['a version without an end', head('', 'GET / HTTP/1.1 '), 400],
  ['no version', head('', 'GET /'), 400],
  ['two spaces', head('', 'GET  / HTTP/1.1'), 400],
  ['a fragment', head('', 'GET /#a HTTP/1.1'), 400],
  ['a byte above 0x7f in the target', head('', 'GET /\xe9 HTTP/1.1'), 400],
  ['a byte above 0x7f in a value', head('A: \xe9\r\n'), 0],
  ['a colon in front', head(': b\r\n'), 400],
  ['a space before the colon', head('A : b\r\n'), 400],
  ['a folded line', head('A: b\r\n c\r\n'), 400],
  ['LF alone', 'GET / HTTP/1.1\nA: b\n\n', 400],
  ['the end of CVE-2023-30589', 'GET / HTTP/1.1\r\nA: b\r\n\rX', 400],
]
for (const [what, text, error] of BOUNDS)
  t.test(`${what}: ${error === 0 ? 'accepted' : error}`, (t) => {
    const bytes = Buffer.from(text, 'latin1')
    const whole = parse(bytes, [bytes.length])
    t.equal(whole.result, error === 0 ? 'done' : 'bad')
    t.equal(whole.error, error)
    if (error !== 0) t.match(whole.head.problem, /^[a-z][a-zA-Z0-9/. ]+$/, 'it says what was wrong')
    const half = [Math.floor(bytes.length / 2), bytes.length]
    t.equal(parse(bytes, half).error, error)
    t.end()
  })
