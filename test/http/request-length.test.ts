/** HTTP.md 1: what Content-Length may look like, and that it never stands beside Transfer-Encoding. */
import t from 'tap'
import { passes, post, type RefusedRow, refuses, startRig } from '../support/engine.ts'

const rig = await startRig(t)
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n'

t.test('a length beside a transfer coding is refused, whatever either says', async (t) => {
  const lengths = ['Content-Length: 5', 'content-length: 0', 'Content-Length: 3', 'CONTENT-LENGTH: 44']
  const codings = ['Transfer-Encoding: chunked', 'transfer-encoding: CHUNKED', 'Transfer-Encoding:chunked']
  const rows: RefusedRow[] = []
  for (const length of lengths)
    for (const coding of codings)
      for (const lines of [`${length}\r\n${coding}\r\n`, `${coding}\r\nX: y\r\n${length}\r\n`])
        rows.push({ title: JSON.stringify(lines), bytes: post(lines, `0\r\n\r\n${SMUGGLED}`) })
  for (const coding of ['gzip', 'identity', '', 'x', ' chunked', 'chunked, identity', '\x0bchunked'])
    rows.push({
      title: `length with the coding ${JSON.stringify(coding)}`,
      bytes: post(`Content-Length: 5\r\nTransfer-Encoding: ${coding}\r\n`, `0\r\n\r\n${SMUGGLED}`),
      status: [400, 501],
    })
  rows.push({
    title: 'a bad length beside chunked',
    bytes: post('Transfer-Encoding: chunked\r\nContent-Length: x\r\n', `0\r\n\r\n${SMUGGLED}`),
  })
  await refuses(t, rig, rows)
})

t.test('a repeated length is refused, equal or not', async (t) => {
  const pairs = [
    ['5', '5'],
    ['5', '6'],
    ['0', '5'],
    ['5', '0'],
    ['5', ''],
    ['', '5'],
    ['5', '05'],
    ['+5', '5'],
    ['5', 'x'],
  ]
  const rows: RefusedRow[] = []
  for (const [a, b] of pairs)
    for (const [first, second] of [
      ['Content-Length', 'Content-Length'],
      ['Content-Length', 'content-length'],
      ['CONTENT-LENGTH', 'Content-length'],
    ])
      for (const between of ['', 'X-Between: 1\r\n'])
        rows.push({
          title: `${first}: ${a} then ${between}${second}: ${b}`,
          bytes: post(`${first}: ${a}\r\n${between}${second}: ${b}\r\n`, `hello${SMUGGLED}`),
        })
  rows.push({
    title: 'three times',
    bytes: post('Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
  })
  await refuses(t, rig, rows)
})

t.test('a length that is not one or more digits is refused', async (t) => {
  const values = [
    '',
    ' ',
    '\t',
    '+5',
    '-5',
    '-0',
    '+0',
    '--5',
    '5, 5',
    '5,5',
    '5,',
    ',5',
    ', 5',
    '5, 6',
    '5 5',
    '5\t5',
    '5 ,5',
    '0x5',
    '0X05',
    'x5',
    '5x',
    '5h',
    'five',
    '5.0',
    '5.',
    '.5',
    '5e0',
    '1e1',
    '5;',
    '5;q=1',
    '"5"',
    "'5'",
    '5_0',
    '5,000',
    '#5',
    '%35',
    '5%',
    '0b101',
    '0o5',
    'NaN',
    'Infinity',
    'null',
    'undefined',
    '5\x00',
    '\x005',
    '\x0b5',
    '5\x0b',
    '\x0c5',
    '5\x0c',
    '5\x1f',
    '5\x7f',
    '\xa05',
    '5\xa0',
    '5\x85',
    '\x855',
    '\xb5',
    '\xd9\xa5',
    '\xef\xbc\x95',
    '\xb2',
    '5\r',
    '\r5',
    '5\n',
    '\n5',
    '5\n5',
    '5\r5',
    '5\r\n 5',
    '\r\n 5',
    '5\r\n\t',
  ]
  await refuses(
    t,
    rig,
    values.map((value) => ({
      title: JSON.stringify(value),
      bytes: post(`Content-Length: ${value}\r\n`, `hello${SMUGGLED}`),
    })),
  )
})

t.test('a length beyond 2^53 is refused, and none wraps around', async (t) => {
  const values = [
    '9007199254740993',
    '9007199254740997',
    '9223372036854775807',
    '9223372036854775808',
    '18446744073709551615',
    '18446744073709551616',
    '18446744073709551621',
    '36893488147419103237',
    '79228162514264337593543950341',
    '340282366920938463463374607431768211461',
    `${'9'.repeat(100)}`,
    `1${'0'.repeat(400)}`,
    `${'9'.repeat(4000)}`,
  ]
  await refuses(
    t,
    rig,
    values.map((value) => ({
      title: `${value.length} digits: ${value.slice(0, 50)}`,
      bytes: post(`Content-Length: ${value}\r\n`, `hello${SMUGGLED}`),
    })),
  )
})

t.test('a name that only looks like Content-Length is refused', async (t) => {
  const lines = [
    'Content-Length : 5',
    'Content-Length\t: 5',
    ' Content-Length: 5',
    '\tContent-Length: 5',
    'Content-Length\x00: 5',
    '\x00Content-Length: 5',
    'Content-Length\x0b: 5',
    'Content-Length\xa0: 5',
    '\xef\xbb\xbfContent-Length: 5',
    'Content Length: 5',
    'Content-Length 5',
    'Content-Length',
    'Content-Length;5',
    'Content-Length=5',
    '"Content-Length": 5',
    'Content-Length\r: 5',
    'Content-Length\n: 5',
    'Content-\r\n Length: 5',
  ]
  const rows = lines.flatMap((line) => [
    { title: JSON.stringify(line), bytes: post(`${line}\r\n`, `hello${SMUGGLED}`) },
    {
      title: `${JSON.stringify(line)} beside chunked`,
      bytes: post(`Transfer-Encoding: chunked\r\n${line}\r\n`, `0\r\n\r\n${SMUGGLED}`),
    },
  ])
  await refuses(t, rig, rows)
})

t.test('a proper length frames the body exactly', async (t) => {
  const fields = [
    'Content-Length: 5',
    'content-length:5',
    'CONTENT-LENGTH:\t5',
    'Content-Length:   5   ',
    'cOnTeNt-LeNgTh: 5\t',
    'Content-Length: 05',
    'Content-Length: 0000000005',
  ]
  await passes(t, rig, [
    ...fields.map((field) => ({ title: field, bytes: post(`${field}\r\n`, 'hello'), method: 'POST', body: 'hello' })),
    { title: 'zero', bytes: post('Content-Length: 0\r\n', ''), body: '' },
    { title: 'ten written as 010 is ten', bytes: post('Content-Length: 010\r\n', '0123456789'), body: '0123456789' },
    {
      title: 'on GET',
      bytes: post('Content-Length: 5\r\n', 'hello').replace('POST', 'GET'),
      method: 'GET',
      body: 'hello',
    },
    {
      title: 'on an unknown method',
      bytes: post('Content-Length: 5\r\n', 'hello').replace('POST', 'X-Y'),
      method: 'X-Y',
      body: 'hello',
    },
    { title: 'on HTTP/1.0', bytes: 'POST / HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello', body: 'hello' },
    { title: 'no length, no body', bytes: post('', ''), method: 'POST', body: '' },
    { title: 'CRLF inside a body', bytes: post('Content-Length: 8\r\n', '\r\n\r\n\r\n\r\n'), body: '\r\n\r\n\r\n\r\n' },
    {
      title: 'a body that reads like a request',
      bytes: post(`Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED),
      body: SMUGGLED,
    },
  ])
})

t.test('what follows a body is the next request, never part of it', async (t) => {
  const seen = rig.backend.requests.length
  const client = await rig.connect()
  client.send(post('Content-Length: 5\r\n', `hello${SMUGGLED.replace('smuggled', 'second')}`))
  t.equal((await client.readResponse()).status, 200)
  t.equal((await client.readResponse()).status, 200)
  client.destroy()
  t.strictSame(
    rig.backend.requests.slice(seen).map((r) => [r.target, r.reader.bytes.toString()]),
    [
      ['/', 'hello'],
      ['/second', ''],
    ],
  )
})

t.test('no body byte that was not announced ever reached the backend', async (t) => {
  t.strictSame(rig.backend.faults, [])
  t.notOk(rig.backend.heads.some((head) => head.target === '/smuggled'))
})
