/** HTTP.md 18 to 20: early answers, bytes too many, and the reuse of connections to backends. */
import t from 'tap'
import { chunked, get, post, startRig } from '../support/engine.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t, {
  brief: { timeouts: { backendIdle: '200ms' } },
  single: { http: { maxIdleBackendConnections: 1 } },
  none: { http: { maxIdleBackendConnections: 0 } },
})
const { backend } = rig

t.test('a final answer before the whole request is relayed at once', async (t) => {
  for (const [kind, request] of [
    ['length', post('Content-Length: 1000000\r\n', 'x'.repeat(1000), '/early/length')],
    ['chunked', chunked('5\r\nhello\r\n', '/early/chunked')],
  ] as const) {
    backend.onHeadOf(`/early/${kind}`, (x) => x.answer('too much', '', '413 Payload Too Large'))
    const client = await rig.connect()
    client.send(request)
    const response = await client.readResponse()
    t.equal(response.status, 413)
    t.equal(response.body.toString(), 'too much')
    client.destroy()
  }
})

t.test('an early answer and Connection: close of the backend reach a client that is still sending', async (t) => {
  backend.onHeadOf('/refuse', (x) => {
    x.answer('no', 'Connection: close\r\n', '403 Forbidden')
    x.end()
  })
  const client = await rig.connect()
  client.send(post('Content-Length: 8000000\r\n', '', '/refuse'))
  client.send(Buffer.alloc(2_000_000))
  const response = await client.readResponse()
  t.equal(response.status, 403)
  t.equal(response.body.toString(), 'no')
  client.destroy()
})

t.test(
  'after an early answer the rest is read as a body or the connection is closed, never as a request',
  async (t) => {
    const smuggled = get('/smuggled')
    backend.onHeadOf('/early/rest', (x) => x.answer('early'))
    const client = await rig.connect()
    client.send(post(`Content-Length: ${smuggled.length}\r\n`, '', '/early/rest'))
    t.equal((await client.readResponse()).status, 200)
    client.send(smuggled)
    client.send(get('/after-rest'))
    const next = await client.readResponse().catch(() => undefined)
    if (next !== undefined) t.equal(backend.last('/after-rest').target, '/after-rest')
    client.destroy()
    t.equal((await roundTrip(rig.port(), get('/fresh'))).status, 200)
    t.notOk(backend.heads.some((head) => head.target === '/smuggled'))
  },
)

t.test('a backend connection with an unfinished request is not used for another', async (t) => {
  backend.onHeadOf('/unfinished', (x) => x.answer('early'))
  const client = await rig.connect()
  client.send(post('Content-Length: 100\r\n', 'part', '/unfinished'))
  t.equal((await client.readResponse()).status, 200)
  const { connection } = backend.heads.findLast((head) => head.target === '/unfinished') ?? { connection: undefined }
  for (let i = 0; i < 5; i++) {
    t.equal((await roundTrip(rig.port(), get('/other'))).status, 200)
    t.not(backend.last('/other').connection, connection)
  }
  client.destroy()
})

t.test('bytes after a complete answer poison the connection, whatever the answer was', async (t) => {
  const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
  const rows = [
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['GET', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n'],
    ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ] as const
  for (const [i, [method, answer]] of rows.entries())
    for (const when of ['at once', 'when idle', 'a byte']) {
      const target = `/poison/${i}/${when.replace(' ', '-')}`
      backend.on(target, async (x) => {
        if (when === 'at once') return x.write(answer + poison)
        x.write(answer)
        await rig.barrier()
        await rig.barrier()
        x.write(when === 'a byte' ? '\n' : poison)
      })
      const client = await rig.connect()
      client.send(`${method} ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`)
      const response = await client.readResponse({ method })
      t.notMatch(response.body.toString(), 'poison')
      t.ok(await backend.last(target).connection.untilClosed(), `${method} ${JSON.stringify(answer)} ${when}: closed`)
      t.equal(client.pending.length, 0, 'the client got nothing of it')
      client.send(get('/clean'))
      t.match((await client.readResponse()).body.toString(), /^backend \d+$/, 'nor did the next request')
      client.destroy()
    }
})

t.test('an answer that nobody asked for is not the answer to the next request', async (t) => {
  t.equal((await roundTrip(rig.port('single'), get('/one'))).status, 200)
  const { connection } = backend.last('/one')
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison')
  await rig.barrier()
  t.match((await roundTrip(rig.port('single'), get('/two'))).body.toString(), /^backend \d+$/)
  t.not(backend.last('/two').connection, connection)
})

t.test('a connection is used again, across requests and across clients', async (t) => {
  t.equal((await roundTrip(rig.port(), get('/reuse/0'))).status, 200)
  const { connection } = backend.last('/reuse/0')
  for (let i = 1; i <= 5; i++) {
    t.equal((await roundTrip(rig.port(), get(`/reuse/${i}`))).status, 200)
    t.equal(backend.last(`/reuse/${i}`).connection, connection)
  }
  const client = await rig.connect()
  for (let i = 6; i <= 9; i++) {
    client.send(chunked('5\r\nhello\r\n0\r\n\r\n', `/reuse/${i}`))
    t.equal((await client.readResponse()).status, 200)
    t.equal(backend.last(`/reuse/${i}`).connection, connection)
  }
  client.destroy()
})

t.test('last in, first out', async (t) => {
  const held: (() => void)[] = []
  backend.on('/hold', (x) => held.push(() => x.answer('held')))
  const clients = [await rig.connect(), await rig.connect(), await rig.connect()]
  const from = backend.requests.length
  for (const [i, client] of clients.entries()) {
    client.send(get('/hold'))
    await backend.waitForRequests(from + i + 1)
  }
  const used = backend.requests.slice(from).map((request) => request.connection)
  t.equal(new Set(used).size, 3, 'one connection each')
  for (const [i, client] of clients.entries()) {
    held[i]?.()
    t.equal((await client.readResponse()).status, 200)
  }
  await roundTrip(rig.port(), get('/lifo'))
  t.equal(backend.last('/lifo').connection, used[2], 'the one that was given back last')
  for (const client of clients) client.destroy()
})

t.test('one that the backend is about to close is not', async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nconnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ]
  for (const [i, answer] of answers.entries()) {
    backend.on(`/last/${i}`, (x) => x.write(answer))
    t.equal((await roundTrip(rig.port(), get(`/last/${i}`))).body.toString(), 'ok')
    t.ok(await backend.last(`/last/${i}`).connection.untilClosed(), answer)
  }
})

t.test('Connection: close of the backend is not passed on to the client', async (t) => {
  backend.on('/close', (x) => x.answer('ok', 'Connection: close\r\n'))
  const client = await rig.connect()
  for (let i = 0; i < 2; i++) {
    client.send(get('/close'))
    const response = await client.readResponse()
    t.notMatch(valuesOf(response.fields, 'connection').join(), /close/i)
  }
  client.destroy()
})

t.test('an idle connection is closed in time, before the backend does', async (t) => {
  t.equal((await roundTrip(rig.port('brief'), get('/brief'))).status, 200)
  t.equal(await backend.last('/brief').connection.untilClosed(2000), 'end')
  backend.on('/keep', (x) => x.answer('ok', 'Keep-Alive: timeout=2\r\n'))
  t.equal((await roundTrip(rig.port(), get('/keep'))).status, 200)
  t.equal(await backend.last('/keep').connection.untilClosed(2000), 'end', 'a second less than Keep-Alive says')
  backend.on('/keep/1', (x) => x.answer('ok', 'Keep-Alive: timeout=1\r\n'))
  t.equal((await roundTrip(rig.port(), get('/keep/1'))).status, 200)
  t.equal(await backend.last('/keep/1').connection.untilClosed(1000), 'end', 'a second less than one is none')
})

t.test('no more idle connections are kept than allowed', async (t) => {
  const held: (() => void)[] = []
  backend.on('/bound', (x) => held.push(() => x.answer('held')))
  for (const [service, kept] of [
    ['single', 1],
    ['none', 0],
  ] as const) {
    held.length = 0
    const from = backend.requests.length
    const clients = await Promise.all([1, 2, 3].map(() => rig.connect(service)))
    for (const client of clients) client.send(get('/bound'))
    await backend.waitForRequests(from + 3)
    for (const go of held) go()
    for (const client of clients) t.equal((await client.readResponse()).status, 200)
    const used = backend.requests.slice(from, from + 3).map((request) => request.connection)
    const closed = used.map((connection) => connection.untilClosed(500).catch(() => undefined))
    const first = await Promise.all(closed)
    t.equal(first.filter((ending) => ending !== undefined).length, 3 - kept, service)
    for (const client of clients) client.destroy()
  }
})

t.test('the backend got every request whole', async (t) => {
  t.strictSame(backend.faults, [])
})
