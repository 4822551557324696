/** RFC 7541 §6.2.3: a field that is marked as never indexed stays so on the next hop, in both directions. */
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2'
import t from 'tap'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { within } from '../support/eventually.ts'
import { startH2 } from './fixtures/servers.ts'

const NAMES = ['cookie', 'set-cookie', 'authorization'] // never indexed anyway
/** Names that came with the mark. */
const marked = (headers: IncomingHttpHeaders): string[] =>
  ((Reflect.get(headers, sensitiveHeaders) as string[] | undefined) ?? [])
    .filter((name) => !NAMES.includes(name))
    .sort()

const seen: { head: string[]; trailers: string[] }[] = []
const server = await startH2(t, (stream, headers) => {
  const got = { head: marked(headers), trailers: [] as string[] }
  seen.push(got)
  stream.on('trailers', (trailers: IncomingHttpHeaders) => {
    got.trailers = marked(trailers)
  })
  stream.resume()
  stream.on('end', () => {
    const secrets = headers['x-secret'] === undefined ? [] : ['x-token']
    const answer: OutgoingHttpHeaders = { ':status': 200, 'x-token': 't', 'x-other': 'o', [sensitiveHeaders]: secrets }
    stream.respond(answer, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1', [sensitiveHeaders]: ['x-sum'] }))
    stream.end('ok')
  })
})
const plain = await startBackend(t)
const service = (more: object): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  http: { http2: { cleartext: true } },
  health: { type: 'none' },
  ...more,
})
const balancer = await startBalancer(t, {
  virtualServices: {
    main: service({ backendProtocol: 'h2c', backends: [server.address] }),
    old: service({ backends: [plain.address] }),
  },
})

interface Answer {
  readonly head: string[]
  readonly trailers: string[]
  readonly status: number | undefined
}

const session = connect(`http://127.0.0.1:${balancer.port('main')}`)
const old = connect(`http://127.0.0.1:${balancer.port('old')}`)
t.teardown(() => {
  session.destroy()
  old.destroy()
})

function ask(fields: OutgoingHttpHeaders, trailers: OutgoingHttpHeaders | null, on = session): Promise<Answer> {
  const stream = on.request(
    { ':path': '/', ':method': 'POST', te: 'trailers', ...fields },
    { waitForTrailers: trailers !== null },
  )
  const answer = new Promise<Answer>((resolve, reject) => {
    let head: string[] = []
    let last: string[] = []
    let status: number | undefined
    stream.on('response', (headers) => {
      status = headers[':status']
      head = marked(headers)
    })
    stream.on('trailers', (headers: IncomingHttpHeaders) => {
      last = marked(headers)
    })
    stream.on('error', reject)
    stream.on('end', () => resolve({ head, trailers: last, status }))
    stream.resume()
  })
  stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}))
  stream.end('body')
  return within(answer, 'an answer')
}

t.test('marks of a request and of its answer arrive, and only they', async (t) => {
  const secret = {
    ':path': '/secret?token=1',
    'x-secret': 's',
    'x-open': 'o',
    [sensitiveHeaders]: ['x-secret', ':path'],
  }
  for (let i = 0; i < 3; i++) {
    t.match(await ask(secret, null), { status: 200, head: ['x-token'], trailers: ['x-sum'] })
    t.same(seen.at(-1), { head: [':path', 'x-secret'], trailers: [] }, `request ${i}`)
    t.match(await ask({ 'x-open': 'o' }, null), { status: 200, head: [], trailers: ['x-sum'] })
    t.same(seen.at(-1), { head: [], trailers: [] }, 'another request of the connection is not meant')
  }
})

t.test('marks of trailers arrive', async (t) => {
  const trailers = { 'x-check': 'c', 'x-plain': 'p', [sensitiveHeaders]: ['x-check'] }
  t.match(await ask({ trailer: 'x-check, x-plain' }, trailers), { status: 200 })
  t.same(seen.at(-1), { head: [], trailers: ['x-check'] })
})

t.test('a backend with HTTP/1.1 gets the fields, and knows no marks', async (t) => {
  t.match(await ask({ 'x-secret': 's', [sensitiveHeaders]: ['x-secret'] }, null, old), { status: 200, head: [] })
  t.match(plain.requests.at(-1)?.head, /\r\nx-secret: s\r\n/)
})
