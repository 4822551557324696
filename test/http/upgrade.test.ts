/** HTTP.md 15: upgrades, and the tunnel after a 101. */
import t from 'tap'
import type { BackendExchange } from '../support/backend.ts'
import { get, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { namesOf, valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t, {
  more: { http: { upgrades: ['websocket', 'x-chat'] } },
  idle: { timeouts: { tunnel: '300ms' } },
})
const { backend } = rig
const ASK =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n'

/** Says 101 and echoes; the far end's FIN is answered with ours. */
const echo = (x: BackendExchange) => {
  x.write(SWITCH)
  x.takeOver((bytes) => x.write(bytes))
  x.connection.socket.on('end', () => x.end())
}
backend.on('/echo', echo)

t.test('an upgrade reaches the backend with its fields, and its 101 the client', async (t) => {
  const client = await rig.connect()
  client.send(get('/echo', ASK))
  const response = await client.readResponse()
  t.equal(response.startLine, 'HTTP/1.1 101 Switching Protocols')
  t.match(valuesOf(response.fields, 'connection').join(), /^upgrade$/i)
  t.strictSame(valuesOf(response.fields, 'upgrade'), ['websocket'])
  t.strictSame(valuesOf(response.fields, 'sec-websocket-accept'), ['x'])
  const { fields } = backend.last('/echo')
  t.match(valuesOf(fields, 'connection').join(), /upgrade/i)
  t.strictSame(valuesOf(fields, 'upgrade'), ['websocket'])
  t.strictSame(valuesOf(fields, 'sec-websocket-key'), ['dGhlIHNhbXBsZSBub25jZQ=='])
  const bytes = 'GET /not-a-request HTTP/1.1\r\n\r\n\0\xff'
  client.send(bytes)
  t.equal((await client.readBytes(bytes.length)).toString('latin1'), bytes)
  client.destroy()
})

t.test('the ways to write an upgrade are understood', async (t) => {
  for (const lines of [
    'connection: upgrade\r\nupgrade: WebSocket\r\n',
    'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n',
    'Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: UPGRADE\r\n',
  ]) {
    const client = await rig.connect()
    client.send(get('/echo', lines))
    t.equal((await client.readResponse()).status, 101, JSON.stringify(lines))
    client.send('ping')
    t.equal((await client.readBytes(4)).toString(), 'ping')
    client.destroy()
  }
})

t.test('nothing that follows the head reaches the backend before its 101, and all of it after', async (t) => {
  const early = `early\0${get('/smuggled')}`
  let go: () => void = () => undefined
  const may = new Promise<void>((resolve) => {
    go = resolve
  })
  backend.on('/early', async (x) => {
    await may
    echo(x)
  })
  const client = await rig.connect()
  client.send(get('/early', ASK) + early)
  await eventually('the head', () => backend.heads.some((head) => head.target === '/early'))
  for (let i = 0; i < 5; i++) await rig.barrier()
  const { connection, head } = backend.last('/early')
  t.ok(connection.text.endsWith(head), 'the head is the last that came')
  go()
  t.equal((await client.readResponse()).status, 101)
  t.equal((await client.readBytes(early.length)).toString('latin1'), early)
  t.notOk(backend.heads.some((one) => one.target === '/smuggled'))
  client.destroy()
})

t.test('bytes that come with the 101 go through', async (t) => {
  backend.on('/with', (x) => {
    x.write(`${SWITCH}first`)
    x.takeOver(() => x.end('last'))
  })
  const client = await rig.connect()
  client.send(get('/with', ASK))
  t.equal((await client.readResponse()).status, 101)
  t.equal((await client.readBytes(5)).toString(), 'first')
  client.send('x')
  t.equal((await client.readUntilClose()).toString(), 'last')
  client.destroy()
})

t.test('an answer other than 101 is an answer, and what followed the head is the next request', async (t) => {
  backend.on('/no', (x) => x.answer('no', 'Connection: close\r\n', '426 Upgrade Required'))
  const client = await rig.connect()
  client.send(get('/no', ASK) + get('/next'))
  const response = await client.readResponse()
  t.equal(response.status, 426)
  t.equal(response.body.toString(), 'no')
  const next = await client.readResponse().catch(() => undefined)
  if (next !== undefined) t.equal(next.status, 200)
  else t.equal(await client.untilClosed(), 'end', 'or the connection ends there')
  client.destroy()
  t.notOk(backend.last('/no').connection.text.includes('/next'))
})

t.test('a 101 that does not name what was asked for is a 502', async (t) => {
  const answers = [
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x-chat\r\n\r\n',
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n',
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n',
    'HTTP/1.1 101 X\r\n\r\n',
    'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocketx\r\n\r\n',
  ]
  for (const [i, answer] of answers.entries()) {
    backend.on(`/wrong/${i}`, (x) => {
      x.write(answer)
      x.takeOver(() => undefined)
    })
    const client = await rig.connect()
    client.send(get(`/wrong/${i}`, ASK))
    t.equal((await client.readResponse()).status, 502, JSON.stringify(answer))
    await backend.last(`/wrong/${i}`).connection.untilClosed()
    client.destroy()
  }
})

t.test('a 101 that nobody asked for is a 502, and no tunnel', async (t) => {
  backend.on('/unasked', (x) => {
    x.write(SWITCH)
    x.takeOver(() => undefined)
  })
  for (const request of [
    get('/unasked'),
    get('/unasked', 'Upgrade: websocket\r\n'),
    get('/unasked', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'),
    get('/unasked', ASK).replace('HTTP/1.1', 'HTTP/1.0'),
  ]) {
    const client = await rig.connect()
    client.send(request)
    t.equal((await client.readResponse()).status, 502, JSON.stringify(request))
    client.send(get('/smuggled'))
    await backend.last('/unasked').connection.untilClosed()
    const { connection, head } = backend.last('/unasked')
    t.ok(connection.text.endsWith(head), 'nothing came after the head')
    client.destroy()
  }
})

t.test('what is not an allowed upgrade goes on as a plain request', async (t) => {
  const rows = [
    [
      'h2c',
      get('/plain/0', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
    ],
    ['H2C', get('/plain/1', 'Connection: Upgrade\r\nUpgrade: H2C\r\n')],
    ['another protocol', get('/plain/2', 'Connection: Upgrade\r\nUpgrade: x-chat\r\n')],
    ['TLS', get('/plain/3', 'Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n')],
    ['not named by Connection', get('/plain/4', 'Upgrade: websocket\r\n')],
    ['HTTP/1.0', get('/plain/5', ASK).replace('HTTP/1.1', 'HTTP/1.0')],
    ['no protocol', get('/plain/6', 'Connection: Upgrade\r\n')],
    ['an empty protocol', get('/plain/7', 'Connection: Upgrade\r\nUpgrade:\r\n')],
    ['a superstring', get('/plain/8', 'Connection: Upgrade\r\nUpgrade: websocketx\r\n')],
  ] as const
  for (const [i, [title, request]] of rows.entries()) {
    t.equal((await roundTrip(rig.port(), request)).status, 200, title)
    const { fields } = backend.last(`/plain/${i}`)
    t.strictSame(valuesOf(fields, 'upgrade'), [], title)
    t.notMatch(valuesOf(fields, 'connection').join(), /upgrade/i, title)
    t.notOk(namesOf(fields).includes('http2-settings'), title)
  }
})

t.test('a list is cut down to what is allowed', async (t) => {
  for (const [i, list] of ['h2c, websocket', 'websocket, h2c', 'x-chat, websocket, h2c'].entries()) {
    const client = await rig.connect()
    client.send(get(`/list/${i}`, `Connection: Upgrade\r\nUpgrade: ${list}\r\n`))
    t.equal((await client.readResponse()).status, 200)
    t.notMatch(valuesOf(backend.last(`/list/${i}`).fields, 'upgrade').join(), /h2c|x-chat/, list)
    client.destroy()
  }
})

t.test('a request with a body is not an upgrade', async (t) => {
  for (const [i, framing] of [
    'Content-Length: 5\r\n\r\nhello',
    'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ].entries()) {
    const request = `POST /body/${i} HTTP/1.1\r\nHost: a.test\r\n${ASK}${framing}`
    const { status } = await roundTrip(rig.port(), request)
    t.equal(status, 200)
    t.strictSame(valuesOf(backend.last(`/body/${i}`).fields, 'upgrade'), [])
    t.equal(backend.last(`/body/${i}`).reader.bytes.toString(), 'hello')
  }
})

t.test('a protocol that the configuration allows is forwarded', async (t) => {
  backend.on('/chat', (x) => {
    x.write('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x-chat\r\n\r\n')
    x.takeOver((bytes) => x.write(bytes))
  })
  const client = await rig.connect('more')
  client.send(get('/chat', 'Connection: Upgrade\r\nUpgrade: x-chat\r\n'))
  t.equal((await client.readResponse()).status, 101)
  client.send('hi')
  t.equal((await client.readBytes(2)).toString(), 'hi')
  client.destroy()
})

t.test('each direction of a tunnel ends by itself', async (t) => {
  const got: Buffer[] = []
  backend.on('/half', (x) => {
    x.write(SWITCH)
    x.takeOver((bytes) => got.push(bytes))
    x.connection.socket.on('end', () => x.end('after your end'))
  })
  const client = await rig.connect()
  client.send(get('/half', ASK))
  t.equal((await client.readResponse()).status, 101)
  client.send('before my end')
  client.end()
  t.equal((await client.readUntilClose()).toString(), 'after your end')
  t.equal(Buffer.concat(got).toString(), 'before my end')

  const back: Buffer[] = []
  backend.on('/half-back', (x) => {
    x.takeOver((bytes) => back.push(bytes))
    x.end(`${SWITCH}bye`)
  })
  const other = await rig.connect()
  other.send(get('/half-back', ASK))
  t.equal((await other.readResponse()).status, 101)
  t.equal((await other.readUntilClose()).toString(), 'bye')
  other.send('still here')
  await eventually('what came after the end', () => Buffer.concat(back).toString() === 'still here')
  other.end()
  t.equal(await backend.last('/half-back').connection.untilClosed(), 'end')
})

t.test('a client that says its last before the 101 ends its direction of the tunnel', async (t) => {
  backend.on('/last', echo)
  const client = await rig.connect()
  client.send(get('/last', ASK))
  client.end()
  await eventually('the request', () => backend.requests.some(({ target }) => target === '/last'))
  t.ok(await backend.last('/last').connection.untilClosed(), 'the backend hears it')
  t.ok(await client.untilClosed(), 'and so the tunnel ends')
})

t.test('a reset of one side reaches the other', async (t) => {
  const client = await rig.connect()
  client.send(get('/echo', ASK))
  t.equal((await client.readResponse()).status, 101)
  const { connection } = backend.last('/echo')
  client.reset()
  t.ok(await connection.untilClosed())

  backend.on('/reset', (x) => {
    x.write(SWITCH)
    x.takeOver(() => x.reset())
  })
  const other = await rig.connect()
  other.send(get('/reset', ASK))
  t.equal((await other.readResponse()).status, 101)
  other.send('x')
  t.ok(await other.untilClosed())
})

t.test('a tunnel carries any amount either way and holds a fast sender back', async (t) => {
  const size = 24 * 1024 * 1024
  const block = Buffer.alloc(64 * 1024, 'tunnel')
  backend.on('/flood', (x) => {
    x.write(SWITCH)
    x.takeOver(() => undefined)
    for (let sent = 0; sent < size; sent += block.length) x.write(block)
  })
  const client = await rig.connect()
  client.send(get('/flood', ASK))
  t.equal((await client.readResponse()).status, 101)
  client.socket.pause()
  const { socket } = backend.last('/flood').connection
  let taken = -1
  await eventually('a standstill', async () => {
    const now = socket.bytesWritten - socket.writableLength
    for (let i = 0; i < 10; i++) await rig.barrier()
    const still = now === taken
    taken = now
    return still
  })
  t.ok(socket.writableLength > 0, `${socket.writableLength} of ${size} bytes still wait at the backend`)
  client.socket.resume()
  t.equal((await client.readBytes(size, 20_000)).length, size)
  client.destroy()
})

t.test('a tunnel without a byte in either direction ends', async (t) => {
  const client = await rig.connect('idle')
  client.send(get('/echo', ASK))
  t.equal((await client.readResponse()).status, 101)
  client.send('x')
  await client.readBytes(1)
  t.ok(await client.untilClosed(3000))
  t.ok(await backend.last('/echo').connection.untilClosed())
})

t.test('the log tells how long a tunnel was, not how long it took to open', async (t) => {
  const line = await eventually('the line of the tunnel', async () =>
    (await rig.balancer.accessLog()).find(({ service }) => service === 'idle'),
  )
  t.equal(line['status'], 101)
  t.ok(Number(line['totalMs']) >= 200, `${line['totalMs']} ms`)
})

t.test('the backend got every request whole', async (t) => {
  t.strictSame(backend.faults, [])
})
