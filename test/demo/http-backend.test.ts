/** The HTTP side of a demo backend, route by route. */
import { once } from 'node:events'
import { request } from 'node:http'
import t from 'tap'
import { startDemoBackends } from '../../lib/demo/index.ts'
import { rawClient } from './fixtures/raw.ts'

const demo = await startDemoBackends({ ports: [0] })
t.teardown(() => demo.close())
const port = demo.addresses[0]?.http.port ?? 0
const base = `http://127.0.0.1:${port}`
const get = (path: string, init?: RequestInit) => fetch(base + path, init)
const text = async (path: string, init?: RequestInit) => (await get(path, init)).text()

t.test('the page tells curl in text, programs in JSON and browsers in HTML which backend answered', async (t) => {
  const forwarded = { 'X-Forwarded-For': '192.0.2.1', Via: '1.1 evenkeel', 'X-Secret': 'no' }
  const plain = await get('/', { headers: { ...forwarded, Accept: '*/*' } })
  t.match(plain.headers.get('content-type'), 'text/plain')
  t.equal(plain.headers.get('x-backend'), 'backend-1')
  const lines = await plain.text()
  t.match(lines, /^backend-1, request \d+\nmethod: GET\npath: \/\npeer: 127\.0\.0\.1:\d+\n/)
  t.match(lines, /x-forwarded-for: 192\.0\.2\.1\nvia: 1\.1 evenkeel\n/)
  t.notMatch(lines, 'secret')

  const json = await get('/a?b=c', { method: 'DELETE', headers: { ...forwarded, Accept: 'application/json' } })
  const headers = { host: `127.0.0.1:${port}`, 'x-forwarded-for': '192.0.2.1', via: '1.1 evenkeel' }
  t.strictSame(
    { ...((await json.json()) as object), peer: '', requests: 0 },
    {
      ...{ backend: 'backend-1', requests: 0, method: 'DELETE', path: '/a', peer: '', headers },
    },
  )

  const html = await get('/', { headers: { Accept: 'text/html,application/xhtml+xml;q=0.9', 'X-Request-Id': '<b>"' } })
  t.match(html.headers.get('content-type'), 'text/html')
  t.match(await html.text(), /<h1>backend-1<\/h1>.*&lt;b&gt;&quot;/s)
})

t.test('requests are counted, probes are not', async (t) => {
  const count = async () => Number(/request (\d+)/.exec(await text('/'))?.[1])
  const before = await count()
  await text('/healthz')
  await text('/status/204')
  t.equal(await count(), before + 2)
})

t.test('the health check fails from /fail to /recover, and other answers do not change', async (t) => {
  t.equal((await get('/healthz')).status, 200)
  t.equal((await get('/fail')).status, 405)
  t.equal((await get('/healthz')).status, 200, 'a GET changes nothing')
  t.equal((await get('/fail', { method: 'POST' })).status, 200)
  t.equal((await get('/healthz')).status, 503)
  t.equal((await get('/')).status, 200)
  t.equal((await get('/recover', { method: 'POST' })).status, 200)
  t.equal((await get('/healthz')).status, 200)
})

t.test('/status answers with the code asked for', async (t) => {
  for (const code of [200, 204, 304, 404, 503, 599]) t.equal((await get(`/status/${code}`)).status, code)
})

t.test('/slow waits', async (t) => {
  const start = performance.now()
  t.equal(await text('/slow?ms=120'), 'backend-1 waited 120 ms\n')
  t.ok(performance.now() - start > 110)
})

t.test('/bytes streams exactly as many as asked for', async (t) => {
  for (const n of [0, 1, 65_535, 65_536, 1_048_577]) {
    const answer = await get(`/bytes/${n}`)
    const body = Buffer.from(await answer.arrayBuffer())
    t.equal(answer.headers.get('content-length'), String(n))
    t.ok(body.equals(Buffer.alloc(n, '0123456789abcdef')), `${n} bytes`)
  }
  const head = await get('/bytes/5000', { method: 'HEAD' })
  t.equal(head.headers.get('content-length'), '5000')
})

t.test('/stream sends its ticks one by one', async (t) => {
  const start = performance.now()
  t.equal(await text('/stream?count=3&ms=60'), 'tick 1\ntick 2\ntick 3\n')
  t.ok(performance.now() - start > 110, 'two pauses')
})

t.test('/echo sends a body back, whatever its framing', async (t) => {
  const body = Buffer.alloc(300_000, 'evenkeel ')
  const sized = await get('/echo', { method: 'POST', body })
  t.equal(sized.headers.get('content-length'), '300000')
  t.ok(Buffer.from(await sized.arrayBuffer()).equals(body))
  const chunked = new Blob([body]).stream()
  const streamed = await get('/echo', { method: 'PUT', body: chunked, duplex: 'half' } as RequestInit)
  t.equal(streamed.headers.get('content-length'), null)
  t.ok(Buffer.from(await streamed.arrayBuffer()).equals(body))
  t.equal(await text('/echo'), '')
})

t.test('/echo answers before the body has ended', async (t) => {
  const call = request(`${base}/echo`, { method: 'POST' })
  t.teardown(() => call.destroy())
  call.write('first')
  const [answer] = await once(call, 'response')
  const [first] = await once(answer, 'data')
  t.equal(String(first), 'first')
  call.end('second')
  const [second] = await once(answer, 'data')
  t.equal(String(second), 'second')
})

const BAD: [path: string, status: number][] = [
  ['/slow?ms=-1', 400],
  ['/slow?ms=60001', 400],
  ['/slow?ms=1e3', 400],
  ['/slow?ms=', 400],
  ['/stream?count=1001', 400],
  ['/stream?count=2&ms=10001', 400],
  ['/status/99', 400],
  ['/status/101', 400],
  ['/status/600', 400],
  ['/status/', 400],
  ['/bytes/1073741825', 400],
  ['/bytes/99999999999999999999', 400],
  ['/bytes/x', 400],
  ['/%zz?%zz', 200],
  ['/__proto__', 200],
  ['//', 200],
]
for (const [path, status] of BAD) {
  t.test(`odd input is answered and does no harm: ${path}`, async (t) => {
    t.equal((await get(path)).status, status)
    t.equal((await get('/healthz')).status, 200)
  })
}

const RAW: [what: string, bytes: string, answer: RegExp][] = [
  ['nonsense', 'nonsense\r\n\r\n', /^HTTP\/1\.1 400 /],
  ['absolute-form', 'GET http://a/status/418 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 418 /],
  ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 200 /],
  [
    'an upgrade to something else',
    'GET /status/202 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n',
    /^HTTP\/1\.1 (?:202|426) /, // runtimes before 24.9 can't ignore an upgrade
  ],
  [
    'a body that nobody reads',
    'POST /status/201 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /status/202 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    /^HTTP\/1\.1 201 .*HTTP\/1\.1 202 /s,
  ],
]
for (const [what, bytes, answer] of RAW) {
  t.test(`on the wire: ${what}`, async (t) => {
    const client = await rawClient(t, port)
    client.socket.write(bytes)
    t.match(String(await client.ended()), answer)
  })
}

t.test('a client that goes away in mid-answer does no harm', async (t) => {
  for (const path of ['/bytes/1073741824', '/stream?count=1000&ms=10', '/slow?ms=60000', '/echo']) {
    const client = await rawClient(t, port)
    client.socket.write(
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc`.replace(/POST (?!\/echo)/, 'GET '),
    )
    if (path !== '/slow?ms=60000') await client.until((all) => all.length > 0)
    client.socket.resetAndDestroy()
    t.equal((await get('/healthz')).status, 200)
  }
})

t.test('an idle connection is kept longer than the balancer keeps one', async (t) => {
  t.match((await get('/')).headers.get('keep-alive'), 'timeout=30')
})
