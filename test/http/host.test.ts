/** HTTP.md 7: one Host, the forms of a target, and the methods that do not pass. */
import t from 'tap'
import { get, passes, type RefusedRow, refuses, startRig } from '../support/engine.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t, {
  trace: { http: { allowTrace: true } },
  literal: { http: { host: { literal: 'inner.test:81' } } },
  backend: { http: { host: 'backend' } },
})
const bad = (lines: string, line = 'GET / HTTP/1.1'): RefusedRow => ({
  title: JSON.stringify(`${line}\r\n${lines}`),
  bytes: `${line}\r\n${lines}\r\n`,
})

t.test('no Host, an empty one or two are refused', async (t) => {
  await refuses(t, rig, [
    bad(''),
    bad('X: y\r\n'),
    bad('Host:\r\n'),
    bad('Host: \r\n'),
    bad('Host:\t \r\n'),
    bad('Host: a.test\r\nHost: a.test\r\n'),
    bad('Host: a.test\r\nhost: a.test\r\n'),
    bad('Host: a.test\r\nHost: b.test\r\n'),
    bad('Host: a.test\r\nX: y\r\nHOST: b.test\r\n'),
    bad('Host: a.test\r\nHost:\r\n'),
    bad('Host:\r\nHost: a.test\r\n'),
    bad('Host : a.test\r\n'),
    bad('Host: a.test\r\nHost : b.test\r\n'),
    bad('Host: a.test\r\n Host: b.test\r\n'),
    bad('Host: a.test\r\nHost: a.test\r\n', 'GET / HTTP/1.0'),
    bad('Host: a.test\r\nHost: b.test\r\n', 'GET http://a.test/ HTTP/1.1'),
    bad('', 'GET http://a.test/ HTTP/1.1'),
    bad('', 'OPTIONS * HTTP/1.1'),
  ])
})

t.test('a Host that is not a host and perhaps a port is refused', async (t) => {
  const hosts = [
    'u@a.test',
    'u:p@a.test',
    '@a.test',
    'a.test@',
    'a.test/',
    'a.test/x',
    '/a.test',
    'a.test\\x',
    'a.test?q',
    'a.test#f',
    'a.test, b.test',
    'a.test,b.test',
    'a.test,',
    ',a.test',
    'a.test b.test',
    'a.test\tb.test',
    'a .test',
    'a.test :80',
    'a.test: 80',
    'http://a.test',
    'http://a.test/',
    'a.test:80:80',
    'a.test:x',
    'a.test:80x',
    'a.test:-1',
    'a.test:+80',
    'a.test:0x50',
    '::1',
    '[::1',
    '::1]',
    '[::1]x',
    '[::1]:x',
    '[]',
    '[a.test]',
    'a[::1]',
    ':80',
    ':',
    '<a.test>',
    '"a.test"',
    'a.test\'"',
    '{a}',
    'a|b',
    'a^b',
    'a`b',
    'a%',
    'a%4',
    'a%zz.test',
    '%4',
    'a.test:65536',
    'a.test:4294967376',
    '[1]',
    '[:::]',
    '[::g]',
    '[.]',
    '[127.0.0.1]',
    '[fe80::1%eth0]',
    '[::1]80',
    'a'.repeat(256),
  ]
  await refuses(
    t,
    rig,
    hosts.map((host) => bad(`Host: ${host}\r\n`)),
  )
})

t.test('a proper Host passes as it is', async (t) => {
  const hosts = [
    'a.test',
    'A.Test',
    'a.test:80',
    'a.test:8443',
    'localhost',
    '127.0.0.1',
    '127.0.0.1:1',
    '[::1]',
    '[2001:db8::1]:443',
    'a-b_c.test',
    'xn--bcher-kva.test',
    'a.test.',
    'a%C3%A4.test',
    'a.test:',
    'a.test:65535',
    '[::ffff:1.2.3.4]:1',
    'a'.repeat(255),
  ]
  for (const [i, host] of hosts.entries()) {
    const { status } = await roundTrip(rig.port(), `GET /h/${i} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    t.equal(status, 200, host)
    t.strictSame(valuesOf(rig.backend.last(`/h/${i}`).fields, 'host'), [host])
  }
})

t.test('the authority of an absolute target replaces Host, and the backend gets origin-form', async (t) => {
  const rows = [
    ['http://a.test/x?y=z', '/x?y=z'],
    ['http://a.test/', '/'],
    ['http://a.test', '/'],
    ['http://a.test?q=1', '/?q=1'],
    ['HTTP://a.test/upper', '/upper'],
    ['http://A.TEST/case', '/case'],
    ['http://a.test//b.test/', '//b.test/'],
    ['http://a.test/http://b.test/', '/http://b.test/'],
    ['http://a.test/@b.test', '/@b.test'],
  ] as const
  await passes(
    t,
    rig,
    rows.map(([absolute, target]) => ({ title: absolute, bytes: get(absolute), target })),
  )
  t.equal((await roundTrip(rig.port(), 'GET http://b.test:81/old HTTP/1.0\r\n\r\n')).status, 200)
  t.strictSame(valuesOf(rig.backend.last('/old').fields, 'host'), ['b.test:81'], 'on HTTP/1.0 without Host too')
})

t.test('an absolute target that disagrees with Host, or is no host, is refused', async (t) => {
  const targets = [
    'http://b.test/',
    'http://a.test.b.test/',
    'http://xa.test/',
    'http://a.test:81/',
    'http://u@a.test/',
    'http://u:p@a.test/',
    'http://a.test@b.test/',
    'http://b.test\\@a.test/',
    'http://b.test%00a.test/',
    'http://a.test,b.test/',
    'http://a.test:x/',
    'http://[::1/',
    'http://a.test:80:80/',
    'http:\\\\a.test/',
  ]
  await refuses(
    t,
    rig,
    targets.map((target) => ({ title: target, bytes: get(target) })),
  )
})

t.test('an asterisk passes with OPTIONS only', async (t) => {
  await passes(t, rig, [{ title: 'OPTIONS *', bytes: 'OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n', target: '*' }])
  await refuses(
    t,
    rig,
    ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'options', 'OPTIONSX'].map((method) =>
      bad('Host: a.test\r\n', `${method} * HTTP/1.1`),
    ),
  )
})

t.test('CONNECT and TRACE are answered 405 with what is allowed', async (t) => {
  const requests = [
    'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n',
    'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 5\r\n\r\nhello',
    'CONNECT / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    'TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    'TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n\r\n',
  ]
  const seen = rig.backend.heads.length
  for (const request of requests) {
    const response = await roundTrip(rig.port(), request)
    t.equal(response.status, 405, request)
    t.equal(valuesOf(response.fields, 'allow').length, 1, 'RFC 9110 §15.5.6 wants Allow')
    t.notMatch(response.body.toString(), /Max-Forwards|a\.test/, 'nothing of the request is echoed')
  }
  await rig.barrier()
  t.equal(rig.backend.heads.length, seen)
})

t.test('TRACE passes where it is allowed, CONNECT does not', async (t) => {
  await passes(
    t,
    rig,
    [{ title: 'TRACE', bytes: 'TRACE /t HTTP/1.1\r\nHost: a.test\r\n\r\n', method: 'TRACE' }],
    'trace',
  )
  const response = await roundTrip(rig.port('trace'), 'CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n')
  t.equal(response.status, 405)
})

t.test('http.host replaces Host towards the backend, exactly once', async (t) => {
  for (const [service, wanted] of [
    ['literal', 'inner.test:81'],
    ['backend', rig.backend.address],
  ] as const)
    for (const [kind, request] of [
      ['1.1', get(`/${service}/1.1`)],
      ['absolute', get(`http://a.test/${service}/absolute`)],
      ['1.0', `GET /${service}/1.0 HTTP/1.0\r\n\r\n`],
    ] as const) {
      t.equal((await roundTrip(rig.port(service), request)).status, 200)
      t.strictSame(valuesOf(rig.backend.last(`/${service}/${kind}`).fields, 'host'), [wanted], `${service} ${kind}`)
    }
})

t.test('HTTP/1.0 without Host passes', async (t) => {
  await passes(t, rig, [{ title: 'HTTP/1.0', bytes: 'GET /old HTTP/1.0\r\n\r\n', target: '/old' }])
})

t.test('nothing of any of it reached the backend', async (t) => {
  t.strictSame(rig.backend.faults, [])
})
