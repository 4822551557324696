/** The HTTP client: bounds, and what it leaves behind. */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { type HttpRequest, httpRequest } from '../../lib/core/index.ts'

async function serve(
  t: Test,
  listener: RequestListener,
  path?: string,
): Promise<{ origin: string; accepted(): number }> {
  const server = createServer(listener)
  let accepted = 0
  server.on('connection', () => accepted++)
  if (path === undefined) server.listen(0, '127.0.0.1')
  else server.listen(path)
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const port = path === undefined ? (server.address() as AddressInfo).port : 80
  return { origin: `http://127.0.0.1:${port}`, accepted: () => accepted }
}

t.test('method, path, headers and body go out; status, headers and body come back', async (t) => {
  const { origin } = await serve(t, async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    response.setHeader('X-Seen', `${request.method} ${request.url} ${request.headers['x-a']} ${body}`)
    response.writeHead(418).end('short')
  })
  const answer = await httpRequest({ origin, path: '/p?q=1', method: 'POST', headers: { 'X-A': 'b' }, body: '{}' })
  t.match(answer, { status: 418, headers: { 'x-seen': 'POST /p?q=1 b {}' }, body: 'short', truncated: false })
})

t.test('a body is cut at its limit', async (t) => {
  const { origin } = await serve(t, (_request, response) => response.end('x'.repeat(100_000)))
  const rows: readonly [limits: Partial<HttpRequest>, length: number, truncated: boolean][] = [
    [{}, 100_000, false],
    [{ maxBytes: 100_001 }, 100_000, false],
    [{ maxBytes: 99_999 }, 99_999, true],
    [{ maxBytes: 1 }, 1, true],
    [{ maxBytes: 0 }, 0, true],
  ]
  for (const [limits, length, truncated] of rows) {
    const answer = await httpRequest({ origin, path: '/', ...limits })
    t.same([answer.body.length, answer.truncated], [length, truncated], JSON.stringify(limits))
  }
})

t.test('a redirect is an answer, and a coded body stays coded', async (t) => {
  const coded = gzipSync('hello')
  const { origin, accepted } = await serve(t, (_request, response) => {
    response.writeHead(302, { Location: '/elsewhere', 'Content-Encoding': 'gzip' }).end(coded)
  })
  const answer = await httpRequest({ origin, path: '/' })
  t.equal(answer.status, 302)
  t.equal(answer.body, coded.toString())
  t.equal(accepted(), 1)
})

t.test('a connection is kept when asked', async (t) => {
  const { origin, accepted } = await serve(t, (_request, response) => response.end('ok'))
  for (let n = 0; n < 10; n++) await httpRequest({ origin, path: '/', reuse: true })
  const kept = accepted()
  t.ok(kept <= 2, 'one, and one more while undici has not yet taken the first back')
  for (let n = 0; n < 10; n++) await httpRequest({ origin, path: '/' })
  t.equal(accepted(), kept + 10)
})

t.test('an abort ends a call on a kept connection too', async (t) => {
  const controller = new AbortController()
  const { origin } = await serve(t, () => controller.abort())
  await t.rejects(httpRequest({ origin, path: '/', reuse: true, signal: controller.signal }), {
    name: 'HttpFailure',
    message: 'aborted',
  })
})

t.test('a Unix socket can be asked', async (t) => {
  const path = `${t.testdir({})}/s`
  await serve(t, (_request, response) => response.end('local'), path)
  t.equal((await httpRequest({ origin: 'http://localhost', path: '/', socketPath: path })).body, 'local')
  await t.rejects(httpRequest({ origin: 'http://localhost', path: '/', socketPath: `${path}2` }), {
    name: 'HttpFailure',
    message: 'connect failed: ENOENT',
  })
})

t.test('a request that can not be sent says so', async (t) => {
  await t.rejects(httpRequest({ origin: 'http://127.0.0.1:1', path: 'no slash' }), { name: 'HttpFailure' })
  await t.rejects(httpRequest({ origin: 'nonsense', path: '/' }), { name: 'HttpFailure' })
})

t.test('an abort at any step leaves no connection', async (t) => {
  const open = new Set<unknown>()
  for (const step of ['before the head', 'in the body']) {
    const controller = new AbortController()
    const server = createServer((_request, response) => {
      if (step === 'in the body') response.write('some')
      setImmediate(() => controller.abort())
    })
    server.on('connection', (socket) => {
      open.add(socket)
      socket.once('close', () => {
        open.delete(socket)
        server.emit('gone')
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const gone = once(server, 'gone', { signal: AbortSignal.timeout(5000) })
    const { port } = server.address() as AddressInfo
    await t.rejects(httpRequest({ origin: `http://127.0.0.1:${port}`, path: '/', signal: controller.signal }), {
      message: 'aborted',
    })
    await gone
    t.equal(open.size, 0, step)
    server.close()
  }
})
