/** Filters over the wire: what reaches the backend and the client, and what never does. */
import t from 'tap'
import { chunked, get, post, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t, {
  filtered: {
    filters: [
      { access: { rules: [{ deny: { path: '/private' } }], default: 'allow' } },
      { redirect: { scheme: 'https', host: 'www.example.com', status: 308 }, when: { path: '/moved' } },
      { respond: { status: 200, body: 'robots', fields: { 'Content-Type': 'text/plain' } }, when: { path: '/robots' } },
      { rewritePath: { stripPrefix: '/api' } },
      { setRequestFields: { 'X-Env': 'prod {host}', Host: 'inner.test' } },
      { removeRequestFields: ['X-Secret'] },
      { setResponseFields: { 'X-Frame-Options': 'DENY' } },
      { removeResponseFields: ['Server'] },
      { rewriteLocation: {} },
      { setRequestFields: { 'X-Latin': '\xe4' }, when: { path: '/latin' } },
      { cookies: { secure: true, httpOnly: true } },
    ],
  },
})
const { backend } = rig
backend.on('/answer', (x) =>
  x.write(
    'HTTP/1.1 302 Found\r\nServer: secret/1.0\r\nLocation: http://inner.test/next\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok',
  ),
)
const ask = (bytes: string) => roundTrip(rig.port('filtered'), bytes)

t.test('fields are set and removed, and the path is rewritten, on the way to the backend', async (t) => {
  t.equal((await ask(get('/api/set?q=1', 'X-Secret: s\r\nx_secret: t\r\nX-Env: forged\r\n'))).status, 200)
  const { fields } = backend.last('/set?q=1')
  t.strictSame(valuesOf(fields, 'x-env'), ['prod a.test'])
  t.strictSame(valuesOf(fields, 'host'), ['inner.test'])
  t.strictSame(valuesOf(fields, 'x-secret'), [])
  t.strictSame(valuesOf(fields, 'x_secret'), [], 'nor its twin')
  t.strictSame(valuesOf(fields, 'x-forwarded-host'), ['a.test'], 'the backend is told what the client asked for')
})

t.test('a body goes on whole behind a filtered head, in both framings', async (t) => {
  t.equal((await ask(post('Content-Length: 5\r\n', 'hello', '/api/length'))).status, 200)
  t.equal(backend.last('/length').reader.bytes.toString(), 'hello')
  t.equal((await ask(chunked('5\r\nhello\r\n0\r\n\r\n', '/api/chunked'))).status, 200)
  t.equal(backend.last('/chunked').reader.bytes.toString(), 'hello')
})

t.test('a value with bytes from 0x80 up goes out as it is, beside an expectation too', async (t) => {
  for (const fields of ['', 'Expect: 100-continue\r\n']) {
    t.equal((await ask(post(`${fields}Content-Length: 5\r\n`, 'hello', '/latin'))).status, 200)
    t.match(backend.last('/latin').head, /\r\nX-Latin: \xe4\r\n/)
  }
})

t.test('an answer is filtered on its way back', async (t) => {
  const response = await ask(get('/api/answer'))
  t.equal(response.status, 302)
  t.strictSame(valuesOf(response.fields, 'server'), [])
  t.strictSame(valuesOf(response.fields, 'x-frame-options'), ['DENY'])
  t.strictSame(valuesOf(response.fields, 'set-cookie'), ['a=b; Secure; HttpOnly'])
  t.equal(response.body.toString(), 'ok')
})

t.test('what is denied, redirected or answered by us reaches no backend, and the connection goes on', async (t) => {
  const seen = backend.heads.length
  const client = await rig.connect('filtered')
  for (const [target, status] of [
    ['/private', 403],
    ['/private/x', 403],
    ['/%70rivate', 403],
    ['//private', 403],
    ['/x/../private', 403],
    ['/moved/a?b', 308],
    ['/robots', 200],
  ] as const) {
    client.send(get(target))
    t.equal((await client.readResponse()).status, status, target)
  }
  client.send(get('/moved/a?b'))
  t.strictSame(valuesOf((await client.readResponse()).fields, 'location'), ['https://www.example.com/moved/a?b'])
  client.send(get('/robots'))
  t.equal((await client.readResponse()).body.toString(), 'robots')
  client.send('HEAD /robots HTTP/1.1\r\nHost: a.test\r\n\r\n')
  t.equal((await client.readResponse({ method: 'HEAD' })).body.length, 0)
  await rig.barrier()
  t.notOk(backend.heads.slice(seen).some(({ target }) => /private|moved|robots/.test(target)))
  client.send(get('/api/after'))
  t.equal((await client.readResponse()).status, 200)
  client.destroy()
})

t.test('a path with a second meaning is refused where rules look at paths', async (t) => {
  for (const target of [
    '/..%2fprivate',
    '/x/..;/private',
    '/%2e%2e/private',
    '/a%00',
    '/a%zz',
    '/\\private',
    '/%c0%af',
    '/%252e%252e/',
  ])
    t.equal((await ask(get(target))).status, 400, target)
})

t.test('without filters a path goes on byte for byte', async (t) => {
  for (const target of ['/a%2Fb', '/a//b', '/a/../b', '/%70', '/..;/x']) {
    t.equal((await roundTrip(rig.port(), get(target))).status, 200, target)
    t.equal(backend.last(target).target, target)
  }
})

t.test('the log tells what was asked for, not what it became', async (t) => {
  await ask(get('/api/logged'))
  const found = await eventually('the line', async () => {
    process.kill(rig.balancer.pid, 'SIGUSR1') // what is gathered is written at once
    return (await rig.balancer.accessLog()).some((line) => line['target'] === '/api/logged')
  })
  t.ok(found)
})
