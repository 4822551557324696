/** HTTP.md 3: chunk sizes, extensions and line ends of a request's body, and that chunks are framed anew. */
import t from 'tap'
import { chunked, get, passes, type RefusedRow, refuses, startRig } from '../support/engine.ts'

const rig = await startRig(t)
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n'
const bad = (body: string): RefusedRow => ({
  title: JSON.stringify(body.length > 80 ? `${body.slice(0, 80)}…` : body),
  bytes: chunked(body + SMUGGLED),
})

t.test('a chunk size that is not one to sixteen hexadecimal digits is refused', async (t) => {
  const sizes = [
    '',
    ' ',
    ' 5',
    '\t5',
    '5\t',
    '5 ',
    '5 5',
    '+5',
    '-5',
    '-0',
    '--5',
    '0x5',
    '0X5',
    'x5',
    '5x',
    '5h',
    '\\x5',
    'g',
    'five',
    '5.',
    '5.0',
    '5,',
    '5:',
    '5=',
    '5_0',
    '"5"',
    '5\x00',
    '\x005',
    '5\x0b',
    '\x0b5',
    '5\x0c',
    '5\x7f',
    '5\x80',
    '\xa05',
    '5\xa0',
    '\xb5',
    '\xef\xbc\x95',
    '00000000000000005',
    '10000000000000005',
    'FFFFFFFFFFFFFFFF',
    'ffffffffffffffff',
    '8000000000000000',
    '7fffffffffffffff',
    '80000000000005',
    '20000000000001',
    '10000000000000000000000000000005',
    'fffffffffffffffffffffffffffffffffffffffffb',
    '0'.repeat(300),
  ]
  await refuses(
    t,
    rig,
    [
      ...sizes.map((size) => bad(`${size}\r\nhello\r\n0\r\n\r\n`)),
      ...sizes.filter((s) => /[^0]/.test(s)).map((size) => bad(`3\r\nabc\r\n${size}\r\nhello\r\n0\r\n\r\n`)),
      ...['-0', '+0', '0x0', ' 0', '0 ', '0\t', '0\x00', '0\x0b', '00000000000000000'].map((zero) =>
        bad(`5\r\nhello\r\n${zero}\r\n\r\n`),
      ),
    ],
    { inBody: true },
  )
})

t.test('every line end of a chunked body is exactly CRLF', async (t) => {
  await refuses(
    t,
    rig,
    [
      bad('5\nhello\r\n0\r\n\r\n'),
      bad('5\rhello\r\n0\r\n\r\n'),
      bad('5\n\rhello\r\n0\r\n\r\n'),
      bad('5\r\r\nhello\r\n0\r\n\r\n'),
      bad('5\n\nhello\r\n0\r\n\r\n'),
      bad('5\rXhello\r\n0\r\n\r\n'),
      bad('5\r\nhello\n0\r\n\r\n'),
      bad('5\r\nhello\r0\r\n\r\n'),
      bad('5\r\nhello\n\r0\r\n\r\n'),
      bad('5\r\nhello\rX0\r\n\r\n'),
      bad('5\r\nhelloXX0\r\n\r\n'),
      bad('5\r\nhelloX\r\n0\r\n\r\n'),
      bad('5\r\nhello0\r\n\r\n'),
      bad('5\r\nhello\r\n\r\n0\r\n\r\n'),
      bad('5\r\nhell\r\n0\r\n\r\n'),
      bad('4\r\nhello\r\n0\r\n\r\n'),
      bad('5\r\nhello\r\r\n0\r\n\r\n'),
      bad('\r\n5\r\nhello\r\n0\r\n\r\n'),
      bad('\n5\r\nhello\r\n0\r\n\r\n'),
      bad('5\r\nhello\r\n0\n\r\n'),
      bad('5\r\nhello\r\n0\n\n'),
      bad('5\r\nhello\r\n0\r\r\n\r\n'),
      bad('5\r\nhello\r\n0\r\n\n'),
      bad('5\r\nhello\r\n0\r\n\rX'),
      bad('5\r\nhello\r\n0\r\n\r\r\n'),
      bad('0\n\n'),
      bad('0\r\n\n'),
      bad('0\r\n\rG'),
    ],
    { inBody: true },
  )
})

t.test('an extension with a line end of another kind is refused', async (t) => {
  await refuses(
    t,
    rig,
    [
      bad('5;a\nhello\r\n0\r\n\r\n'),
      bad('5;a\n\r\nhello\r\n0\r\n\r\n'),
      bad('5;a=b\nc\r\nhello\r\n0\r\n\r\n'),
      bad('5;\n0\r\n\r\nhello\r\n'),
      bad('5;a\rb\r\nhello\r\n0\r\n\r\n'),
      bad('5;a\r\r\nhello\r\n0\r\n\r\n'),
      bad('5;a="\r\n"\r\nhello\r\n0\r\n\r\n'),
      bad('5;a="\n"\r\nhello\r\n0\r\n\r\n'),
      bad('0;a\n\r\n\r\n'),
    ],
    { inBody: true },
  )
})

t.test('extensions are at most 256 bytes a line and 16 KiB a body', async (t) => {
  await refuses(
    t,
    rig,
    [
      bad(`5;${'a'.repeat(300)}\r\nhello\r\n0\r\n\r\n`),
      bad(`5;a="${'b'.repeat(60_000)}"\r\nhello\r\n0\r\n\r\n`),
      bad(`5\r\nhello\r\n0;${'a'.repeat(300)}\r\n\r\n`),
      { title: 'a size line without end', bytes: chunked(`5;${'a'.repeat(100_000)}`) },
      { title: '100 chunks of 200 bytes of extension', bytes: chunked(`1;${'a'.repeat(200)}\r\nx\r\n`.repeat(100)) },
    ],
    { inBody: true },
  )
})

t.test('extensions are dropped, and chunks reach the backend framed anew', async (t) => {
  const bodies = [
    '5;a\r\nhello\r\n0\r\n\r\n',
    '5;a=b\r\nhello\r\n0\r\n\r\n',
    '5;a="b c"\r\nhello\r\n0;z\r\n\r\n',
    '5;a=b;c=d\r\nhello\r\n0\r\n\r\n',
    `5;${'a'.repeat(200)}\r\nhello\r\n0\r\n\r\n`,
    '2;x\r\nhe\r\n3;y\r\nllo\r\n0\r\n\r\n',
  ]
  await passes(
    t,
    rig,
    bodies.map((body) => ({ title: JSON.stringify(body.slice(0, 60)), bytes: chunked(body), body: 'hello' })),
  )
  t.notOk(
    rig.backend.requests.some((request) => request.reader.chunkLines.some((line) => line.includes(';'))),
    'no extension reached the backend',
  )
})

t.test('every way to write a size that is a size passes', async (t) => {
  const long = 'x'.repeat(0x1a)
  await passes(t, rig, [
    ...['5', '05', '0005', '0000000000000005'].map((size) => ({
      title: size,
      bytes: chunked(`${size}\r\nhello\r\n0\r\n\r\n`),
      body: 'hello',
    })),
    ...['1a', '1A', '01a', '000000000000001A'].map((size) => ({
      title: size,
      bytes: chunked(`${size}\r\n${long}\r\n0\r\n\r\n`),
      body: long,
    })),
    ...['0', '00', '000', '0000000000000000'].map((zero) => ({
      title: `the last chunk as ${zero}`,
      bytes: chunked(`5\r\nhello\r\n${zero}\r\n\r\n`),
      body: 'hello',
    })),
    {
      title: 'a byte a chunk',
      bytes: chunked(`${[...'hello world'].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`),
      body: 'hello world',
    },
    { title: 'line ends as data', bytes: chunked('4\r\n\r\n\r\n\r\n0\r\n\r\n'), body: '\r\n\r\n' },
    { title: 'a last chunk as data', bytes: chunked('5\r\n0\r\n\r\n\r\n0\r\n\r\n'), body: '0\r\n\r\n' },
    {
      title: 'a request as data',
      bytes: chunked(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`),
      body: SMUGGLED,
    },
  ])
})

t.test('a chunk larger than any buffer arrives whole', async (t) => {
  const body = Buffer.alloc(3 * 1024 * 1024 + 7, 'evenkeel ')
  const client = await rig.connect()
  client.send(chunked(`${body.length.toString(16)}\r\n`, '/big'))
  client.send(body)
  client.send('\r\n0\r\n\r\n')
  t.equal((await client.readResponse()).status, 200)
  t.ok(rig.backend.last('/big').reader.bytes.equals(body))
})

t.test('the request after a chunked body is read from the right byte', async (t) => {
  const seen = rig.backend.requests.length
  const client = await rig.connect()
  client.send(chunked('3;x\r\nabc\r\n0\r\n\r\n', '/first') + get('/second') + chunked('0\r\n\r\n', '/third'))
  for (let i = 0; i < 3; i++) t.equal((await client.readResponse()).status, 200)
  client.destroy()
  t.strictSame(
    rig.backend.requests.slice(seen).map((r) => r.target),
    ['/first', '/second', '/third'],
  )
})

t.test('a body that the client never finishes is never whole at the backend', async (t) => {
  for (const part of ['', '5', '5\r\n', '5\r\nhel', '5\r\nhello', '5\r\nhello\r\n', '5\r\nhello\r\n0\r\n', '0\r\n\r']) {
    const whole = rig.backend.requests.length
    const client = await rig.connect()
    client.send(chunked(part, '/unfinished'))
    await rig.barrier()
    client.destroy()
    await rig.barrier()
    const reached = rig.backend.heads.findLast((head) => head.target === '/unfinished')
    if (reached !== undefined) await reached.connection.untilClosed()
    t.equal(rig.backend.requests.length, whole, JSON.stringify(part))
  }
})

t.test('nothing smuggled reached the backend', async (t) => {
  t.strictSame(rig.backend.faults, [])
  t.notOk(rig.backend.heads.some((head) => head.target === '/smuggled'))
})
