/** The engine `http-proxy` besides the rules of HTTP: records, TLS, backpressure, and how answers of both engines agree. */
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { makeCertificate } from '../e2e/fixtures/support.ts'
import { refusedPort, startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { get, post } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { connect, RawClient } from '../support/raw.ts'

const certificate = await makeCertificate()
const backend = await startBackend(t)
const dead = `127.0.0.1:${await refusedPort()}`
const ENGINES = ['native', 'http-proxy'] as const

const service = (engine: string, more: object = {}): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends: [backend.address],
  http: { engine },
  ...more,
})
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      native: service('native'),
      'http-proxy': service('http-proxy'),
      'native-gone': service('native', { backends: [dead] }),
      'http-proxy-gone': service('http-proxy', { backends: [dead] }),
      secure: service('http-proxy', { protocol: 'https', tls: certificate.tls }),
    },
  },
  { files: certificate.files },
)

backend.on('/cut', (x) => x.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'))
backend.on('/hang', () => undefined)
backend.on('/bad', (x) => x.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'))

/** What a client does that leaves a record: each in turn, on a connection of its own. */
const FLOWS: Record<string, (port: number) => Promise<void>> = {
  'a request': (port) => ask(port, get('/plain', 'User-Agent: t\r\nReferer: http://r.test/\r\n')),
  'one with a body': (port) => ask(port, post('Content-Length: 5\r\n', 'hello', '/posted')),
  'one on HTTP/1.0': (port) => ask(port, 'GET /old HTTP/1.0\r\n\r\n'),
  'a head that is refused': (port) => ask(port, 'GET /refused HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'),
  'an unknown expectation': (port) => ask(port, get('/expects', 'Expect: x\r\n')),
  'an answer that is cut': (port) => ask(port, get('/cut')),
  'an answer that is not HTTP': (port) => ask(port, get('/bad')),
  'a client that leaves': async (port) => {
    const seen = backend.requests.length
    const client = await connect(port)
    client.send(get('/hang'))
    await eventually('the request', () => backend.requests.length > seen)
    client.reset()
  },
}

async function ask(port: number, request: string): Promise<void> {
  const client = await connect(port)
  client.send(request)
  await client.readResponse().catch(() => undefined)
  client.destroy()
}

/** The records of a service, without times, ids, ports and sizes. */
async function records(name: string, count: number): Promise<Record<string, unknown>[]> {
  const rows = await eventually(`${count} records of ${name}`, async () => {
    const own = (await balancer.accessLog()).filter((row) => row['service'] === name)
    return own.length >= count ? own : undefined
  })
  return rows.map((row) => {
    const { time, id, service, clientPort, queueMs, connectMs, firstByteMs, totalMs, bytesIn, bytesOut, ...rest } = row
    return { ...rest, timed: [queueMs, connectMs, firstByteMs].map((ms) => ms !== null) }
  })
}

t.test('both engines leave the same record of the same flow', async (t) => {
  for (const engine of ENGINES) {
    for (const flow of Object.values(FLOWS)) await flow(balancer.port(engine))
    await ask(balancer.port(`${engine}-gone`), get('/gone'))
  }
  const titles = Object.keys(FLOWS)
  const [native, proxy] = await Promise.all(ENGINES.map((engine) => records(engine, titles.length)))
  for (const [i, title] of titles.entries()) {
    t.ok(native?.[i], title)
    t.strictSame(proxy?.[i], native?.[i], title)
  }
  t.strictSame(await records('http-proxy-gone', 1), await records('native-gone', 1), 'no backend')
})

t.test('both count the same', async (t) => {
  const series = (await balancer.metrics())
    .split('\n')
    .filter((line) =>
      /^evenkeel_(?:requests|request_errors|backend_requests|retries)_total\{|^evenkeel_backend_active/.test(line),
    )
  const of = (engine: string): string[] =>
    series.filter((line) => line.includes(`service="${engine}"`)).map((line) => line.replace(`"${engine}"`, '"…"'))
  t.ok(of('native').length > 10)
  t.strictSame(of('http-proxy'), of('native'))
})

t.test('it serves over TLS, and says so to the backend', async (t) => {
  const socket: TLSSocket = tlsConnect({ port: balancer.port('secure'), host: '127.0.0.1', rejectUnauthorized: false })
  const client = new RawClient(socket)
  client.send(get('/tls') + post('Content-Length: 5\r\n', 'hello', '/tls-body'))
  for (const target of ['/tls', '/tls-body']) {
    t.equal((await client.readResponse()).status, 200)
    t.match(backend.last(target).head, /\r\nX-Forwarded-Proto: https\r\n/)
  }
  client.destroy()
})

const TOTAL = 64 * 1024 * 1024
const MOST_ON_THE_WAY = 24 * 1024 * 1024 // buffers of three kernels' sockets and of two streams; far from the total

/** Waits until a count no longer grows, however often something else goes through the same thread. */
async function standstill(count: () => number): Promise<number> {
  let seen = -1
  let still = 0
  const other = await connect(balancer.port('native'))
  while (still < 50) {
    other.send(get('/other'))
    await other.readResponse()
    still = count() === seen ? still + 1 : 0
    seen = count()
  }
  other.destroy()
  return seen
}

t.test('a client that does not read stops the backend, and gets all of it later', async (t) => {
  let sent = 0
  backend.on('/large', (x) => {
    const { socket } = x.connection
    x.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`)
    const piece = Buffer.alloc(64 * 1024, 'a')
    const go = (): void => {
      while (sent < TOTAL) {
        sent += piece.length
        if (!socket.write(piece)) return void socket.once('drain', go)
      }
    }
    go()
  })
  const client = await connect(balancer.port('http-proxy'))
  client.socket.pause()
  client.send(get('/large'))
  const stopped = await standstill(() => sent)
  t.ok(stopped < MOST_ON_THE_WAY, `it stopped after ${stopped}`)
  client.socket.resume()
  const { body } = await client.readResponse({ deadline: 20_000 })
  t.equal(body.length, TOTAL)
  client.destroy()
})

t.test('a backend that does not read stops the client, and gets all of it later', async (t) => {
  const heads = backend.heads.length
  backend.onHead = ({ request, connection }) => {
    if (request.target === '/upload') connection.socket.pause()
  }
  const client = await connect(balancer.port('http-proxy'))
  client.send(post(`Content-Length: ${TOTAL}\r\n`, '', '/upload'))
  await backend.waitForHeads(heads + 1)
  let sent = 0
  const piece = Buffer.alloc(64 * 1024, 'b')
  const go = (): void => {
    while (sent < TOTAL) {
      sent += piece.length
      if (!client.socket.write(piece)) return void client.socket.once('drain', go)
    }
  }
  go()
  const stopped = await standstill(() => sent)
  t.ok(stopped < MOST_ON_THE_WAY, `it stopped after ${stopped}`)
  const request = backend.heads.find(({ target }) => target === '/upload')
  request?.connection.socket.resume()
  t.equal((await client.readResponse({ deadline: 20_000 })).status, 200)
  t.equal(request?.reader.bytes.length, TOTAL)
  client.destroy()
})

t.test('a backend connection that is used again and again gathers nothing', async (t) => {
  const client = await connect(balancer.port('http-proxy'))
  for (let i = 0; i < 30; i++) {
    client.send(get('/again'))
    t.equal((await client.readResponse()).status, 200)
  }
  client.destroy()
  t.notMatch(balancer.stderr(), /MaxListeners/)
})

t.test('no thread died of any of it, and no backend got anything malformed', async (t) => {
  t.notMatch(balancer.stderr(), /died/)
  t.strictSame(backend.faults, [])
})
