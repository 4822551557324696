/** HTTP.md 5: the request line, byte by byte. */
import t from 'tap'
import { get, passes, type RefusedRow, refuses, startRig } from '../support/engine.ts'

const rig = await startRig(t)
const REST = '\r\nHost: a.test\r\n\r\n'
const bad = (line: string, status: RefusedRow['status'] = 400): RefusedRow => ({
  title: JSON.stringify(line),
  bytes: `${line}${REST}`,
  status,
})

t.test('anything but one space between exactly three parts is refused', async (t) => {
  await refuses(t, rig, [
    bad('GET  / HTTP/1.1'),
    bad('GET /  HTTP/1.1'),
    bad(' GET / HTTP/1.1'),
    bad('\tGET / HTTP/1.1'),
    bad('GET / HTTP/1.1 '),
    bad('GET / HTTP/1.1\t'),
    bad('GET\t/ HTTP/1.1'),
    bad('GET /\tHTTP/1.1'),
    bad('GET \t/ HTTP/1.1'),
    bad('GET\x0b/ HTTP/1.1'),
    bad('GET /\x0bHTTP/1.1'),
    bad('GET\x0c/\x0cHTTP/1.1'),
    bad('GET\xa0/ HTTP/1.1'),
    bad('GET\x00/ HTTP/1.1'),
    bad('GET / HTTP/1.1 x'),
    bad('GET / x HTTP/1.1'),
    bad('GET / HTTP/1.1 HTTP/1.1'),
    bad('GET /a b HTTP/1.1'),
    bad('GET /HTTP/1.1'),
    bad('GET/ HTTP/1.1'),
    bad('GET'),
    bad('GET '),
    bad('GET  HTTP/1.1'),
    bad('/ HTTP/1.1'),
    bad(' / HTTP/1.1'),
    bad('HTTP/1.1'),
    bad(' '),
    bad('HTTP/1.1 GET /'),
    bad('HTTP/1.1 200 OK'),
    bad(': / HTTP/1.1'),
  ])
})

t.test('a method that is not a token is refused', async (t) => {
  const rows: RefusedRow[] = []
  for (let code = 0; code < 256; code++) {
    const c = String.fromCharCode(code)
    if (/[!#$%&'*+\-.^_`|~0-9A-Za-z\r\n]/.test(c)) continue
    rows.push({ ...bad(`G${c}T / HTTP/1.1`), title: `0x${code.toString(16)} inside a method` })
    rows.push({ ...bad(`${c}GET / HTTP/1.1`), title: `0x${code.toString(16)} before a method` })
    rows.push({ ...bad(`GET${c} / HTTP/1.1`), title: `0x${code.toString(16)} after a method` })
  }
  await refuses(t, rig, rows)
})

t.test('a method that is a token passes', async (t) => {
  const methods = [
    'POST',
    'PUT',
    'DELETE',
    'PATCH',
    'OPTIONS',
    'PROPFIND',
    'M-SEARCH',
    'get',
    'Get',
    'X',
    "!#$%&'*+-.^_`|~",
  ]
  await passes(
    t,
    rig,
    methods.map((method) => ({ title: method, bytes: `${method} /m HTTP/1.1${REST}`, method, target: '/m' })),
  )
})

t.test('a version that is not exactly HTTP/1.0 or HTTP/1.1 is refused', async (t) => {
  const versions = [
    'http/1.1',
    'Http/1.1',
    'HTTP/1.1.',
    'HTTP/1.',
    'HTTP/1',
    'HTTP/.1',
    'HTTP/',
    'HTTP',
    'HTTP1.1',
    'HTTP/11',
    'HTTP/1,1',
    'HTTP/1-1',
    'HTTP/1.10',
    'HTTP/1.01',
    'HTTP/01.1',
    'HTTP/10.1',
    'HTTP/ 1.1',
    'HTTP /1.1',
    'HTTP/1 .1',
    'HTTP/1. 1',
    'HTTP/1.1x',
    'HTTP/1.x',
    'HTTP/x.1',
    'HTTP/+1.1',
    'HTTP/1.+1',
    'HTTP/-1.1',
    'HTTP/0x1.1',
    'HTTP//1.1',
    'HTTP\\1.1',
    'HTTPS/1.1',
    'HTTP/1.1;',
    'HTTP/1.1\x00',
    'HTTP/1.1\x0b',
    'HTTP/1.\xb9',
    'XHTTP/1.1',
    'SIP/2.0',
    'RTSP/1.0',
    'ICE/1.0',
    'HTP/1.1',
    'HTTP/A.B',
  ]
  await refuses(
    t,
    rig,
    versions.map((version) => bad(`GET / ${version}`)),
  )
})

t.test('a version that is well formed and not ours is refused: 505 for HTTP/2.0', async (t) => {
  await refuses(t, rig, [
    bad('GET / HTTP/2.0', 505),
    bad('POST /x HTTP/2.0', 505),
    ...['1.2', '1.9', '3.0', '0.9', '0.0', '9.9', '2.1'].map((v) => bad(`GET / HTTP/${v}`, [400, 505])),
    { title: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: [400, 505] },
  ])
})

t.test('HTTP/0.9 is refused', async (t) => {
  await refuses(t, rig, [
    { title: 'GET /', bytes: 'GET /\r\n' },
    { title: 'GET / and an empty line', bytes: 'GET /\r\n\r\n' },
    { title: 'GET / with LF', bytes: 'GET /\n' },
    { title: 'GET / with fields', bytes: 'GET /\r\nHost: a.test\r\n\r\n' },
    { title: 'a lone word', bytes: 'hello\r\n' },
  ])
})

t.test('a control, a space, a byte from 0x80 up or a fragment in the target is refused', async (t) => {
  const rows: RefusedRow[] = []
  for (let code = 0; code < 256; code++) {
    if (code > 0x20 && code < 0x7f) continue
    const c = String.fromCharCode(code)
    for (const target of [`/a${c}b`, `/${c}`, `/?q=${c}x`])
      rows.push({ ...bad(`GET ${target} HTTP/1.1`), title: `0x${code.toString(16)} in ${JSON.stringify(target)}` })
  }
  for (const target of ['/a#b', '/#', '#', '/?q#f', '/#?', 'http://a.test/#f', 'http://a.test#f', '*#'])
    rows.push(bad(`GET ${target} HTTP/1.1`))
  await refuses(t, rig, rows)
})

t.test('a target of no form is refused', async (t) => {
  const targets = [
    'a',
    'a/b',
    '?q',
    '.',
    '..',
    '\\',
    '\\a',
    ':',
    'a.test',
    'a.test:80',
    '@',
    'http:',
    'http:/',
    'http://',
    'http:///',
    'http:///x',
    'http://?q',
    'http:a.test/',
    '://a.test/',
    'a.test/x',
    '**',
    '*/',
    '*?q',
  ]
  await refuses(
    t,
    rig,
    targets.map((target) => bad(`GET ${target} HTTP/1.1`)),
  )
})

t.test('a target in origin-form passes as it is', async (t) => {
  const targets = [
    '/',
    '//',
    '//b.test/x',
    '/a//b',
    '/../..',
    '/./a',
    '/%00',
    '/%2e%2e/%2F',
    '/%',
    '/%zz',
    '/?',
    '/a?b=c&d',
    '/a?b?c',
    '/a;b=c',
    '/:',
    '/@',
    '/http://b.test/',
    "/!$&'()*+,;=:@-._~",
    '/a/*',
    '/[x]',
    '/{x}',
    '/a|b',
    '/"q"',
    '/<x>',
    '/^`',
    '/\\',
  ]
  await passes(
    t,
    rig,
    targets.map((target) => ({ title: target, bytes: get(target), target })),
  )
})

t.test('one empty line before a request line is skipped, and only one', async (t) => {
  await passes(t, rig, [{ title: 'CRLF first', bytes: `\r\n${get('/skipped')}`, target: '/skipped' }])
  await refuses(t, rig, [
    { title: 'two', bytes: `\r\n\r\n${get('/')}` },
    { title: 'three', bytes: `\r\n\r\n\r\n${get('/')}` },
    { title: 'LF', bytes: `\n${get('/')}` },
    { title: 'CR', bytes: `\r${get('/')}` },
    { title: 'CR CRLF', bytes: `\r\r\n${get('/')}` },
    { title: 'CRLF LF', bytes: `\r\n\n${get('/')}` },
    { title: 'a space and CRLF', bytes: ` \r\n${get('/')}` },
    { title: 'NUL', bytes: `\0${get('/')}` },
  ])
})

t.test('one empty line between two requests of a connection is skipped', async (t) => {
  const seen = rig.backend.requests.length
  const client = await rig.connect()
  client.send(`${get('/one')}\r\n${get('/two')}`)
  for (let i = 0; i < 2; i++) t.equal((await client.readResponse()).status, 200)
  client.destroy()
  t.strictSame(
    rig.backend.requests.slice(seen).map((r) => r.target),
    ['/one', '/two'],
  )
})

t.test('bytes that are no HTTP at all are refused', async (t) => {
  await refuses(t, rig, [
    { title: 'a TLS ClientHello', bytes: Buffer.from('16030100a5010000a10303'.padEnd(200, '00'), 'hex') },
    { title: 'SSH', bytes: 'SSH-2.0-OpenSSH_9.2\r\n' },
    { title: 'PROXY protocol v1, not expected here', bytes: `PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n${get('/')}` },
    { title: 'PROXY protocol v2, not expected here', bytes: `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${get('/')}` },
    { title: 'SMTP', bytes: 'EHLO a.test\r\n' },
    { title: 'NULs', bytes: '\0'.repeat(100) },
    { title: '0xff', bytes: '\xff'.repeat(100) },
  ])
})

t.test('nothing of any of it reached the backend', async (t) => {
  t.strictSame(rig.backend.faults, [])
})
