/** HTTP/2 towards backends, with servers that people use: what a request and its answer become, and how connections are shared. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectH2 } from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { logOf, MIB, makeCertificate, sendContent } from '../e2e/fixtures/support.ts'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { connect } from '../support/raw.ts'
import { bodyOf, type Handler, startH2 } from './fixtures/servers.ts'

const certificate = await makeCertificate()
const tls = { cert: certificate.files['tls.pem'] as string, key: certificate.files['tls.key'] as string }
/** Streams that a test ends itself, by path. */
const held = new Map<string, import('node:http2').ServerHttp2Stream>()

const handler: Handler = (stream, headers) => {
  const path = headers[':path'] ?? ''
  if (path === '/empty') return stream.respond({ ':status': 204 }, { endStream: true })
  if (path === '/same') return stream.respond({ ':status': 304, etag: '"a"' }, { endStream: true })
  if (path === '/length') {
    stream.respond({ ':status': 200, 'content-length': '5' })
    return void stream.end(headers[':method'] === 'HEAD' ? undefined : 'hello')
  }
  if (path === '/hint') {
    stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' })
    stream.respond({ ':status': 200 })
    return void stream.end('hinted')
  }
  if (path.startsWith('/hold')) {
    held.set(path, stream)
    return stream.respond({ ':status': 200 })
  }
  if (path === '/never') return undefined
  if (headers[':protocol'] === 'websocket') {
    stream.respond({ ':status': 200 })
    return void stream.pipe(stream)
  }
  if (path === '/big') {
    stream.respond({ ':status': 200 })
    return void sendContent(stream, 20 * MIB).then(
      () => stream.end(),
      () => undefined,
    )
  }
  void bodyOf(stream).then((body) => {
    if (stream.destroyed) return
    stream.respond({ ':status': 200, 'x-trailers': String(headers.te ?? '') }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': String(body.length) }))
    stream.end(body)
  })
}

const clear = await startH2(t, handler)
const secure = await startH2(t, handler, { tls })
const narrow = await startH2(t, handler, { settings: { maxConcurrentStreams: 3 } })
const tunnels = await startH2(t, handler, { settings: { enableConnectProtocol: true } })
const old = await startBackend(t)
const noAlpn = createHttps({ ...tls, ALPNProtocols: ['http/1.1'] }, (_, response) => response.end('old'))
noAlpn.listen(0, '127.0.0.1')
await once(noAlpn, 'listening')
t.teardown(() => noAlpn.close().closeAllConnections())
const service = (address: string, more: object = {}): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  http: { http2: { cleartext: true } },
  health: { type: 'none' },
  backendProtocol: 'h2c',
  backends: [address],
  ...more,
})
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      clear: service(clear.address, { http: { http2: { cleartext: true }, backendHttp2: { maxStreams: 50 } } }),
      secure: service(secure.address, { backendProtocol: 'h2', backendTls: { ca: 'ca.pem' } }),
      narrow: service(narrow.address),
      old: service(old.address),
      tunnels: service(tunnels.address),
      alpn: service(`127.0.0.1:${(noAlpn.address() as AddressInfo).port}`, {
        backendProtocol: 'h2',
        backendTls: { ca: 'ca.pem' },
      }),
    },
  },
  { files: { 'ca.pem': certificate.ca } },
)
const urlOf = (name: string): string => `http://127.0.0.1:${balancer.port(name)}`

for (const name of ['clear', 'secure'])
  t.test(`${name}: requests of HTTP/1.1 clients become streams`, async (t) => {
    const backend = name === 'clear' ? clear : secure
    const url = urlOf(name)
    const body = randomBytes(2 * MIB)
    const answer = await fetch(`${url}/echo?a=b`, { method: 'PUT', body, headers: { 'X-Own': 'Value', Cookie: 'a=1' } })
    t.equal(answer.status, 200)
    t.same(Buffer.from(await answer.arrayBuffer()), body)
    const seen = backend.seen.at(-1)
    t.match(seen, {
      ':method': 'PUT',
      ':path': '/echo?a=b',
      ':scheme': name === 'clear' ? 'http' : 'https',
      ':authority': url.slice(7),
      'content-length': String(body.length),
      'x-own': 'Value',
      cookie: 'a=1',
      'x-forwarded-for': '127.0.0.1',
      via: '1.1 evenkeel',
    })
    t.notOk(seen?.host)
    t.notOk(seen?.connection)
    t.equal((await fetch(`${url}/empty`)).status, 204)
    t.equal((await fetch(`${url}/same`)).status, 304)
    t.equal(await (await fetch(`${url}/length`)).text(), 'hello')
    const head = await fetch(`${url}/length`, { method: 'HEAD' })
    t.equal(head.headers.get('content-length'), '5')
    t.equal(backend.live, 1, 'one after the other, they all went over one connection')
  })

t.test('an HTTP/1.1 client gets interim answers, chunks and trailers', async (t) => {
  const client = await connect(balancer.port('clear'))
  client.send('GET /hint HTTP/1.1\r\nHost: a.test\r\n\r\n')
  const hinted = await client.readResponse()
  t.equal(hinted.interim[0]?.status, 103)
  t.equal(hinted.body.toString(), 'hinted')
  client.send(
    'POST /echo HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  )
  const answer = await client.readResponse()
  t.equal(answer.body.toString(), 'abc')
  t.same(answer.trailers, [['x-sum', '3']], 'the trailers')
  client.destroy()
})

t.test('HTTP/2 clients share a connection to the backend, and trailers go both ways', async (t) => {
  const before = clear.sessions.length
  const session = connectH2(urlOf('clear'))
  t.teardown(() => session.destroy())
  const answers = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const stream = session.request({ ':method': 'POST', ':path': `/echo?${i}`, te: 'trailers' })
      let trailers = {}
      stream.on('trailers', (given) => (trailers = given))
      stream.end(`body ${i}`)
      let text = ''
      stream.on('data', (piece) => (text += piece))
      await within(once(stream, 'end'), 'an answer')
      return [text, trailers]
    }),
  )
  answers.forEach(([text, trailers], i) => {
    t.equal(text, `body ${i}`)
    t.match(trailers, { 'x-sum': String(`body ${i}`.length) })
  })
  t.equal(clear.sessions.length, before, 'over the connection that was there')
  t.ok(clear.most > 1, 'at the same time')
})

t.test(
  'a backend gets no more streams on a connection than it takes; further ones go over further connections',
  async (t) => {
    const total = 10
    const url = urlOf('narrow')
    const answers = Promise.all(Array.from({ length: total }, (_, i) => fetch(`${url}/hold/${i}`)))
    const all = await within(answers, 'ten answers that begin')
    t.equal(narrow.open, total)
    t.equal(narrow.live, Math.ceil(total / 3))
    for (const [path, stream] of held) stream.end(path)
    t.same(
      await Promise.all(all.map((answer) => answer.text())),
      all.map((_, i) => `/hold/${i}`),
    )
    held.clear()
    for (let i = 0; i < 5; i++) t.equal((await fetch(`${url}/empty`)).status, 204)
    t.equal(narrow.sessions.length, Math.ceil(total / 3), 'they are used again')
  },
)

t.test('a client that reads slowly stops its own stream and no other', async (t) => {
  const before = balancer.pid
  const slow = await connect(balancer.port('clear'))
  slow.socket.pause()
  slow.send('GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await eventually('the big answer begins', () => clear.seen.at(-1)?.[':path'] === '/big')
  for (let i = 0; i < 20; i++) t.equal(await (await fetch(`${urlOf('clear')}/length`)).text(), 'hello')
  t.equal(clear.open, 1, 'the backend waits with the rest')
  t.equal(before, balancer.pid)
  slow.socket.resume()
  const answer = await slow.readResponse()
  t.equal(answer.body.length, 20 * MIB)
  slow.destroy()
})

t.test('a client that goes away cancels its stream, and the connection goes on', async (t) => {
  const client = await connect(balancer.port('clear'))
  const before = clear.codes.length
  const sessions = clear.sessions.length
  client.send('GET /never HTTP/1.1\r\nHost: a.test\r\n\r\n')
  await eventually('the request is there', () => clear.open === 1)
  client.destroy()
  await eventually('the stream is over', () => clear.codes.length > before)
  t.equal(clear.codes.at(-1), 8, 'CANCEL')
  t.equal((await fetch(`${urlOf('clear')}/empty`)).status, 204)
  t.equal(clear.sessions.length, sessions)
})

t.test('a connection that is idle for long enough is closed with a word', async (t) => {
  const session = clear.sessions.at(-1)
  const last = await new Promise((resolve) => session?.once('goaway', (code) => resolve(code)))
  t.equal(last, 0)
  t.equal((await fetch(`${urlOf('clear')}/empty`)).status, 204, 'the next request makes another one')
})

const toldOf = (name: string, words: RegExp): Promise<unknown> =>
  eventually('the log', () =>
    logOf(balancer).some((line) => line['service'] === name && words.test(String(line['msg']))),
  )

t.test('a backend that speaks HTTP/1.1 only is told of, and the client gets a 502 at once', async (t) => {
  for (const [name, words] of [
    ['old', /HTTP\/2/],
    ['alpn', /ALPN/],
  ] as const) {
    t.equal((await fetch(`${urlOf(name)}/`)).status, 502)
    await toldOf(name, words)
  }
})

const HANDSHAKE =
  'GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

t.test('an upgrade is refused with 501 where the backend has no tunnels', async (t) => {
  const client = await connect(balancer.port('clear'))
  client.send(HANDSHAKE)
  t.equal((await client.readResponse()).status, 501)
  client.destroy()
})

t.test('where it has, a WebSocket of an HTTP/1.1 client becomes a stream, with half-close', async (t) => {
  const client = await connect(balancer.port('tunnels'))
  client.send(HANDSHAKE)
  const answer = await client.readResponse({ interim: true })
  t.equal(answer.status, 101)
  t.equal(valuesOf(answer.fields, 'sec-websocket-accept').join(), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  t.match(tunnels.seen.at(-1), { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws' })
  t.notOk(tunnels.seen.at(-1)?.['sec-websocket-key'])
  client.send('some bytes')
  await eventually('the echo', () => client.pending.toString() === 'some bytes')
  client.socket.end()
  t.equal(await client.closed, 'end')
})

t.test('a WebSocket of an HTTP/2 client too', async (t) => {
  const session = connectH2(urlOf('tunnels'))
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
  const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' })
  const [answer] = await within(once(stream, 'response'), 'an answer')
  t.equal(answer[':status'], 200)
  stream.write('ping')
  t.equal(String((await within(once(stream, 'data'), 'the echo'))[0]), 'ping')
  stream.end()
  await within(once(stream, 'close'), 'the end')
  t.equal(stream.rstCode, 0)
})
