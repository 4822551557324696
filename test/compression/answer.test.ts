/** Which answers are compressed, and what becomes of their fields. */
import t from 'tap'
import {
  compressedRows,
  compressible,
  type Row,
  revalidatedRows,
  varying,
} from '../../lib/datapaths/compression/answer.ts'

const rules = { minSize: 100, matches: (type: string) => type === 'text/html' }
const HTML: Row = ['Content-Type', 'text/html']

t.test('what is compressed, and what never', async (t) => {
  const rows: readonly [wanted: boolean, title: string, status: number, fields: readonly Row[], length: number][] = [
    [true, 'a page', 200, [HTML], 100],
    [true, 'of a length nobody knows', 200, [HTML], -1],
    [true, 'with parameters of its type', 200, [['content-type', ' TEXT/html ;charset=utf-8']], 100],
    [true, 'an error page', 404, [HTML], 100],
    [true, 'a failure', 500, [HTML], 100],
    [true, 'one that says it is plain', 200, [HTML, ['Content-Encoding', 'identity']], 100],
    [true, 'one for a private cache', 200, [HTML, ['Cache-Control', 'private, max-age=3']], 100],
    [false, 'a small one', 200, [HTML], 99],
    [false, 'an empty one', 200, [HTML], 0],
    [false, 'another type', 200, [['Content-Type', 'image/png']], 100],
    [false, 'no type', 200, [], 100],
    [false, 'two types', 200, [HTML, HTML], 100],
    [false, 'nothing', 204, [HTML], -1],
    [false, 'reset', 205, [HTML], -1],
    [false, 'a part', 206, [HTML, ['Content-Range', 'bytes 0-99/200']], 100],
    [false, 'a part that says it is whole', 200, [HTML, ['Content-Range', 'bytes 0-99/200']], 100],
    [false, 'a redirect', 302, [HTML], 100],
    [false, 'not modified', 304, [HTML], 100],
    [false, 'encoded', 200, [HTML, ['Content-Encoding', 'br']], 100],
    [false, 'encoded twice', 200, [HTML, ['content-encoding', 'identity, gzip']], 100],
    [false, 'not to be transformed', 200, [HTML, ['Cache-Control', 'public, No-Transform']], 100],
    [false, 'nor in a second field', 200, [HTML, ['Cache-Control', 'public'], ['cache-control', 'no-transform']], 100],
    [false, 'with Content-MD5', 200, [HTML, ['Content-MD5', 'x==']], 100],
    [false, 'with Digest', 200, [HTML, ['Digest', 'sha-256=x']], 100],
    [false, 'with Content-Digest', 200, [HTML, ['Content-Digest', 'sha-256=:x:']], 100],
    [false, 'with Repr-Digest', 200, [HTML, ['Repr-Digest', 'sha-256=:x:']], 100],
    [false, 'with a digest to come', 200, [HTML, ['Trailer', 'X-A, repr-digest']], -1],
  ]
  for (const [wanted, title, status, fields, length] of rows)
    t.equal(compressible(status, fields, length, rules), wanted, title)
})

t.test('fields that tell of the plain body go, the others stay in their order', async (t) => {
  const rows: Row[] = [
    ['X-A', '1'],
    ['Content-Length', '500'],
    ['ETag', '"v1"'],
    ['accept-ranges', 'bytes'],
    ['Content-Encoding', 'identity'],
    ['Set-Cookie', 'a=b'],
    ['Set-Cookie', 'c=d'],
  ]
  t.strictSame(compressedRows(rows, 'br', true), [
    ['X-A', '1'],
    ['ETag', 'W/"v1"'],
    ['Set-Cookie', 'a=b'],
    ['Set-Cookie', 'c=d'],
    ['Content-Encoding', 'br'],
    ['Transfer-Encoding', 'chunked'],
    ['Vary', 'Accept-Encoding'],
  ])
  t.strictSame(
    compressedRows([['ETag', 'W/"v1"']], 'gzip', false),
    [
      ['ETag', 'W/"v1"'],
      ['Content-Encoding', 'gzip'],
      ['Vary', 'Accept-Encoding'],
    ],
    'a weak tag stays, a head alone is not framed',
  )
  t.strictSame(
    compressedRows([['ETag', 'v1']], 'gzip', false),
    [
      ['Content-Encoding', 'gzip'],
      ['Vary', 'Accept-Encoding'],
    ],
    'what is no tag goes',
  )
})

t.test('Vary names Accept-Encoding once', async (t) => {
  const table: readonly [before: readonly Row[], after: readonly Row[]][] = [
    [[], [['Vary', 'Accept-Encoding']]],
    [[['vary', 'Origin']], [['vary', 'Origin, Accept-Encoding']]],
    [
      [['Vary', 'Origin'], HTML, ['Vary', 'Cookie']],
      [['Vary', 'Origin'], HTML, ['Vary', 'Cookie, Accept-Encoding']],
    ],
    [[['Vary', 'Origin, accept-encoding']], [['Vary', 'Origin, accept-encoding']]],
    [[['Vary', '*']], [['Vary', '*']]],
    [
      [['Vary', '']],
      [
        ['Vary', ''],
        ['Vary', 'Accept-Encoding'],
      ],
    ],
    [[['Vary', 'X-Accept-Encoding']], [['Vary', 'X-Accept-Encoding, Accept-Encoding']]],
  ]
  for (const [before, after] of table) t.strictSame(varying(before), after, JSON.stringify(before))
})

t.test('a 304 has the tag of what the client holds', async (t) => {
  const rows: Row[] = [['ETag', '"v1"']]
  const weak = [
    ['ETag', 'W/"v1"'],
    ['Vary', 'Accept-Encoding'],
  ]
  t.strictSame(revalidatedRows(rows, 'W/"v1"'), weak)
  t.strictSame(revalidatedRows(rows, 'W/"v0", W/"v1"'), weak)
  t.equal(revalidatedRows(rows, '"v1"'), null, 'the plain one')
  t.equal(revalidatedRows(rows, 'W/"v1","v1"'), null, 'both')
  t.equal(revalidatedRows(rows, 'W/"v2"'), null)
  t.equal(revalidatedRows(rows, '*'), null)
  t.equal(revalidatedRows(rows, ''), null)
  t.equal(revalidatedRows([['ETag', 'W/"v1"']], 'W/"v1"'), null, 'weak already')
})
