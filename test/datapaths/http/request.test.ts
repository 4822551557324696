/** What a request's head means: target, host, expectation, upgrade; and that it means it wherever it lies. */
import fc from 'fast-check'
import t from 'tap'
import type { RequestHead, RequestRules } from '../../../lib/datapaths/http/request.ts'
import { cuts, endsOf, POISONS, parse, parsed, requestText } from './fixtures/heads.ts'

const RULES: RequestRules = { allowTrace: false, upgrades: ['websocket'], via: 'evenkeel' }

interface Meaning {
  readonly error: number
  readonly method: string
  readonly path: string
  readonly host: string
  readonly absolute: boolean
  readonly head: RequestHead
}

function meaning(text: string, rules: RequestRules = RULES): Meaning {
  const { head, buf, base } = parsed(text)
  const good = head.interpret(buf, base, rules)
  const part = (from: number, to: number): string => buf.latin1Slice(base + from, base + to)
  return {
    error: good ? 0 : head.error,
    method: head.method,
    path: part(head.pathStart, head.pathEnd),
    host: part(head.hostStart, head.hostEnd),
    absolute: head.absolute,
    head,
  }
}

const request = (line: string, fields = 'Host: a.test\r\n'): string => `${line}\r\n${fields}\r\n`

const TARGETS: readonly (readonly [line: string, path: string, host: string])[] = [
  ['GET / HTTP/1.1', '/', 'a.test'],
  ['GET /a?b=c%20d HTTP/1.1', '/a?b=c%20d', 'a.test'],
  ['GET //a.test/b HTTP/1.1', '//a.test/b', 'a.test'],
  ['GET /http://b.test/ HTTP/1.1', '/http://b.test/', 'a.test'],
  ['GET http://a.test HTTP/1.1', '', 'a.test'],
  ['GET http://a.test/ HTTP/1.1', '/', 'a.test'],
  ['GET http://a.test?x HTTP/1.1', '?x', 'a.test'],
  ['GET HTTPS://A.Test/x HTTP/1.1', '/x', 'a.test'],
  ['GET http://a.test/x HTTP/1.0', '/x', 'a.test'],
  ['OPTIONS * HTTP/1.1', '*', 'a.test'],
  ['OPTIONS http://a.test HTTP/1.1', '', 'a.test'],
]
for (const [line, path, host] of TARGETS)
  t.test(`${line} asks for ${JSON.stringify(path)}`, (t) => {
    const found = meaning(request(line))
    t.same([found.error, found.path, found.host], [0, path, host])
    t.end()
  })

const BAD_TARGETS: Readonly<Record<string, number>> = {
  'GET * HTTP/1.1': 400,
  'OPTIONS ** HTTP/1.1': 400,
  'GET a.test HTTP/1.1': 400,
  'GET a.test:80 HTTP/1.1': 400,
  'GET ftp://a.test/ HTTP/1.1': 400,
  'GET http:/a.test/ HTTP/1.1': 400,
  'GET http:// HTTP/1.1': 400,
  'GET https:// HTTP/1.1': 400,
  'GET http:///x HTTP/1.1': 400,
  'GET http://?x HTTP/1.1': 400,
  'GET http://b.test/ HTTP/1.1': 400,
  'GET http://a.test:80/ HTTP/1.1': 400,
  'GET http://u@a.test/ HTTP/1.1': 400,
  'GET ?x HTTP/1.1': 400,
  'CONNECT a.test:443 HTTP/1.1': 405,
  'TRACE / HTTP/1.1': 405,
}
for (const [line, error] of Object.entries(BAD_TARGETS))
  t.test(`${line} is refused with ${error}`, (t) => {
    t.equal(meaning(request(line)).error, error)
    t.end()
  })

t.test('TRACE is served where it is allowed, and a method is what it is letter by letter', (t) => {
  t.equal(meaning(request('TRACE / HTTP/1.1'), { ...RULES, allowTrace: true }).error, 0)
  for (const method of ['GET', 'POST', 'get', 'Post', 'GOT', 'PORT', 'GETT', 'M-SEARCH', 'trace'])
    t.equal(meaning(request(`${method} / HTTP/1.1`)).method, method)
  t.end()
})

t.test('only methods that may be sent twice are idempotent', (t) => {
  const methods = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'POST', 'PATCH', 'get', 'LOCK']
  const found = methods.filter((method) => meaning(request(`${method} / HTTP/1.1`)).head.idempotent)
  t.same(found, ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
  t.end()
})

const HOSTS: Readonly<Record<string, boolean>> = {
  'a.test': true,
  'A.TEST:80': true,
  'a.test:': true,
  '10.0.0.1': true,
  '10.0.0.1:8080': true,
  '[::1]': true,
  '[::1]:8080': true,
  '[::ffff:10.0.0.1]': true,
  'a_b.test': true,
  'xn--mnchen-3ya.test': true,
  '': false,
  ':80': false,
  'a.test:80x': false,
  'a.test:80:80': false,
  'a.test:-1': false,
  'u@a.test': false,
  'u:p@a.test': false,
  'a.test/x': false,
  'a.test?x': false,
  'a.test,b.test': false,
  'a.test b.test': false,
  'a.test\\b': false,
  'a"b': false,
  'a<b': false,
  '[::1': false,
  '::1': false,
  '[]': false,
  '[g::1]': false,
  '[::1]x': false,
  '[::1%25eth0]': false,
  'a[1]': false,
  'm\xfcnchen.test': false,
}
for (const [host, good] of Object.entries(HOSTS))
  t.test(`Host ${JSON.stringify(host)} is ${good ? 'good' : 'refused'}`, (t) => {
    const found = meaning(request('GET / HTTP/1.1', `Host: ${host}\r\n`))
    t.equal(found.error, good ? 0 : 400)
    if (good) t.equal(found.host, host)
    t.end()
  })

t.test('HTTP/1.1 needs exactly one Host, HTTP/1.0 at most one', (t) => {
  t.equal(meaning(request('GET / HTTP/1.1', '')).error, 400)
  t.equal(meaning(request('GET http://a.test/ HTTP/1.1', '')).error, 400)
  t.equal(meaning(request('GET / HTTP/1.1', 'Host: a.test\r\nHost: a.test\r\n')).error, 400)
  t.equal(meaning(request('GET / HTTP/1.0', 'Host: a.test\r\nhost: a.test\r\n')).error, 400)
  const without = meaning(request('GET / HTTP/1.0', ''))
  t.same([without.error, without.host], [0, ''])
  const absolute = meaning(request('GET http://a.test:80/ HTTP/1.0', ''))
  t.same([absolute.error, absolute.host], [0, 'a.test:80'])
  t.end()
})

t.test('only the exact 100-continue is an expectation, and only HTTP/1.1 has one', (t) => {
  const expecting = (value: string, version = '1.1') =>
    meaning(request(`POST / HTTP/${version}`, `Host: a.test\r\nExpect: ${value}\r\nContent-Length: 5\r\n`))
  t.same([expecting('100-continue').error, expecting('100-continue').head.expectContinue], [0, true])
  t.same([expecting('100-Continue').error, expecting('100-Continue').head.expectContinue], [0, true])
  t.same([expecting('100-continue', '1.0').error, expecting('100-continue', '1.0').head.expectContinue], [0, false])
  for (const value of ['', '100', '100-continue,', '100-continue, x', '100-continue;x', 'x100-continue', '200-ok'])
    t.equal(expecting(value).error, 417, value)
  t.end()
})

const UPGRADES: readonly (readonly [what: string, text: string, upgrade: string])[] = [
  ['an allowed token', 'Connection: Upgrade\r\nUpgrade: WebSocket\r\n', 'WebSocket'],
  ['beside another option', 'Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n', 'websocket'],
  ['with a length of 0', 'Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n', 'websocket'],
  ['not named by Connection', 'Upgrade: websocket\r\n', ''],
  ['a token that is not allowed', 'Connection: upgrade\r\nUpgrade: irc\r\n', ''],
  ['h2c', 'Connection: upgrade\r\nUpgrade: h2c\r\n', ''],
  ['a list', 'Connection: upgrade\r\nUpgrade: websocket, irc\r\n', ''],
  ['two fields', 'Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n', ''],
  ['with a body', 'Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n', ''],
  ['with chunks', 'Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n', ''],
]
for (const [what, fields, upgrade] of UPGRADES)
  t.test(`an upgrade, ${what}: ${upgrade === '' ? 'a normal request' : upgrade}`, (t) => {
    const found = meaning(request('GET / HTTP/1.1', `Host: a.test\r\n${fields}`))
    t.same([found.error, found.head.upgrade], [0, upgrade])
    t.end()
  })

t.test('h2c is never an upgrade, and HTTP/1.0 has none', (t) => {
  const rules = { ...RULES, upgrades: ['h2c', 'websocket'] }
  t.equal(
    meaning(request('GET / HTTP/1.1', 'Host: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n'), rules).head.upgrade,
    '',
  )
  const old = meaning(request('GET / HTTP/1.0', 'Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n'))
  t.same([old.error, old.head.upgrade], [0, ''])
  t.end()
})

t.test('a request that came by here before is refused as a loop, another proxy of a like name is none', (t) => {
  const via = (value: string, rules = RULES): number =>
    meaning(request('GET / HTTP/1.1', `Host: a.test\r\nVia: ${value}\r\n`), rules).error
  for (const value of ['1.1 evenkeel', '1.0 a, 1.1 evenkeel', '1.1 evenkeel (x)', 'HTTP/1.1\tevenkeel , 1.1 b'])
    t.equal(via(value), 508, value)
  for (const value of ['1.1 evenkeel2', '1.1 a (evenkeel)', 'evenkeel', '1.1 x.evenkeel', '', ','])
    t.equal(via(value), 0, value)
  t.equal(via('1.1 evenkeel', { ...RULES, via: false }), 0)
  t.end()
})

t.test('any head that parses has one meaning, whatever its pieces and what stands behind it, and none throws', (t) => {
  const read = (found: ReturnType<typeof parse>): string => {
    const { head, buf, base } = found
    const good = head.interpret(buf, base, RULES)
    const { error, problem, method, upgrade, expectContinue, te, absolute, framing } = head
    const path = buf.latin1Slice(base + head.pathStart, base + head.pathEnd)
    const host = buf.latin1Slice(base + head.hostStart, base + head.hostEnd)
    return JSON.stringify(
      good ? { method, path, host, upgrade, expectContinue, te, absolute, framing } : { error, problem },
    )
  }
  fc.assert(
    fc.property(requestText, cuts, fc.constantFrom(...POISONS), ({ text }, at, poison) => {
      const bytes = Buffer.from(text, 'latin1')
      const whole = read(parse(bytes, [bytes.length]))
      return whole === read(parse(bytes, endsOf(at, bytes.length), { poison }))
    }),
    { numRuns: 1000 },
  )
  t.end()
})
