/** Heads that go on: what is dropped, what is added, and that all else passes byte for byte. */
import fc from 'fast-check'
import t from 'tap'
import { ID } from '../../../lib/datapaths/http/fields.ts'
import {
  type ForwardRules,
  forwardRequest,
  forwardResponse,
  httpDate,
  needsHost,
  type ResponseHop,
  withHost,
} from '../../../lib/datapaths/http/forward.ts'
import { Framing } from '../../../lib/datapaths/http/framing.ts'
import { Hop } from '../../../lib/datapaths/http/hop.ts'
import type { RequestRules } from '../../../lib/datapaths/http/request.ts'
import { field, parse, parsed, parsedResponse, token, trimmed, value } from './fixtures/heads.ts'

const RULES: ForwardRules = { host: 'preserve', via: 'evenkeel', requestId: 'X-Request-Id', forwarded: false }
const REQUEST: RequestRules = { allowTrace: true, upgrades: ['websocket'], via: false }
const ADDED = /^(X-Forwarded-For|X-Forwarded-Proto|X-Forwarded-Host|X-Forwarded-Port|Via|X-Request-Id): /

interface Given {
  readonly rules?: Partial<ForwardRules>
  readonly trusted?: boolean
  readonly client?: string
  readonly scheme?: 'http' | 'https'
}

/** The head that a backend gets of `text`. */
function onward(text: string, { rules, trusted = false, client = '192.0.2.1', scheme = 'http' }: Given = {}): string {
  const { head, buf, base } = parsed(text)
  if (!head.interpret(buf, base, REQUEST)) throw new Error(`${head.error} ${head.problem}`)
  const all = { ...RULES, ...rules }
  return forwardRequest(buf, base, head, all, new Hop(client, scheme, 8080, trusted, all), 'id-1')
}

const linesOf = (head: string): string[] => head.split('\r\n').slice(1, -2)
/** The lines that came from the client. */
const kept = (head: string): string[] => linesOf(head).filter((line) => !ADDED.test(line))
const get = (fields: string, line = 'GET /x HTTP/1.1'): string => `${line}\r\nHost: a.test\r\n${fields}\r\n`

t.test('a plain request goes on as it came, with what we say of the client behind it', (t) => {
  t.equal(
    onward(get('accept:  */*  \r\nCookie: a=b\r\nX-Odd:\tc \r\ncookie: c=d\r\n')),
    'GET /x HTTP/1.1\r\nHost: a.test\r\naccept:  */*  \r\nCookie: a=b\r\nX-Odd:\tc \r\ncookie: c=d\r\n' +
      'X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.test\r\nX-Forwarded-Port: 8080\r\n' +
      'Via: 1.1 evenkeel\r\nX-Request-Id: id-1\r\n\r\n',
  )
  t.end()
})

const HOP_BY_HOP = [
  'Connection: x',
  'Keep-Alive: timeout=5',
  'Proxy-Connection: keep-alive',
  'Proxy-Authenticate: Basic',
]
HOP_BY_HOP.push('Proxy-Authorization: Basic eA==', 'TE: gzip', 'Trailer: X-Sum', 'Upgrade: irc')
for (const line of HOP_BY_HOP)
  t.test(`${line} stays on its hop, in any case and in both directions`, (t) => {
    const [name = '', ...rest] = line.split(':')
    for (const written of [name, name.toLowerCase(), name.toUpperCase()]) {
      const fields = `A: 1\r\n${written}:${rest.join(':')}\r\nB: 2\r\n`
      t.same(kept(onward(get(fields))), ['Host: a.test', 'A: 1', 'B: 2'])
      t.same(kept(back(`HTTP/1.1 200 OK\r\n${fields}Date: now\r\n\r\n`)), ['A: 1', 'B: 2', 'Date: now'])
    }
    t.end()
  })

t.test('what Connection names stays on its hop, in both directions', (t) => {
  const fields = 'A: 1\r\nX-One: 1\r\nconnection: x-ONE, close\r\nx-two: 2\r\nConnection: X-Two\r\nX-Three: 3\r\n'
  t.same(kept(onward(get(fields))), ['Host: a.test', 'A: 1', 'X-Three: 3'])
  t.same(kept(back(`HTTP/1.1 200 OK\r\n${fields}Date: now\r\n\r\n`)), ['A: 1', 'X-Three: 3', 'Date: now'])
  t.end()
})

t.test('Connection can not name away what others rely on', (t) => {
  const names = [
    'Host',
    'Cookie',
    'Authorization',
    'Via',
    'Content-Length',
    'X-Forwarded-For',
    'X-Forwarded-By',
    'X-Real-IP',
  ]
  const named = onward(
    get(`Connection: ${names.join(', ')}\r\nCookie: a\r\nAuthorization: b\r\nVia: 1.1 c\r\nContent-Length: 3\r\n`),
  )
  t.match(named, /^X-Forwarded-For: 192\.0\.2\.1\r$/m)
  t.same(
    linesOf(named).filter((line) => /^(Host|Cookie|Authorization|Via|Content-Length)/.test(line)),
    ['Host: a.test', 'Cookie: a', 'Authorization: b', 'Via: 1.1 c', 'Via: 1.1 evenkeel', 'Content-Length: 3'],
  )
  const trusted = onward(get('Connection: X-Forwarded-By, Forwarded\r\nX-Forwarded-By: p\r\nForwarded: for=q\r\n'), {
    trusted: true,
  })
  t.ok(kept(trusted).includes('X-Forwarded-By: p'))
  t.ok(kept(trusted).includes('Forwarded: for=q'))
  t.end()
})

const IDENTITY = ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'X-Forwarded-Port', 'X-Forwarded-Server']
IDENTITY.push('X-Forwarded-Prefix', 'X-Real-IP', 'Forwarded', 'X-Request-Id')
for (const name of IDENTITY)
  t.test(`a client does not tell ${name}, nor by a twin of it`, (t) => {
    for (const written of [name, name.toLowerCase(), name.replaceAll('-', '_'), name.toUpperCase().replace('-', '_')]) {
      const found = onward(get(`A: 1\r\n${written}: forged\r\n`))
      t.notMatch(found, /forged/, written)
      t.same(kept(found), ['Host: a.test', 'A: 1'])
    }
    t.end()
  })

t.test('a trusted proxy is believed, and added to the chain', (t) => {
  const found = onward(
    get(
      'X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\n' +
        'X-Forwarded-Port: 443\r\nX-Forwarded-Server: s\r\nX-Real-IP: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Request-Id: theirs\r\n',
    ),
    { trusted: true, client: '10.0.0.9' },
  )
  t.same(linesOf(found), [
    'Host: a.test',
    'X-Forwarded-Server: s',
    'X-Real-IP: 1.1.1.1',
    'Forwarded: for=1.1.1.1',
    'X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: b.test',
    'X-Forwarded-Port: 443',
    'Via: 1.1 evenkeel',
    'X-Request-Id: id-1',
  ])
  const silent = linesOf(onward(get(''), { trusted: true, scheme: 'https' }))
  t.same(
    silent.slice(1, 5),
    linesOf(onward(get(''), { scheme: 'https' })).slice(1, 5),
    'one that says nothing is a client',
  )
  t.end()
})

t.test('any other name with _ passes as it is', (t) => {
  const fields = ['X_Any: 1', 'user_agent: 2', '_: 3', 'X-Forwarded_: 4', 'x_forward_for: 5']
  t.same(kept(onward(get(`${fields.join('\r\n')}\r\n`))), ['Host: a.test', ...fields])
  t.end()
})

t.test('what we add can be named otherwise or left out', (t) => {
  const found = onward(get('X-Trace: theirs\r\nX_TRACE: twin\r\nVia: 1.0 p\r\n'), {
    rules: { via: false, requestId: 'X-Trace', forwarded: true },
    client: '2001:db8::1',
    scheme: 'https',
  })
  t.match(found, /^X-Trace: id-1\r$/m)
  t.notMatch(found, /theirs|evenkeel|X-Request-Id/)
  t.match(found, /^Forwarded: for="\[2001:db8::1\]";host="a\.test";proto=https\r$/m)
  t.match(found, /^Via: 1\.0 p\r$/m)
  t.match(onward(get(''), { rules: { forwarded: true } }), /^Forwarded: for=192\.0\.2\.1;host="a\.test";proto=http\r$/m)
  t.notMatch(onward(get(''), { rules: { requestId: false } }), /Request-Id/i)
  t.end()
})

const LINES: readonly (readonly [given: string, sent: string, host: string])[] = [
  ['GET /a?b HTTP/1.1', 'GET /a?b HTTP/1.1', 'a.test'],
  ['GET http://a.test HTTP/1.1', 'GET / HTTP/1.1', 'a.test'],
  ['GET http://A.TEST?q HTTP/1.1', 'GET /?q HTTP/1.1', 'a.test'],
  ['GET https://a.test/p?q HTTP/1.1', 'GET /p?q HTTP/1.1', 'a.test'],
  ['OPTIONS * HTTP/1.1', 'OPTIONS * HTTP/1.1', 'a.test'],
  ['OPTIONS http://a.test HTTP/1.1', 'OPTIONS * HTTP/1.1', 'a.test'],
  ['OPTIONS http://a.test/ HTTP/1.1', 'OPTIONS / HTTP/1.1', 'a.test'],
  ['GET /a HTTP/1.0', 'GET /a HTTP/1.1', 'a.test'],
]
for (const [given, sent, host] of LINES)
  t.test(`${given} goes on as ${sent}`, (t) => {
    const found = onward(get('', given))
    t.equal(found.split('\r\n')[0], sent)
    t.same(
      linesOf(found).filter((line) => line.startsWith('Host')),
      [`Host: ${host}`],
    )
    t.match(found, given.endsWith('1.0') ? /^Via: 1\.0 evenkeel\r$/m : /^Via: 1\.1 evenkeel\r$/m)
    t.end()
  })

t.test('Host is kept, taken from the backend, or a literal; there is always exactly one', (t) => {
  const texts = [get('host2: x\r\n'), get('', 'GET http://a.test/ HTTP/1.1'), 'GET / HTTP/1.0\r\n\r\n']
  for (const text of texts)
    for (const host of ['preserve', 'backend', { literal: 'c.test' }] as const) {
      const { head, buf, base } = parsed(text)
      head.interpret(buf, base, REQUEST)
      const rules = { ...RULES, host }
      const partial = onward(text, { rules })
      const whole = needsHost(head, rules) ? withHost(partial, '::1', 80) : partial
      const hosts = linesOf(whole).filter((line) => /^host:/i.test(line))
      const expected =
        typeof host === 'object' ? 'c.test' : host === 'backend' || text.includes('1.0') ? '[::1]:80' : 'a.test'
      t.same(hosts, [`Host: ${expected}`], JSON.stringify({ text, host }))
      t.ok(parsed(whole).head.interpret(...place(whole), REQUEST), 'a head that we would take')
    }
  t.end()
})

/** Where `parsed` puts a head. */
function place(text: string): [buf: Buffer, base: number] {
  const { buf, base } = parsed(text)
  return [buf, base]
}

t.test('the framing is written anew: one line that says it', (t) => {
  const framed = (fields: string): string[] =>
    linesOf(onward(get(fields, 'POST / HTTP/1.1'))).filter((line) => /^(content-length|transfer-encoding)/i.test(line))
  t.same(framed(''), [])
  t.same(framed('content-length: 0005\r\n'), ['Content-Length: 5'])
  t.same(framed('Content-Length: 0\r\n'), ['Content-Length: 0'])
  t.same(framed('TRANSFER-encoding: CHUNKED\r\n'), ['Transfer-Encoding: chunked'])
  t.end()
})

t.test('trailers are asked for and announced only where they can come', (t) => {
  t.same(kept(onward(get('TE: gzip, trailers\r\n'))), ['Host: a.test', 'TE: trailers', 'Connection: TE'])
  t.same(kept(onward(get('TE: trailersx\r\nTE: gzip;q=1\r\n'))), ['Host: a.test'])
  t.ok(kept(onward(get('Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n'))).includes('Trailer: X-Sum'))
  t.end()
})

t.test('an upgrade goes on with its token and nothing else of the hop', (t) => {
  const found = onward(
    get('Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nKeep-Alive: 5\r\nTE: trailers\r\n'),
  )
  t.same(kept(found), ['Host: a.test', 'Connection: Upgrade', 'Upgrade: websocket'])
  t.end()
})

t.test('a connection says the same of each of its requests, also when they ask for different hosts', (t) => {
  const hop = new Hop('192.0.2.1', 'http', 8080, false, RULES)
  for (const host of ['a.test', 'a.test', 'b.test', '', '', 'a.test']) {
    const text = host === '' ? 'GET / HTTP/1.0\r\n\r\n' : `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    const { head, buf, base } = parsed(text)
    head.interpret(buf, base, REQUEST)
    const found = linesOf(forwardRequest(buf, base, head, RULES, hop, 'id'))
    const told = found.filter((line) => line.startsWith('X-Forwarded-Host'))
    t.same(told, host === '' ? [] : [`X-Forwarded-Host: ${host}`])
    t.ok(found.includes('X-Forwarded-For: 192.0.2.1'))
  }
  t.end()
})

/** The head that a client gets of `text`. */
function back(text: string, hop: Partial<ResponseHop> = {}): string {
  const { head, buf, base } = parsedResponse(text)
  const framing = new Framing()
  if (!framing.read(head, buf, base)) throw new Error(framing.problem)
  return forwardResponse(buf, base, head, framing, {
    body: 'length',
    connection: '',
    upgrade: '',
    trailers: false,
    ...hop,
  })
}

t.test('an answer goes on as it came; Date is added where it has none', (t) => {
  const text = 'HTTP/1.0 404 Not  Found\xe9\r\nserver: x\r\nSet-Cookie: a\r\nset-cookie: b\r\ncontent-length: 5\r\n'
  t.equal(back(`${text}Date: now\r\n\r\n`), `HTTP/1.1${text.slice(8)}Date: now\r\n\r\n`)
  const dated = back(`${text}\r\n`)
  const [, date = ''] = /^Date: (.*)\r$/m.exec(dated) ?? []
  t.ok(Math.abs(Date.parse(date) - Date.now()) < 3000, date)
  t.equal(new Date(date).toUTCString(), date)
  t.notMatch(back('HTTP/1.1 103 Early Hints\r\n\r\n', { body: 'none' }), /Date/)
  t.equal(httpDate().length, 29)
  t.end()
})

t.test('a status line is whole, also when the backend left out its reason phrase', (t) => {
  for (const line of ['HTTP/1.1 200', 'HTTP/1.1 200 ', 'HTTP/1.0 200'])
    t.match(
      back(`${line}\r\nDate: now\r\n\r\n`),
      /^HTTP\/1\.1 200 \r\nDate: now\r\n/,
      'RFC 9112 §4: the space is not optional',
    )
  t.end()
})

t.test('the length is told as the body goes on: kept, left out for chunks, kept where no body comes', (t) => {
  const lines = (text: string, hop: Partial<ResponseHop>): string[] =>
    linesOf(back(text, hop)).filter((line) => /^(content-length|transfer-encoding)/i.test(line))
  const sized = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
  const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
  t.same(lines(sized, { body: 'length' }), ['Content-Length: 5'])
  t.same(lines(sized, { body: 'none' }), ['Content-Length: 5'], 'an answer to HEAD')
  t.same(lines('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', { body: 'none' }), ['Content-Length: 5'])
  t.same(lines('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', { body: 'none' }), [])
  t.same(lines('HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n', { body: 'none' }), [])
  t.same(lines(chunked, { body: 'chunked' }), ['Transfer-Encoding: chunked'])
  t.same(lines(chunked, { body: 'close' }), [])
  t.same(lines(chunked, { body: 'none' }), [])
  t.same(lines('HTTP/1.0 200 OK\r\n\r\n', { body: 'chunked' }), ['Transfer-Encoding: chunked'])
  t.end()
})

t.test('our own Connection and Upgrade are the only ones', (t) => {
  const text = 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade, x\r\nUpgrade: websocket\r\nX: 1\r\n\r\n'
  t.same(kept(back(text, { body: 'none', connection: 'Upgrade', upgrade: 'websocket' })), [
    'Upgrade: websocket',
    'Connection: Upgrade',
  ])
  t.same(kept(back('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nDate: now\r\n\r\n', { connection: 'close' })), [
    'Date: now',
    'Connection: close',
  ])
  t.same(kept(back('HTTP/1.1 200 OK\r\nTrailer: a\r\nDate: now\r\n\r\n', { trailers: true })), [
    'Trailer: a',
    'Date: now',
  ])
  t.end()
})

t.test(
  'whatever passes keeps its bytes and its order, and what goes on is a head that we would take ourselves',
  (t) => {
    const lines = fc.array(
      fc.oneof(
        fc.tuple(token, value),
        field.filter(([name]) => !/^(host|content.length|transfer.encoding)$/i.test(name)),
      ),
      { maxLength: 10 },
    )
    fc.assert(
      fc.property(lines, fc.boolean(), fc.boolean(), (lines, trusted, absolute) => {
        const text = get(
          lines.map(([name, value]) => `${name}:${value}\r\n`).join(''),
          absolute ? 'GET http://a.test/ HTTP/1.1' : 'GET / HTTP/1.1',
        )
        const { head, buf, base, result } = parse(Buffer.from(text, 'latin1'), [text.length])
        if (result !== 'done' || !head.interpret(buf, base, REQUEST)) return true
        const found = onward(text, { trusted })
        const again = parsed(found)
        if (!again.head.interpret(again.buf, again.base, REQUEST)) return false
        const { nominated } = head.framing
        const plain = lines.filter(([name], i) => {
          if (nominated?.has(name.toLowerCase()) === true) return false
          const id = head.id(i + 1)
          return id === 0 || id === ID.cookie || id === ID.accept
        })
        const expected = plain.map(([name, value]) => `${name}:${value}`)
        const all = found.split('\r\n')
        let at = 0
        for (const line of expected) {
          at = all.indexOf(line, at) + 1
          if (at === 0) return false
        }
        return plain.every(([, value]) => trimmed(value) === '' || found.includes(value))
      }),
      { numRuns: 1000 },
    )
    t.end()
  },
)
