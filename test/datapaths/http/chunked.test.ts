/** The decoder of chunked bodies: what was encoded comes out, whatever the chunks, the pieces and what stands behind them. */
import fc from 'fast-check'
import t from 'tap'
import { ChunkDecoder } from '../../../lib/datapaths/http/chunked.ts'
import { cuts, endsOf, mutated, POISONS, placed } from './fixtures/heads.ts'

interface Decoded {
  readonly data: string
  readonly problem: string
  readonly done: boolean
  readonly consumed: number
  readonly trailers: string
}

/** Decodes pieces of `bytes`, each in a buffer of its own with poison behind it. */
function decode(bytes: Buffer, ends: readonly number[], poison = '\r\n'): Decoded {
  const decoder = new ChunkDecoder()
  let data = ''
  let from = 0
  for (const [i, end] of ends.entries()) {
    const base = (i * 5) % 11
    const buf = placed(bytes.subarray(from, end), base, poison)
    const stop = base + end - from
    let p = base
    while (p < stop && !decoder.done && decoder.problem === '') {
      const next = decoder.step(buf, p, stop)
      if (decoder.dataStart < p || decoder.dataEnd > stop) throw new Error('data outside of the input')
      if (next < p || next > stop) throw new Error('a step outside of the input')
      data += buf.latin1Slice(decoder.dataStart, decoder.dataEnd)
      p = next
    }
    from += p - base
    if (from < end) break
  }
  return { data, problem: decoder.problem, done: decoder.done, consumed: from, trailers: decoder.trailers }
}

/** The same, but for how much of bytes that were refused was taken and what came out before. */
const verdict = (d: Decoded) => JSON.stringify(d.problem === '' ? d : { problem: d.problem, data: d.data })
const everyByte = (length: number): number[] => Array.from({ length: length + 1 }, (_, i) => i)

const extension = fc.constantFrom('', '', ';a', ';a=b', ';a="b;c"', '; x = y', `;${'e'.repeat(100)}`)
const chunk = fc.record({
  data: fc.uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  zeros: fc.nat(3),
  upper: fc.boolean(),
  extension,
})
const trailers = fc.constantFrom('', '', 'X-Sum: 1\r\n', 'A:\r\nB: \xe9 \t\r\n')
const encoded = fc
  .record({ chunks: fc.array(chunk, { maxLength: 8 }), last: fc.nat(3), extension, trailers })
  .map(({ chunks, last, extension, trailers }) => ({
    content: chunks.map(({ data }) => data).join(''),
    trailers,
    text: `${chunks
      .map(({ data, zeros, upper, extension }) => {
        const size = data.length.toString(16)
        return `${'0'.repeat(zeros)}${upper ? size.toUpperCase() : size}${extension}\r\n${data}\r\n`
      })
      .join('')}${'0'.repeat(last + 1)}${extension}\r\n${trailers}\r\n`,
  }))

t.test('what was encoded comes out, for any chunks and pieces, and what follows is left alone', (t) => {
  fc.assert(
    fc.property(
      encoded,
      cuts,
      fc.constantFrom('', 'GET / HTTP/1.1\r\n', '\r\n', '0\r\n\r\n'),
      ({ text, content, trailers }, at, rest) => {
        const bytes = Buffer.from(text + rest, 'latin1')
        for (const ends of [[bytes.length], endsOf(at, bytes.length), everyByte(bytes.length)]) {
          const found = decode(bytes, ends)
          if (found.data !== content || !found.done || found.problem !== '') return false
          if (found.consumed !== text.length || found.trailers !== trailers) return false
        }
        return true
      },
    ),
    { numRuns: 500 },
  )
  t.end()
})

t.test('any pieces of good and bad bytes give the same data and the same problem, whatever stands behind them', (t) => {
  const bytes = fc.oneof(
    mutated(encoded.map(({ text }) => text)),
    fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
  )
  fc.assert(
    fc.property(bytes, cuts, fc.constantFrom(...POISONS), (bytes, at, poison) => {
      const whole = verdict(decode(bytes, [bytes.length]))
      return (
        whole === verdict(decode(bytes, endsOf(at, bytes.length), poison)) &&
        whole === verdict(decode(bytes, everyByte(bytes.length), poison))
      )
    }),
    { numRuns: 1500 },
  )
  t.end()
})

t.test('an unfinished body is neither done nor bad', (t) => {
  fc.assert(
    fc.property(encoded, fc.nat(), ({ text }, at) => {
      const found = decode(Buffer.from(text, 'latin1').subarray(0, at % text.length), [at % text.length], '\r\n')
      return !found.done && found.problem === ''
    }),
    { numRuns: 300 },
  )
  t.end()
})

const END = '0\r\n\r\n'
const REFUSED: Readonly<Record<string, string>> = {
  'no size': `\r\nabc\r\n${END}`,
  'a sign': `+3\r\nabc\r\n${END}`,
  'a minus': `-3\r\nabc\r\n${END}`,
  'a prefix': `0x3\r\nabc\r\n${END}`,
  'a leading space': ` 3\r\nabc\r\n${END}`,
  'a space behind the size': `3 \r\nabc\r\n${END}`,
  'a letter that is no digit': `g\r\nabc\r\n${END}`,
  'an underscore': `1_0\r\nabc\r\n${END}`,
  'LF alone behind the size': `3\nabc\r\n${END}`,
  'CR alone behind the size': `3\rabc\r\n${END}`,
  'LF alone behind the data': `3\r\nabc\n${END}`,
  'data longer than its size': `3\r\nabcd\r\n${END}`,
  'data shorter than its size': `4\r\nabc\r\n${END}`,
  'a size of 17 digits': `${'0'.repeat(16)}3\r\nabc\r\n${END}`,
  'a size beyond 2^53': `20000000000000\r\nabc`,
  'a size that wraps in 64 bits': `ffffffffffffffff\r\nabc`,
  'an extension of 257 bytes': `3;${'e'.repeat(257)}\r\nabc\r\n${END}`,
  'extensions of more than 16 KiB': `1;${'e'.repeat(250)}\r\na\r\n`.repeat(70) + END,
  'a control byte in an extension': `3;a\x01\r\nabc\r\n${END}`,
  'LF in an extension': `3;a\nb\r\nabc\r\n${END}`,
  'NUL in an extension': `3;\0\r\nabc\r\n${END}`,
  'LF alone at the end': '0\r\n\n',
  'CR alone at the end': '0\r\n\rX',
  'a trailer without a name': '0\r\n: a\r\n\r\n',
  'a trailer without a colon': '0\r\nabc\r\n\r\n',
  'a space before the colon of a trailer': '0\r\na : b\r\n\r\n',
  'a folded trailer': '0\r\na: b\r\n c\r\n\r\n',
  'a control byte in a trailer': '0\r\na: \x01\r\n\r\n',
  'LF alone behind a trailer': '0\r\na: b\n\r\n',
  'trailers of more than 16 KiB': `0\r\n${`a: ${'t'.repeat(1000)}\r\n`.repeat(17)}\r\n`,
}
for (const [what, text] of Object.entries(REFUSED))
  t.test(`refused: ${what}`, (t) => {
    const bytes = Buffer.from(text, 'latin1')
    for (const ends of [[bytes.length], everyByte(bytes.length)]) {
      const found = decode(bytes, ends)
      t.equal(found.done, false)
      t.match(found.problem, /^(a|the|chunk|trailers) .+$|^chunk extensions .+$/)
    }
    t.end()
  })

t.test('accepted at the bounds: 16 digits, an extension of 256 bytes, trailers of 16 KiB', (t) => {
  for (const [text, data] of [
    [`${'0'.repeat(15)}3\r\nabc\r\n${END}`, 'abc'],
    [`3;${'e'.repeat(256)}\r\nabc\r\n${END}`, 'abc'],
    [`3\r\nabc\r\n0\r\n${`a: ${'t'.repeat(1000)}\r\n`.repeat(16)}\r\n`, 'abc'],
    ['0\r\n\r\n', ''],
    ['0000000000000000\r\n\r\n', ''],
  ] as const) {
    const found = decode(Buffer.from(text, 'latin1'), [text.length])
    t.same([found.data, found.done, found.problem], [data, true, ''])
  }
  t.end()
})
