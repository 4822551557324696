/** However TCP cuts them, requests and answers mean the same: every cut in two, and a byte at a time. */
import t from 'tap'
import { ENGINE } from '../support/differences.ts'
import { chunked, get, post, startRig } from '../support/engine.ts'
import { connect, type RawClient, type RawResponse } from '../support/raw.ts'

const rig = await startRig(t, { plain: { http: { requestId: false } } })
const { backend } = rig
const DATE = 'Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n'
backend.onRequest = (x) => x.answer('answer', DATE)

const ABSOLUTE = 'GET http://A.test:8080/abs?x=y HTTP/1.1\r\nHost: a.test:8080\r\nAccept: */*\r\n\r\n'
const WHOLE: Record<string, string> = {
  get: get('/split?x=y', 'Accept: */*\r\nX-Empty:\r\nCookie: a=b;  c=d\r\nX-Latin: caf\xe9\r\n'),
  'an empty line first': `\r\n${get('/split')}`,
  'absolute-form': ABSOLUTE,
  'a length': post('Content-Length: 12\r\nContent-Type: text/plain\r\n', 'hello\r\n\r\nend', '/split'),
  chunks: chunked('5;a=b\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n', '/split'),
  'an empty chunked body': chunked('0\r\n\r\n', '/split'),
  'hop-by-hop': get(
    '/split',
    'Connection: close, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: x\r\nTE: gzip\r\nX-Forwarded-For: 6.6.6.6\r\n',
  ),
  'HTTP/1.0': 'GET /split HTTP/1.0\r\nUser-Agent: old\r\n\r\n',
  head: 'HEAD /split HTTP/1.1\r\nHost: a.test\r\n\r\n',
}

const BAD: Record<string, string> = {
  'both framings': post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'two lengths': post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
  'LF alone': 'GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n',
  'CR alone': 'GET / HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n',
  'a folded line': get('/', 'X: a\r\n b\r\n'),
  'space before the colon': get('/', 'X : a\r\n'),
  'no Host': 'GET / HTTP/1.1\r\nX: y\r\n\r\n',
  NUL: get('/', 'X: a\0b\r\n'),
  'a first line with a space': 'GET / HTTP/1.1\r\n X: y\r\nHost: a.test\r\n\r\n',
  'two empty lines': `\r\n\r\n${get('/')}`,
  'HTTP/0.9': 'GET /\r\n\r\n',
}

interface Seen {
  readonly text: string
  readonly body: string
}

/** What reached the backend: its head without what differs by nature, the decoded body, the trailers. */
const seenAt = (from: number): Seen[] =>
  backend.requests.slice(from).map(({ head, reader }) => ({
    text: head,
    body: `${reader.bytes.toString('latin1')} ${JSON.stringify(reader.trailers)}`,
  }))

const methodOf = (request: string) => (request.startsWith('HEAD') ? 'HEAD' : 'GET')
const brief = ({ text, body }: RawResponse) => ({ text, body: body.toString('latin1') })

/** Sends the pieces, each read by the balancer before the next is sent, on as many connections as there are lists. */
async function inPieces(port: number, lists: readonly Buffer[][]): Promise<RawClient[]> {
  const clients: RawClient[] = []
  for (const _ of lists) clients.push(await connect(port))
  const rounds = Math.max(...lists.map((list) => list.length))
  for (let i = 0; i < rounds; i++) {
    for (const [k, list] of lists.entries()) {
      const piece = list[i]
      if (piece !== undefined) clients[k]?.send(piece)
    }
    await rig.barrier()
  }
  return clients
}

const EACH = ENGINE === 'native' ? 1 : 3 // at how many bytes they are cut: at all, or at every third, where node's parser reads
const twoPieces = (bytes: Buffer): Buffer[][] =>
  Array.from({ length: bytes.length - 1 }, (_, i) => [bytes.subarray(0, i + 1), bytes.subarray(i + 1)]).filter(
    (_, i) => i % EACH === 0,
  )
const singleBytes = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))

/** The request sent whole: what the others are compared with. */
async function reference(request: string) {
  const from = backend.requests.length
  const client = await connect(rig.port('plain'))
  client.send(request)
  const response = brief(await client.readResponse({ method: methodOf(request) }))
  client.destroy()
  return { response, seen: seenAt(from)[0] }
}

t.test('a request cut at any byte reaches the backend as if it came whole', async (t) => {
  for (const [name, request] of Object.entries(WHOLE)) {
    const { response, seen } = await reference(request)
    const from = backend.requests.length
    const pieces = twoPieces(Buffer.from(request, 'latin1'))
    const clients = await inPieces(rig.port('plain'), pieces)
    const answers = []
    for (const client of clients) answers.push(brief(await client.readResponse({ method: methodOf(request) })))
    for (const client of clients) client.destroy()
    t.strictSame(new Set(seenAt(from).map((one) => JSON.stringify(one))), new Set([JSON.stringify(seen)]), name)
    t.equal(backend.requests.length - from, pieces.length, `${name}: once each`)
    t.strictSame(new Set(answers.map((one) => JSON.stringify(one))), new Set([JSON.stringify(response)]), name)
  }
})

t.test('a request that comes a byte at a time does too', async (t) => {
  const names = Object.keys(WHOLE)
  const references = []
  for (const name of names) references.push(await reference(WHOLE[name] ?? ''))
  const from = backend.requests.length
  const lists = names.map((name) => singleBytes(Buffer.from(WHOLE[name] ?? '', 'latin1')))
  const clients = await inPieces(rig.port('plain'), lists)
  for (const [i, client] of clients.entries()) {
    const response = await client.readResponse({ method: methodOf(WHOLE[names[i] ?? ''] ?? '') })
    t.strictSame(brief(response), references[i]?.response, names[i] ?? '')
    client.destroy()
  }
  const wanted = references.map((one) => JSON.stringify(one.seen)).sort()
  t.strictSame(
    seenAt(from)
      .map((one) => JSON.stringify(one))
      .sort(),
    wanted,
  )
})

t.test('a bad request is refused at any cut, and byte by byte, and the backend learns nothing', async (t) => {
  const heads = backend.heads.length
  for (const [name, request] of Object.entries(BAD)) {
    const bytes = Buffer.from(request, 'latin1')
    const clients = await inPieces(rig.port('plain'), [...twoPieces(bytes), singleBytes(bytes)])
    const statuses = new Set<number | string>()
    for (const client of clients) {
      const response = await client.readResponse({ deadline: 2000 }).catch((error: unknown) => String(error))
      statuses.add(typeof response === 'string' ? response : response.status)
      await client.untilClosed(2000).catch(() => statuses.add('stays open'))
      client.destroy()
    }
    t.strictSame([...statuses], [400], name)
  }
  await rig.barrier()
  t.equal(backend.heads.length, heads)
})

t.test('pipelined requests cut at any byte are answered in order', async (t) => {
  backend.on('/first', (x) => x.answer('first', DATE))
  backend.on('/second', (x) => x.answer('second', DATE))
  const two = Buffer.from(chunked('2\r\nok\r\n0\r\n\r\n', '/first') + get('/second'), 'latin1')
  const clients = await inPieces(rig.port('plain'), twoPieces(two))
  for (const client of clients) {
    const bodies = [(await client.readResponse()).body.toString(), (await client.readResponse()).body.toString()]
    if (bodies.join() !== 'first,second') t.fail(bodies.join())
    client.destroy()
  }
  t.pass(`${clients.length} cuts`)
})

const ANSWERS: Record<string, string> = {
  'a length': `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 5\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\n\r\nhello`,
  chunks: `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0A\r\n0123456789\r\n0\r\n\r\n`,
  'an interim answer': `HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n${DATE}Content-Length: 2\r\n\r\nok`,
  'no body': `HTTP/1.1 204 No Content\r\n${DATE}X: y\r\n\r\n`,
  'hop-by-hop': `HTTP/1.1 404 Not Found\r\n${DATE}Connection: X-Gone\r\nX-Gone: 1\r\nContent-Length: 2\r\n\r\nno`,
}

t.test('an answer cut at any byte, or byte by byte, reaches the client as if it came whole', async (t) => {
  for (const [name, answer] of Object.entries(ANSWERS)) {
    const bytes = Buffer.from(answer, 'latin1')
    const lists = [[bytes], ...twoPieces(bytes), singleBytes(bytes)]
    for (const [i, list] of lists.entries())
      backend.on(`/cut/${i}`, async (x) => {
        for (const piece of list) {
          x.write(piece)
          await rig.barrier()
        }
      })
    const clients: RawClient[] = []
    for (const [i] of lists.entries()) {
      const client = await connect(rig.port('plain'))
      client.send(get(`/cut/${i}`))
      clients.push(client)
    }
    const got = new Set<string>()
    for (const client of clients) {
      const response = await client.readResponse()
      got.add(JSON.stringify({ ...brief(response), interim: response.interim.map(brief) }))
      client.destroy()
    }
    t.equal(got.size, 1, `${name}: ${lists.length} ways, one answer: ${[...got].slice(0, 2).join(' ')}`)
  }
})

t.test('the backend got every request whole', async (t) => {
  t.strictSame(backend.faults, [])
})
