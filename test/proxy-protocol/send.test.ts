/** PROXY headers towards backends: whom they name, and whose requests the connection then carries. */
import { once } from 'node:events'
import t from 'tap'
import { makeCertificate } from '../e2e/fixtures/support.ts'
import { refusedPort, startBackend, startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect, RawClient } from '../support/raw.ts'
import { INET, PROXY, TCP4, tlv, v2 } from './fixtures/headers.ts'
import { connectFrom, connectTls, startAnnouncedBackend } from './fixtures/rig.ts'

const certificate = await makeCertificate()
const { backend, announced } = await startAnnouncedBackend(t)
const { backend: second, announced: announcedToSecond } = await startAnnouncedBackend(t, 'second')
const plain = await startBackend(t, 'plain')
const echo = await startTcpBackend(t)
const greeting = await startTcpBackend(t, ({ socket }) => socket.once('data', () => socket.write('220 ready\r\n')))
const closed = await refusedPort()

const service = (protocol: string, sendProxy: string, backends: readonly unknown[], more: object = {}): object => ({
  protocol,
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends,
  sendProxy,
  ...(protocol === 'tls' || protocol === 'https' ? { tls: certificate.tls } : {}),
  ...more,
})
const accepting = { proxyProtocol: { accept: 'any', from: ['127.0.0.1'] } }
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      'tcp-v1': service('tcp', 'v1', [echo.address]),
      'tcp-v2': service('tcp', 'v2', [echo.address]),
      'tcp-v6': service('tcp', 'v1', [echo.address], { listen: ['[::1]:0'] }),
      greeting: service('tcp', 'v2', [greeting.address]),
      tls: service('tls', 'v2', [echo.address]),
      chain: service('tcp', 'v1', [echo.address], accepting),
      chain2: service('tcp', 'v2', [echo.address], accepting),
      'http-v1': service('http', 'v1', [backend.address]),
      'http-v2': service('http', 'v2', [backend.address]),
      https: service('https', 'v2', [backend.address]),
      retried: service('http', 'v1', [`127.0.0.1:${closed}`, backend.address]),
      two: service('http', 'v2', [backend.address, second.address]),
      hurried: service('http', 'v2', [backend.address], { timeouts: { backendIdle: '200ms' } }),
      unkept: service('http', 'v2', [backend.address], { http: { maxIdleBackendConnections: 0 } }),
      mixed: service('http', 'v2', [
        { name: 'plain', address: plain.address, sendProxy: 'off' },
        { name: 'told', address: backend.address },
        { name: 'second', address: second.address, sendProxy: 'v1' },
      ]),
      probed: service('http', 'v2', [plain.address], { health: { type: 'http', path: '/probe', interval: '100ms' } }),
    },
  },
  { files: certificate.files },
)

const SOON = 2000 // with the client, and not after `timeouts.backendIdle`
const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'
const ask = async (client: RawClient, request = GET): Promise<number> => {
  client.send(request)
  return (await client.readResponse()).status
}
const peerOf = (client: RawClient) => client.socket.localPort
const firstLine = (text: string) => text.slice(0, text.indexOf('\n') + 1)

t.test('the first bytes of a TCP backend connection name the client, then come its own', async (t) => {
  for (const [name, header] of [
    ['tcp-v1', (port: number) => `PROXY TCP4 127.0.0.1 127.0.0.1 ${port} ${balancer.port('tcp-v1')}\r\n`],
    [
      'tcp-v2',
      (port: number) => {
        const bytes = Buffer.from([127, 0, 0, 1, 127, 0, 0, 1, 0, 0, 0, 0])
        bytes.writeUInt16BE(port, 8)
        bytes.writeUInt16BE(balancer.port('tcp-v2'), 10)
        return v2(PROXY, TCP4, [bytes]).toString('latin1')
      },
    ],
  ] as const) {
    const client = await connect(balancer.port(name))
    const wanted = `${header(peerOf(client) ?? 0)}hello`
    client.send('hello')
    t.equal((await client.readBytes(wanted.length)).toString('latin1'), wanted)
    t.equal(echo.connections.at(-1)?.text, wanted)
    client.end()
    t.equal(await client.untilClosed(), 'end')
  }
})

t.test('a client of IPv6 is told as one', async (t) => {
  const client = await connectFrom('::1', balancer.port('tcp-v6'))
  const wanted = `PROXY TCP6 ::1 ::1 ${peerOf(client)} ${balancer.port('tcp-v6')}\r\n`
  t.equal((await client.readBytes(wanted.length)).toString('latin1'), wanted)
  client.destroy()
})

t.test('a backend that speaks first is told before the client says anything', async (t) => {
  const client = await connect(balancer.port('greeting'))
  t.equal((await client.readBytes(11)).toString(), '220 ready\r\n')
  client.destroy()
})

t.test('the client that a header named is told on, as is the name that it asked for', async (t) => {
  const client = await connect(balancer.port('chain'))
  client.send(Buffer.concat([v2(PROXY, TCP4, [INET, tlv(2, 'a.test')]), Buffer.from('x')]))
  const line = 'PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n'
  t.equal((await client.readBytes(line.length + 1)).toString(), `${line}x`)
  client.destroy()
  const other = await connect(balancer.port('chain2'))
  const header = v2(PROXY, TCP4, [INET, tlv(2, 'a.test')])
  other.send(Buffer.concat([header, Buffer.from('x')]))
  t.ok((await other.readBytes(header.length + 1)).equals(Buffer.concat([header, Buffer.from('x')])))
  other.destroy()
})

t.test('the name of a TLS handshake is told by v2', async (t) => {
  const socket = await connectTls(t, balancer.port('tls'), certificate.ca, Buffer.alloc(0))
  const [bytes] = (await within(once(socket, 'data'), 'what the backend got')) as [Buffer]
  t.ok(bytes.subarray(16 + 12).equals(tlv(2, 'localhost')))
  socket.destroy()
})

for (const version of ['v1', 'v2'] as const) {
  const name = `http-${version}`

  t.test(
    `${version}: the requests of one client go over one connection, with one header before the first`,
    async (t) => {
      const [connections, seen] = [backend.connections.length, announced.length]
      const client = await connect(balancer.port(name))
      for (let i = 0; i < 3; i++) t.equal(await ask(client), 200)
      t.equal(backend.connections.length, connections + 1)
      const ends = { remoteAddress: '127.0.0.1', remotePort: peerOf(client), localAddress: '127.0.0.1' }
      t.match(announced.slice(seen), [{ header: { version, ends: { ...ends, localPort: balancer.port(name) } } }])
      t.ok((announced.at(-1)?.rest ?? 0) > 0, 'the request came in the same segment')
      t.strictSame(backend.faults, [])
      client.destroy()
      await backend.connections.at(-1)?.untilClosed(SOON)
    },
  )

  t.test(`${version}: no client's request goes over a connection that names another`, async (t) => {
    const seen = announced.length
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect(balancer.port(name))))
    for (let round = 0; round < 3; round++)
      for (const client of clients) {
        t.equal(await ask(client, `GET /${peerOf(client)} HTTP/1.1\r\nHost: a.test\r\n\r\n`), 200)
      }
    t.equal(announced.length, seen + clients.length)
    for (let i = seen; i < announced.length; i++) {
      const port = announced[i]?.header.ends?.remotePort
      t.strictSame(
        backend.connections[i]?.requests.map(({ target }) => target),
        Array(3).fill(`/${port}`),
      )
    }
    for (const client of clients) client.destroy()
    await Promise.all(backend.connections.slice(seen).map((connection) => connection.untilClosed(SOON)))
  })
}

t.test('a body behind the header arrives whole', async (t) => {
  const content = 'evenkeel.'.repeat(100_000)
  const client = await connect(balancer.port('http-v2'))
  t.equal(
    await ask(client, `POST /body HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${content.length}\r\n\r\n${content}`),
    200,
  )
  t.equal(backend.last('/body').reader.bytes.toString(), content)
  const chunks = 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'
  const another = await connect(balancer.port('http-v2'))
  t.equal(await ask(another, `POST /chunks HTTP/1.1\r\nHost: a.test\r\n${chunks}`), 200)
  t.equal(backend.last('/chunks').reader.bytes.toString(), 'hello')
  for (const one of [client, another]) one.destroy()
})

t.test('over TLS the header comes once too, and names what the client asked for', async (t) => {
  const seen = announced.length
  const socket = await connectTls(t, balancer.port('https'), certificate.ca, Buffer.alloc(0))
  const client = new RawClient(socket)
  for (let i = 0; i < 2; i++) t.equal(await ask(client), 200)
  t.match(announced.slice(seen), [{ header: { authority: 'localhost' } }])
  t.equal(announced.length, seen + 1)
  client.destroy()
})

t.test('the next try tells the client too', async (t) => {
  const seen = announced.length
  for (let i = 0; i < 2; i++) {
    const client = await connect(balancer.port('retried'))
    t.equal(await ask(client), 200)
    t.equal(announced.at(-1)?.header.ends?.remotePort, peerOf(client))
    client.destroy()
  }
  t.equal(announced.length, seen + 2)
})

t.test('a connection that died between two requests is made anew, with a header', async (t) => {
  const seen = announced.length
  backend.on('/dies', (x) => (x.connection.requests.length === 1 ? x.answer('one') : x.reset()))
  backend.on('/again', (x) => (x.connection.requests.length === 1 ? x.answer('fresh') : x.reset()))
  const client = await connect(balancer.port('http-v1'))
  t.equal(await ask(client, GET.replace('/', '/dies')), 200)
  client.send(GET.replace('/', '/again'))
  t.equal((await client.readResponse()).body.toString(), 'fresh')
  t.strictSame(
    announced.slice(seen).map(({ header }) => header.ends?.remotePort),
    [peerOf(client), peerOf(client)],
  )
  client.destroy()
})

t.test('a client keeps one connection to each backend that it came to', async (t) => {
  const seen = [announced.length, announcedToSecond.length]
  const client = await connect(balancer.port('two'))
  for (let i = 0; i < 6; i++) t.equal(await ask(client), 200)
  t.strictSame([announced.length, announcedToSecond.length], [(seen[0] ?? 0) + 1, (seen[1] ?? 0) + 1])
  client.destroy()
})

t.test('a connection of a client is kept no longer than others', async (t) => {
  const client = await connect(balancer.port('hurried'))
  t.equal(await ask(client), 200)
  await backend.connections.at(-1)?.untilClosed()
  t.equal(await ask(client), 200)
  client.destroy()
  const unkept = await connect(balancer.port('unkept'))
  t.equal(await ask(unkept), 200)
  await backend.connections.at(-1)?.untilClosed()
  unkept.destroy()
})

t.test('a backend has its own way', async (t) => {
  const [seen, seenBySecond] = [announced.length, announcedToSecond.length]
  const client = await connect(balancer.port('mixed'))
  for (let i = 0; i < 3; i++) t.equal(await ask(client), 200)
  const told = plain.connections
    .map(({ text }) => firstLine(text))
    .filter((line) => line !== '' && !line.startsWith('GET /probe '))
  t.match(told, [/^GET \/ /], 'one connection of a client, without a header')
  t.match(announced.slice(seen), [{ header: { version: 'v2' } }])
  t.match(announcedToSecond.slice(seenBySecond), [{ header: { version: 'v1' } }])
  client.destroy()
})

t.test('an upgraded connection is a tunnel behind the header', async (t) => {
  backend.on('/ws', (x) => {
    x.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    x.takeOver((bytes) => x.write(bytes))
  })
  const seen = announced.length
  const client = await connect(balancer.port('http-v1'))
  client.send('GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  t.equal((await client.readResponse()).status, 101)
  client.send('echo')
  t.equal((await client.readBytes(4)).toString(), 'echo')
  t.equal(announced[seen]?.header.ends?.remotePort, peerOf(client))
  client.destroy()
  await backend.connections.at(-1)?.untilClosed()
})

t.test('probes send no header', async (t) => {
  await eventually('a probe', () => plain.connections.some((connection) => connection.text.startsWith('GET /probe ')))
  t.strictSame(plain.faults, [])
})
