/** HTTP.md 16: the body of an answer, by what the backend said and what the client can take. */
import t from 'tap'
import { get, post, startRig } from '../support/engine.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t)
const { backend } = rig
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n'
const old = (target: string, fields = '') => `GET ${target} HTTP/1.0\r\nHost: a.test\r\n${fields}\r\n`

t.test('an answer without a body has none, and the connection goes on', async (t) => {
  const rows = [
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n', 200, '1234'],
    ['HEAD', 'HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n', 404, '5'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, '0'],
    ['HEAD', 'HTTP/1.1 200 OK\r\n\r\n', 200, undefined],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 200, undefined],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204, undefined],
    ['POST', 'HTTP/1.1 204 No Content\r\n\r\n', 204, undefined],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', 304, undefined],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 777\r\n\r\n', 304, '777'],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, '0'],
    ['GET', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n', 205, '0'],
  ] as const
  for (const [i, [method, answer, status, length]] of rows.entries()) {
    backend.on(`/none/${i}`, (x) => x.write(answer))
    const client = await rig.connect()
    client.send(`${method} /none/${i} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
    const response = await client.readResponse({ method })
    t.equal(response.status, status, JSON.stringify(answer))
    t.strictSame(valuesOf(response.fields, 'content-length')[0], length)
    t.equal(response.body.length, 0)
    client.send(get('/after'))
    t.equal((await client.readResponse()).status, 200, 'and the next answer is in step')
    client.destroy()
  }
})

t.test('a 204 carries no framing field', async (t) => {
  backend.on('/204', (x) => x.write('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n'))
  const response = await roundTrip(rig.port(), get('/204'))
  t.equal(response.status, 204)
  t.strictSame(valuesOf(response.fields, 'transfer-encoding'), [])
  t.equal(response.body.length, 0)
})

t.test('a body with a length keeps it', async (t) => {
  for (const size of [1, 5, 1024, 65_535, 65_536, 1_000_000]) {
    backend.on(`/length/${size}`, (x) => x.answer('b'.repeat(size)))
    for (const request of [get(`/length/${size}`), old(`/length/${size}`)]) {
      const response = await roundTrip(rig.port(), request)
      t.equal(response.framing, 'length')
      t.equal(response.body.toString(), 'b'.repeat(size))
    }
  }
})

t.test('a chunked body stays chunked for 1.1, without extensions, and is plain for 1.0', async (t) => {
  backend.on('/chunked', (x) => x.write(CHUNKED))
  const response = await roundTrip(rig.port(), get('/chunked'))
  t.equal(response.framing, 'chunked')
  t.equal(response.body.toString(), 'hello world')
  const client = await rig.connect()
  client.send(old('/chunked', 'Connection: keep-alive\r\n'))
  const plain = await client.readResponse()
  t.equal(plain.framing, 'close')
  t.strictSame(valuesOf(plain.fields, 'transfer-encoding'), [])
  t.equal(plain.body.toString(), 'hello world')
  t.equal(client.ending, 'end', 'with a FIN: it is whole')
})

t.test(
  'a body that lasts until the end of the connection is framed as chunks for 1.1, and closed for 1.0',
  async (t) => {
    const heads = [
      'HTTP/1.1 200 OK\r\n\r\n',
      'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n',
      'HTTP/1.0 200 OK\r\n\r\n',
      'HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n',
    ]
    for (const [i, head] of heads.entries())
      for (const body of ['', 'hello', 'x'.repeat(100_000)]) {
        const target = `/until/${i}/${body.length}`
        backend.on(target, (x) => x.end(head + body))
        const client = await rig.connect()
        client.send(get(target))
        const response = await client.readResponse()
        t.equal(response.version, 'HTTP/1.1')
        t.not(response.framing, 'close', JSON.stringify(head))
        t.equal(response.body.toString(), body)
        client.send(get('/after'))
        t.equal((await client.readResponse()).status, 200, 'the client connection stays')
        client.destroy()
        const plain = await roundTrip(rig.port(), old(target))
        t.equal(plain.body.toString(), body)
      }
  },
)

t.test('an HTTP/1.0 backend with a length works, and its connection is not used again unless it says so', async (t) => {
  backend.on('/1.0', (x) => x.write('HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'))
  const response = await roundTrip(rig.port(), get('/1.0'))
  t.equal(response.startLine, 'HTTP/1.1 200 OK')
  t.equal(response.body.toString(), 'hello')
  t.ok(await backend.last('/1.0').connection.untilClosed())
})

t.test('every form of a status line that is one passes', async (t) => {
  for (const [i, line] of [
    '200 OK',
    '200 ',
    '200 a b\tc',
    '200 caf\xe9',
    '299 x',
    '499 y',
    '599 z',
    '304 ',
  ].entries()) {
    backend.on(`/line/${i}`, (x) => x.write(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`))
    t.equal((await roundTrip(rig.port(), get(`/line/${i}`))).startLine, `HTTP/1.1 ${line}`)
  }
})

t.test('an answer arrives as the backend sends it: nothing waits for its end', async (t) => {
  let more: () => void = () => undefined
  backend.on('/live', (x) => {
    x.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n')
    more = () => x.write('6\r\nsecond\r\n0\r\n\r\n')
  })
  const client = await rig.connect()
  client.send(get('/live'))
  const first = (await client.readBytes(60)).toString('latin1')
  while (!client.pending.includes('first')) await rig.barrier()
  t.match(first, /^HTTP\/1\.1 200 OK/)
  more()
  while (!client.pending.includes('second')) await rig.barrier()
  t.pass()
  client.destroy()
})

t.test('a large answer is whole, and a slow reader holds the backend back', async (t) => {
  const size = 24 * 1024 * 1024
  const block = Buffer.alloc(64 * 1024, 'large ')
  backend.on('/large', (x) => {
    x.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
    for (let sent = 0; sent < size; sent += block.length) x.write(block)
  })
  const client = await rig.connect()
  client.socket.pause()
  client.send(get('/large'))
  await backend.waitForRequests(backend.requests.length + 1)
  const { socket } = backend.last('/large').connection
  let taken = -1
  for (;;) {
    for (let i = 0; i < 10; i++) await rig.barrier()
    const now = socket.bytesWritten - socket.writableLength
    if (now === taken) break
    taken = now
  }
  t.ok(socket.writableLength > 0, 'the backend waits')
  client.socket.resume()
  t.equal((await client.readResponse({ deadline: 20_000 })).body.length, size)
  client.destroy()
})

t.test('the backend got every request whole', async (t) => {
  t.strictSame(backend.faults, [])
})

t.test('the last answer arrives whole, and then the end, also when the client said that nothing follows', async (t) => {
  const body = 'b'.repeat(3_000_000)
  backend.on('/small', (x) => x.answer('small'))
  backend.on('/large', (x) => x.answer(body))
  const rows = [
    [get('/small', 'Connection: close\r\n'), 'small'],
    [get('/large', 'Connection: close\r\n'), body],
    [old('/small'), 'small'],
    [old('/large'), body],
    // What comes behind a last request is nobody's, and must not turn the end into a reset that destroys the answer.
    [get('/small', 'Connection: close\r\n') + get('/small'), 'small'],
    [`${old('/large')}\r\n\r\nrubbish`, body],
    [post('Connection: close\r\nContent-Length: 2\r\n', 'hi\r\n', '/large'), body],
  ] as const
  for (const [request, expected] of rows) {
    const client = await rig.connect()
    client.send(request)
    const response = await client.readResponse()
    t.ok(response.body.toString() === expected, `${response.body.length} bytes`)
    t.equal(await client.untilClosed(), 'end', request.slice(0, 40))
  }
})
