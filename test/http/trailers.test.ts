/** HTTP.md 12: trailers go through in both directions, without those that belong into a head. */
import t from 'tap'
import { ENGINE, verdictOf } from '../support/differences.ts'
import { chunked, get, post, type RefusedRow, refuses, startRig } from '../support/engine.ts'
import { namesOf, valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t)
const { backend } = rig

const FORBIDDEN = [
  'Content-Length: 5',
  'Transfer-Encoding: chunked',
  'Host: b.test',
  'Authorization: Basic eDp5',
  'Proxy-Authorization: Basic eDp5',
  'Set-Cookie: a=b',
  'Cookie: a=b',
  'Connection: close',
  'Keep-Alive: timeout=5',
  'Trailer: X',
  'TE: trailers',
  'Upgrade: websocket',
  'X-Forwarded-For: 6.6.6.6',
  'X-Forwarded-Proto: forged',
  'X-Forwarded-Host: forged',
  'X-Real-IP: 6.6.6.6',
  'Forwarded: for=6.6.6.6',
  'X_Forwarded_For: 6.6.6.6',
  'If-Match: "x"',
  'If-None-Match: *',
  'If-Range: x',
]

t.test('trailers of a request reach the backend', async (t) => {
  const body = '5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\nX-Empty:\r\n\r\n'
  t.equal((await roundTrip(rig.port(), chunked(body, '/trailers'))).status, 200)
  const { reader } = backend.last('/trailers')
  t.equal(reader.bytes.toString(), 'hello')
  t.strictSame(reader.trailers, [
    ['X-Sum', '1'],
    ['x-sum', '2'],
    ['X-Empty', ''],
  ])
  const mixed = '0\r\nX-Before: 1\r\nAuthorization: x\r\nX-After: 2\r\n\r\n'
  t.equal((await roundTrip(rig.port(), chunked(mixed, '/mixed'))).status, 200)
  t.strictSame(namesOf(backend.last('/mixed').reader.trailers), ['x-before', 'x-after'], 'around one that does not')
})

t.test('trailers of a request that frame, route or identify never do', async (t) => {
  for (const [i, line] of FORBIDDEN.entries())
    for (const [kind, spelt] of [
      ['as is', line],
      ['lower', line.replace(/^[^:]+/, (name) => name.toLowerCase())],
    ] as const) {
      const target = `/forbidden/${i}/${kind === 'lower' ? 'l' : 'u'}`
      const body = `5\r\nhello\r\n0\r\nX-Before: 1\r\n${spelt}\r\nX-After: 2\r\n\r\n`
      const { status } = await roundTrip(rig.port(), chunked(body, target))
      t.equal(status, verdictOf(spelt) ?? 200, spelt)
      if (status !== 200) continue
      const name = spelt.slice(0, spelt.indexOf(':')).toLowerCase()
      t.notOk(namesOf(backend.last(target).reader.trailers).includes(name), spelt)
      t.equal(backend.last(target).reader.bytes.toString(), 'hello')
    }
})

t.test('trailers that Connection names are of this hop', async (t) => {
  const fields = 'Transfer-Encoding: chunked\r\nConnection: X-Gone, close\r\n'
  const body = '0\r\nX-Gone: 1\r\nX-Kept: 2\r\nx-gone: 3\r\n\r\n'
  t.equal((await roundTrip(rig.port(), post(fields, body, '/nominated'))).status, 200)
  t.strictSame(backend.last('/nominated').reader.trailers, [['X-Kept', '2']])
  backend.on('/nominated/answer', (x) => x.write(`HTTP/1.1 200 OK\r\n${fields}\r\n${body}`))
  const answer = await roundTrip(rig.port(), get('/nominated/answer', 'TE: trailers\r\n'))
  t.strictSame(answer.trailers, [['X-Kept', '2']])
})

t.test('a request after trailers is read from the right byte', async (t) => {
  const client = await rig.connect()
  client.send(chunked('0\r\nX-Sum: 1\r\nHost: b.test\r\n\r\n', '/with') + get('/after'))
  t.equal((await client.readResponse()).status, 200)
  t.equal((await client.readResponse()).status, 200)
  t.equal(backend.requests.at(-1)?.target, '/after')
  client.destroy()
})

t.test('trailers are as strict and as limited as fields', async (t) => {
  const smuggled = get('/smuggled')
  const lines = [
    'X : 1',
    ' X: 1',
    'X: 1\r\n 2',
    ': 1',
    'X',
    'X: \x00',
    'X: a\nb',
    'X: a\rb',
    'X\x80: 1',
    'X Y: 1',
    'X: 1\n',
    'X: 1\r',
  ]
  const rows: RefusedRow[] = lines.map((line) => ({
    title: JSON.stringify(line),
    bytes: chunked(`5\r\nhello\r\n0\r\n${line}\r\n\r\n${smuggled}`),
  }))
  rows.push(
    { title: 'too many', bytes: chunked(`0\r\n${'X: y\r\n'.repeat(5000)}\r\n`), status: [400, 431] },
    { title: 'too long', bytes: chunked(`0\r\n${`X: ${'y'.repeat(5000)}\r\n`.repeat(20)}\r\n`), status: [400, 431] },
    { title: 'no end', bytes: chunked(`0\r\nX: ${'y'.repeat(100_000)}`), status: [400, 431] },
  )
  await refuses(t, rig, rows, { inBody: true })
  t.notOk(backend.heads.some((head) => head.target === '/smuggled'))
})

// Where these break an answer off (see test/support/differences.ts) the other trailers are looked at without them.
const FRAMING = ENGINE === 'native' ? 'Content-Length: 7\r\nTransfer-Encoding: x\r\n' : ''

t.test('trailers of an answer reach a client that takes them', async (t) => {
  backend.on('/answer', (x) =>
    x.write(
      'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n' +
        `5\r\nhello\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n${FRAMING}Connection: close\r\n\r\n`,
    ),
  )
  const response = await roundTrip(rig.port(), get('/answer', 'TE: trailers\r\nConnection: TE\r\n'))
  t.equal(response.body.toString(), 'hello')
  t.strictSame(response.trailers, [['X-Sum', '1']])
})

t.test('a client that cannot take them gets the body alone', async (t) => {
  const old = await roundTrip(rig.port(), 'GET /answer HTTP/1.0\r\n\r\n')
  t.equal(old.body.toString(), 'hello')
  t.equal(old.framing, 'close')
  t.strictSame(valuesOf(old.fields, 'transfer-encoding'), [])
  t.strictSame(valuesOf(old.fields, 'trailer'), [], 'nor are they announced')
})

t.test('a body with a length has no trailers: what follows is read as the next request', async (t) => {
  const client = await rig.connect()
  client.send(post('Content-Length: 2\r\n', 'okX-Sum: 1\r\n\r\n', '/length'))
  t.equal((await client.readResponse()).status, 200)
  t.equal((await client.readResponse()).status, 400)
  t.equal((await client.readUntilClose()).length, 0)
  t.strictSame(backend.last('/length').reader.trailers, [])
})

t.test('the backend got every request whole', async (t) => {
  t.strictSame(backend.faults, [])
})
