/** HTTP.md 9, and the order and case of 11: what stays on one connection and what goes through. */
import t from 'tap'
import { get, startRig } from '../support/engine.ts'
import { namesOf, valuesOf } from '../support/message.ts'
import { type RawResponse, roundTrip } from '../support/raw.ts'

const rig = await startRig(t)
const { backend } = rig
let n = 0

/** The request that reached the backend for these field lines. */
async function sent(lines: string) {
  const target = `/sent/${n++}`
  const { status } = await roundTrip(rig.port(), get(target, lines))
  if (status !== 200) throw new Error(`answered ${status} to ${JSON.stringify(lines)}`)
  return backend.last(target)
}

/** The answer that reached the client for these field lines of the backend. */
async function answered(lines: string, fields = '', body = 'body'): Promise<RawResponse> {
  const target = `/answered/${n++}`
  backend.on(target, (x) => x.answer(body, lines))
  return roundTrip(rig.port(), get(target, fields))
}

const ALWAYS = [
  'Keep-Alive: timeout=5',
  'Proxy-Connection: keep-alive',
  'Proxy-Authenticate: Basic',
  'Proxy-Authorization: Basic eDp5',
  'TE: gzip',
  'TE: gzip;q=0.5, deflate',
  'Upgrade: foo',
  'keep-alive: timeout=5',
  'PROXY-CONNECTION: close',
]

t.test('fields of one connection are removed from requests', async (t) => {
  for (const line of ALWAYS) {
    const name = (line.split(':')[0] ?? '').toLowerCase()
    const { fields } = await sent(`${line}\r\nX-Kept: 1\r\n`)
    t.notOk(namesOf(fields).includes(name), line)
    t.strictSame(valuesOf(fields, 'x-kept'), ['1'])
  }
})

t.test('fields of one connection are removed from answers', async (t) => {
  for (const line of ALWAYS.filter((line) => !/^(?:TE|Proxy-Auth)/.test(line))) {
    const name = (line.split(':')[0] ?? '').toLowerCase()
    const { fields, body } = await answered(`${line}\r\nX-Kept: 1\r\n`)
    t.notOk(namesOf(fields).includes(name), line)
    t.strictSame(valuesOf(fields, 'x-kept'), ['1'])
    t.equal(body.toString(), 'body')
  }
})

const NOMINATIONS = [
  'Connection: X-Gone',
  'connection: x-gone',
  'Connection: close, X-Gone',
  'Connection: X-Gone, keep-alive',
  'Connection:X-GONE',
  'Connection: , ,x-gone,,',
  'Connection:\tx-gone\t,\tkeep-alive',
  'Connection: keep-alive\r\nConnection: X-Gone',
  'Connection: X-Other\r\nX-Between: 1\r\nConnection: X-Gone',
]

t.test('every field that Connection names is removed from requests', async (t) => {
  for (const lines of NOMINATIONS)
    for (const all of [
      `${lines}\r\nX-Gone: 1\r\nX-Kept: 2\r\n`,
      `X-Gone: 1\r\nX-Kept: 2\r\nx-gone: 3\r\n${lines}\r\n`,
    ]) {
      const { fields, head } = await sent(all)
      t.notOk(namesOf(fields).includes('x-gone'), JSON.stringify(all))
      t.strictSame(valuesOf(fields, 'x-kept'), ['2'])
      t.notMatch(head, /x-gone/i, 'and the nomination itself')
    }
})

t.test('every field that Connection names is removed from answers', async (t) => {
  for (const lines of NOMINATIONS) {
    const { fields, text: head } = await answered(`X-Gone: 1\r\nX-Kept: 2\r\n${lines}\r\nx-gone: 3\r\n`)
    t.notMatch(head, /x-gone/i, JSON.stringify(lines))
    t.strictSame(valuesOf(fields, 'x-kept'), ['2'])
  }
})

t.test('Connection cannot nominate away what routing, framing and identity rest on', async (t) => {
  const lines = [
    'Host',
    'Content-Length',
    'Cookie',
    'Authorization',
    'Via',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Host',
    'X-Forwarded-Port',
    'host, cookie, authorization, via, x-forwarded-for, content-length',
  ]
  for (const nominated of lines) {
    const { fields } = await sent(
      `Connection: ${nominated}\r\nCookie: a=b\r\nAuthorization: Basic eDp5\r\nX-Forwarded-For: 9.9.9.9\r\n`,
    )
    const names = namesOf(fields)
    for (const name of [
      'host',
      'cookie',
      'authorization',
      'via',
      'x-forwarded-for',
      'x-forwarded-proto',
      'x-forwarded-host',
    ])
      t.equal(names.filter((x) => x === name).length, 1, `${name} once with Connection: ${nominated}`)
    t.strictSame(valuesOf(fields, 'cookie'), ['a=b'])
    t.strictSame(valuesOf(fields, 'x-forwarded-for'), ['127.0.0.1'])
  }
})

t.test('Connection cannot nominate a body away', async (t) => {
  for (const nominated of ['Content-Length', 'content-length, close', 'Transfer-Encoding', 'Content-Type'])
    for (const [framing, body] of [
      ['Content-Length: 5', 'hello'],
      ['Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\n'],
    ]) {
      const target = `/body/${n++}`
      const request = `POST ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: ${nominated}\r\n${framing}\r\n\r\n${body}`
      t.equal((await roundTrip(rig.port(), request)).status, 200)
      t.equal(backend.last(target).reader.bytes.toString(), 'hello', `${framing} with Connection: ${nominated}`)
    }
})

t.test('Connection cannot nominate the length of an answer away', async (t) => {
  for (const nominated of [
    'Content-Length',
    'content-length, keep-alive',
    'Transfer-Encoding',
    'close, content-length',
  ]) {
    const { body, framing } = await answered(`Connection: ${nominated}\r\n`)
    t.equal(body.toString(), 'body', nominated)
    t.not(framing, 'close')
  }
})

t.test('TE: trailers is the one TE that goes on', async (t) => {
  for (const line of ['TE: trailers', 'Connection: TE\r\nTE: trailers', 'TE: gzip, trailers', 'te: Trailers']) {
    const { fields } = await sent(`${line}\r\n`)
    for (const value of valuesOf(fields, 'te')) t.equal(value.toLowerCase(), 'trailers', line)
    t.ok(valuesOf(fields, 'te').length <= 1)
  }
})

t.test('the case, the order and the repetitions of other fields are kept byte for byte', async (t) => {
  const lines = [
    'aCCept: */*',
    'X-Repeated: 1',
    'COOKIE: a=b; c=d',
    'x-repeated: 2',
    'Accept-Encoding: gzip, br',
    'X_Underscore: 1',
    'X-Empty:',
    'X-Repeated: 1',
    'User-Agent: t/1 (caf\xe9)',
    'Range: bytes=0-5',
    'If-None-Match: "x"',
    'Origin: null',
  ]
  const { head } = await sent(`${lines.join('\r\n')}\r\n`)
  const got = head.split('\r\n').filter((line) => lines.includes(line.replace(/: $/, ':')))
  t.strictSame(
    got.map((line) => line.replace(/: $/, ':')),
    lines,
  )
})

t.test('the same holds for answers', async (t) => {
  const lines = [
    'X-Powered-By: x',
    'Set-Cookie: a=b; Path=/',
    'SET-COOKIE: c=d; Expires=Wed, 21 Oct 2026 07:28:00 GMT',
    'Vary: Accept',
    'set-cookie: e=f',
    'Server: thing/1',
    'X_Underscore: 1',
    'Date: Mon, 01 Jan 2024 00:00:00 GMT',
    'vary: Cookie',
    'ETag: W/"x"',
    'Location: http://127.0.0.1:1/x',
    'X-Latin: \xe9\xff',
    'Connection-Like: kept',
    '__proto__: v',
  ]
  const { text: head } = await answered(`${lines.join('\r\n')}\r\n`)
  t.strictSame(
    head.split('\r\n').filter((line) => lines.includes(line)),
    lines,
  )
})

t.test('Date is added to an answer that has none, and left alone where there is one', async (t) => {
  const without = await answered('')
  t.equal(valuesOf(without.fields, 'date').length, 1)
  const date = Date.parse(valuesOf(without.fields, 'date')[0] ?? '')
  t.ok(Math.abs(date - Date.now()) < 5000, 'it is now')
  const own = 'Tue, 15 Nov 1994 08:12:31 GMT'
  t.strictSame(valuesOf((await answered(`date: ${own}\r\n`)).fields, 'date'), [own])
  t.strictSame(valuesOf(without.fields, 'server'), [], 'no Server is made up')
  t.strictSame(valuesOf(without.fields, 'via'), [], 'requests have Via, answers are left alone')
})

t.test('an answer keeps its status, its reason and its body', async (t) => {
  for (const status of [
    '200 OK',
    '200 Fine By Me',
    '201 Created',
    '299 x',
    '404 Not Found',
    '418 I am',
    '500 Oh',
    '599 z',
    '200 ',
  ]) {
    const target = `/status/${n++}`
    backend.on(target, (x) => x.answer('b', '', status))
    const response = await roundTrip(rig.port(), get(target))
    t.equal(response.startLine, `HTTP/1.1 ${status}`)
    t.equal(response.body.toString(), 'b')
  }
})

t.test('the backend is spoken to in HTTP/1.1 on connections that stay', async (t) => {
  for (const request of [get('/v'), 'GET /v HTTP/1.0\r\n\r\n', get('/v', 'Connection: close\r\n')]) {
    await roundTrip(rig.port(), request)
    const { version, fields } = backend.last('/v')
    t.equal(version, 'HTTP/1.1')
    t.notMatch(valuesOf(fields, 'connection').join(), /close/i, JSON.stringify(request))
  }
  t.strictSame(backend.faults, [])
})
