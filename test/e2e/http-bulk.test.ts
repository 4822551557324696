/** HTTP and HTTPS services under volume: large bodies and many requests at once, each body exactly what was sent. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startBalancer } from '../support/balancer.ts'
import { within } from '../support/eventually.ts'
import { content, hashOfContent, MIB, makeCertificate, Receipt, sendContent, watchMemory } from './fixtures/support.ts'

/** Answers with what it got: `GET /N` N bytes of content, anything else the hash of the body, `/echo` the body itself. */
async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://backend')
  const chunked = url.searchParams.has('chunked')
  if (request.method === 'GET') {
    const size = Number(url.pathname.slice(1))
    if (!chunked) response.setHeader('Content-Length', size)
    await sendContent(response, size)
    response.end()
  } else if (url.pathname === '/echo') {
    const length = request.headers['content-length']
    if (length !== undefined && !chunked) response.setHeader('Content-Length', length)
    request.pipe(response)
  } else {
    const receipt = new Receipt(request)
    await once(request, 'end')
    response.end(receipt.digest)
  }
}

const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const certificate = await makeCertificate()
const service = (protocol: string, more: object = {}): object => ({
  protocol,
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends: [`127.0.0.1:${(server.address() as AddressInfo).port}`],
  ...more,
})
const balancer = await startBalancer(
  t,
  {
    virtualServices: { http: service('http'), https: service('https', { tls: certificate.tls }) },
  },
  { files: certificate.files },
)
const agents = {
  http: new Agent({ keepAlive: true, maxSockets: 200 }),
  https: new TlsAgent({ keepAlive: true, maxSockets: 200, ca: certificate.ca, servername: 'localhost' }),
}
t.teardown(() => {
  for (const agent of Object.values(agents)) agent.destroy()
  server.closeAllConnections()
  server.close()
})

type Protocol = keyof typeof agents
interface Ask {
  readonly method: string
  readonly path: string
  /** Bytes of content to send; null: no body. */
  readonly size: number | null
  readonly chunked: boolean
}

/** Sends a request and hashes the answer as it comes. */
async function exchange(
  protocol: Protocol,
  ask: Ask,
): Promise<{ status: number; digest: string; bytes: number; text: string }> {
  const { method, path, size, chunked } = ask
  const options = {
    method,
    path,
    port: balancer.port(protocol),
    host: '127.0.0.1',
    agent: agents[protocol],
    headers: size === null || chunked ? {} : { 'Content-Length': size },
  }
  const request = protocol === 'http' ? httpRequest(options) : httpsRequest(options)
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  const sent = size === null ? Promise.resolve() : sendContent(request, size)
  void sent.then(() => request.end())
  const [response] = await answered
  const receipt = new Receipt(response)
  const text: Buffer[] = []
  response.on('data', (bytes: Buffer) => {
    if (text.length < 2) text.push(bytes)
  })
  await Promise.all([once(response, 'end'), sent])
  return {
    status: response.statusCode ?? 0,
    digest: receipt.digest,
    bytes: receipt.bytes,
    text: Buffer.concat(text).toString('latin1', 0, 64),
  }
}

const LARGE = 128 * MIB
const MOST_RISE = 64 * MIB

async function downloads(t: Test, protocol: Protocol, chunked: boolean): Promise<void> {
  const rise = watchMemory(t, balancer.pid)
  const path = `/${LARGE}${chunked ? '?chunked' : ''}`
  const got = await within(exchange(protocol, { method: 'GET', path, size: null, chunked }), 'the download', 60_000)
  t.strictSame([got.status, got.bytes, got.digest], [200, LARGE, hashOfContent(LARGE)])
  t.ok(rise() < MOST_RISE, `memory rose by ${rise()}`)
}

async function uploads(t: Test, protocol: Protocol, chunked: boolean): Promise<void> {
  const rise = watchMemory(t, balancer.pid)
  const got = await within(
    exchange(protocol, { method: 'POST', path: '/', size: LARGE, chunked }),
    'the upload',
    60_000,
  )
  t.strictSame([got.status, got.text], [200, hashOfContent(LARGE)])
  t.ok(rise() < MOST_RISE, `memory rose by ${rise()}`)
}

// Each protocol, each direction and each framing once.
t.test('http: 128 MiB with a length come down unchanged', (t) => downloads(t, 'http', false))
t.test('http: 128 MiB in chunks go up unchanged', (t) => uploads(t, 'http', true))
t.test('https: 128 MiB in chunks come down unchanged', (t) => downloads(t, 'https', true))
t.test('https: 128 MiB with a length go up unchanged', (t) => uploads(t, 'https', false))

const SIZES = [0, 1, 100, 1023, 4096, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 200_000, MIB]

/** The `n`-th of the mixed requests, and the hash that its answer must have. */
function mixed(n: number): { ask: Ask; digest: string } {
  const size = SIZES[n % SIZES.length] ?? 0
  const chunked = n % 2 === 1
  const flag = n % 3 === 0 ? '?chunked' : ''
  switch (n % 4) {
    case 0:
      return { ask: { method: 'GET', path: `/${size}${flag}`, size: null, chunked }, digest: hashOfContent(size) }
    case 1:
      return { ask: { method: 'POST', path: `/echo${flag}`, size, chunked }, digest: hashOfContent(size) }
    case 2:
      return { ask: { method: 'PUT', path: `/echo${flag}`, size, chunked }, digest: hashOfContent(size) }
    default:
      return {
        ask: { method: 'PUT', path: '/', size, chunked },
        digest: createHash('sha256').update(hashOfContent(size)).digest('hex'),
      }
  }
}

for (const protocol of ['http', 'https'] as const) {
  t.test(`${protocol}: 200 mixed requests at a time, each body is its own`, async (t) => {
    const total = protocol === 'http' ? 936 : 468 // six and three times each size with each method and framing
    const wrong: unknown[] = []
    let next = 0
    const work = async (): Promise<void> => {
      while (next < total) {
        const n = next++
        const { ask, digest } = mixed(n)
        const got = await exchange(protocol, ask)
        if (got.status !== 200 || got.digest !== digest) wrong.push({ n, ask, got })
      }
    }
    await within(Promise.all(Array.from({ length: 200 }, work)), 'all the answers', 60_000)
    t.strictSame(wrong, [])
  })
}

t.test('what is compared is not trivial', async (t) => {
  t.equal(new Set(SIZES.map(hashOfContent)).size, SIZES.length)
  t.notOk(
    Buffer.concat([...content(MIB)])
      .subarray(0, 4096)
      .equals(Buffer.concat([...content(MIB)]).subarray(4096, 8192)),
  )
})
