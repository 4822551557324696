/** PROXY headers of clients: whom the balancer believes, and what it does with the others. */
import { once } from 'node:events'
import t from 'tap'
import { fields, flowOf, makeCertificate } from '../e2e/fixtures/support.ts'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { INET, INET6, LOCAL, PROXY, summed, TCP4, TCP6, tlv, UNIX, v2 } from './fixtures/headers.ts'
import { connectFrom, connectTls, refusals } from './fixtures/rig.ts'

const LISTED = '127.0.0.1'
const UNLISTED = '127.0.0.2'
const V1 = Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n')
const V1_TCP6 = Buffer.from('PROXY TCP6 2001:db8::1 2001:db8:0:1::2 1000 443\r\n')
const V2 = v2(PROXY, TCP4, [INET])

const certificate = await makeCertificate()
const backend = await startBackend(t)
const echo = await startTcpBackend(t)
const from = { accept: 'any', from: [LISTED], timeout: '1s' }
const service = (protocol: string, more: object = {}): object => ({
  protocol,
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends: [protocol === 'tcp' || protocol === 'tls' ? echo.address : backend.address],
  proxyProtocol: from,
  ...(protocol === 'tls' || protocol === 'https' ? { tls: certificate.tls } : {}),
  ...more,
})
const virtualServices = {
  tcp: service('tcp'),
  http: service('http'),
  oracle: service('http', { http: { engine: 'http-proxy' } }),
  tls: service('tls'),
  https: service('https'),
  v1: service('tcp', { proxyProtocol: { ...from, accept: 'v1' } }),
  v2: service('tcp', { proxyProtocol: { ...from, accept: 'v2' } }),
  trusting: service('http', { http: { trustedProxies: [LISTED] } }),
  trustingClient: service('http', { http: { trustedProxies: ['192.0.2.0/24'] } }),
  hasty: service('tcp', { proxyProtocol: { ...from, timeout: '300ms' } }),
  patient: service('tcp', { proxyProtocol: { ...from, timeout: '60s' } }),
  other: service('tcp', { proxyProtocol: { ...from, from: ['192.0.2.0/24', '::1'] } }),
}
const start = (env: Record<string, string>): Promise<Balancer> =>
  startBalancer(t, { virtualServices }, { files: certificate.files, env })

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'
const clientOf = (line: Record<string, unknown>) => fields(line, 'client', 'clientPort')
/** The access log's lines of a service, once there are `count`. */
const linesOf = (balancer: Balancer, name: string, count: number) =>
  eventually(`${count} lines of ${name}`, async () => {
    const lines = (await balancer.accessLog()).filter((line) => line['service'] === name)
    return lines.length >= count ? lines : undefined
  })

for (const [kind, env] of Object.entries({ handles: {}, sockets: { EVENKEEL_WIRES: 'socket' } })) {
  const balancer = await start(env)

  t.test(`wires on ${kind}: the header names the TCP client, and the backend gets what follows`, async (t) => {
    const headers = [
      [V1, '192.0.2.1'],
      [V1_TCP6, '2001:db8::1'],
      [V2, '192.0.2.1'],
      [v2(PROXY, TCP6, [INET6]), '2001:db8::1'],
      [summed([INET, tlv(2, 'a.test'), tlv(0xee, 'unknown')]), '192.0.2.1'],
    ] as const
    for (const [header] of headers) {
      const client = await connectFrom(LISTED, balancer.port('tcp'))
      client.send(Buffer.concat([header, Buffer.from('hello')]))
      t.equal((await client.readBytes(5)).toString(), 'hello')
      t.equal(echo.connections.at(-1)?.text, 'hello')
      client.end()
      await client.untilClosed()
    }
    const lines = await linesOf(balancer, 'tcp', headers.length)
    t.strictSame(
      lines.map((line) => fields(line, 'client', 'clientPort', 'bytesIn', 'reason')),
      headers.map(([, address]) => [address, 1000, 5, '']),
    )
  })

  t.test(`wires on ${kind}: the header comes byte by byte, the rest in pieces, and nothing is lost`, async (t) => {
    const client = await connectFrom(LISTED, balancer.port('tcp'))
    await client.sendSplit(Buffer.concat([V2, Buffer.from('hello, world')]), [1])
    t.equal((await client.readBytes(12)).toString(), 'hello, world')
    client.destroy()
  })

  t.test(`wires on ${kind}: a megabyte in one write with the header arrives whole and in order`, async (t) => {
    const content = Buffer.alloc(1024 * 1024, 'evenkeel.')
    for (const name of ['tcp', 'http']) {
      const client = await connectFrom(LISTED, balancer.port(name))
      if (name === 'tcp') {
        client.send(Buffer.concat([V1, content]))
        t.ok((await client.readBytes(content.length)).equals(content))
      } else {
        const head = `POST /bulk HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${content.length}\r\n\r\n`
        client.send(Buffer.concat([V1, Buffer.from(head), content]))
        t.equal((await client.readResponse()).status, 200)
        t.ok(backend.last('/bulk').reader.bytes.equals(content))
      }
      client.destroy()
    }
  })

  t.test(`wires on ${kind}: HTTP backends are told the client and the port that the header names`, async (t) => {
    for (const [name, before] of [
      ['http', 1], // the megabyte above
      ['oracle', 0],
    ] as const) {
      const client = await connectFrom(LISTED, balancer.port(name))
      client.send(Buffer.concat([V2, Buffer.from(GET + GET)]))
      t.equal((await client.readResponse()).status, 200)
      t.equal((await client.readResponse()).status, 200)
      for (const request of backend.requests.slice(-2)) {
        t.strictSame(valuesOf(request.fields, 'x-forwarded-for'), ['192.0.2.1'])
        t.strictSame(valuesOf(request.fields, 'x-forwarded-port'), ['443'])
      }
      client.destroy()
      const lines = await linesOf(balancer, name, before + 2)
      t.ok(lines.every((line) => line['client'] === '192.0.2.1' && line['clientPort'] === 1000))
    }
  })

  t.test(`wires on ${kind}: a header without addresses leaves the client as it is`, async (t) => {
    for (const header of [
      Buffer.from('PROXY UNKNOWN\r\n'),
      Buffer.from('PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n'),
      v2(LOCAL, TCP4, [INET]),
      v2(LOCAL, 0, []),
      v2(PROXY, 0, []),
      v2(PROXY, 0x31, [UNIX]),
      v2(PROXY, 0x12, [INET]),
    ]) {
      const client = await connectFrom(LISTED, balancer.port('tcp'))
      const port = client.socket.localPort
      client.send(Buffer.concat([header, Buffer.from('x')]))
      t.equal((await client.readBytes(1)).toString(), 'x')
      client.destroy()
      t.strictSame(clientOf(await flowOf(balancer, port)), [LISTED, port])
    }
  })

  t.test(`wires on ${kind}: a bad header, or none, ends the connection, and the backend hears nothing`, async (t) => {
    const rows: Record<string, Buffer> = {
      'plain bytes': Buffer.from('hello'),
      'a request': Buffer.from(GET),
      'bare LF': Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\nhello'),
      'leading zero': Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 01000 443\r\nhello'),
      'an endless line': Buffer.alloc(4000, 'PROXY UNKNOWN '),
      'a wrong checksum': v2(PROXY, TCP4, [INET, tlv(3, 'abcd')]),
      'a TLV past the end': v2(PROXY, TCP4, [INET, tlv(2, 'a', 2)]),
      'a header too large': v2(LOCAL, 0, [], 65_535),
    }
    for (const [title, bytes] of Object.entries(rows)) {
      const refused = await refusals(balancer, 'tcp')
      const connections = echo.connections.length
      const client = await connectFrom(LISTED, balancer.port('tcp'))
      const port = client.socket.localPort
      client.send(bytes)
      t.equal((await client.readUntilClose()).length, 0, title)
      const line = await flowOf(balancer, port)
      t.strictSame(
        fields(line, 'client', 'endedBy', 'reason', 'phase', 'backend', 'status'),
        [LISTED, 'client', 'proxy-protocol', 'handshake', '', undefined],
        title,
      )
      t.equal(await refusals(balancer, 'tcp'), refused + 1, title)
      t.equal(echo.connections.length, connections, title)
    }
  })

  t.test(`wires on ${kind}: a header that an unlisted source sends is not one`, async (t) => {
    for (const header of [V1, V2]) {
      const client = await connectFrom(UNLISTED, balancer.port('tcp'))
      const port = client.socket.localPort
      client.send(header)
      t.ok((await client.readBytes(header.length)).equals(header), 'it is content')
      client.destroy()
      t.strictSame(clientOf(await flowOf(balancer, port)), [UNLISTED, port])
      const asking = await connectFrom(UNLISTED, balancer.port('http'))
      asking.send(Buffer.concat([header, Buffer.from(GET)]))
      t.equal((await asking.readResponse()).status, 400)
      asking.destroy()
    }
    const other = await connectFrom(LISTED, balancer.port('other'))
    const port = other.socket.localPort
    other.send(V1)
    await other.readBytes(V1.length)
    other.destroy()
    t.strictSame(clientOf(await flowOf(balancer, port)), [LISTED, port])
  })

  t.test(`wires on ${kind}: an unlisted source is served without a header`, async (t) => {
    const client = await connectFrom(UNLISTED, balancer.port('http'))
    client.send(GET)
    t.equal((await client.readResponse()).status, 200)
    t.strictSame(valuesOf(backend.requests.at(-1)?.fields ?? [], 'x-forwarded-for'), [UNLISTED])
    client.destroy()
  })

  t.test(`wires on ${kind}: a header that does not come in time ends the connection`, async (t) => {
    const client = await connectFrom(LISTED, balancer.port('hasty'))
    const silent = await connectFrom(LISTED, balancer.port('hasty'))
    client.send('PROXY TCP4 192.')
    await Promise.all([client.untilClosed(), silent.untilClosed()])
    const lines = await linesOf(balancer, 'hasty', 2)
    t.strictSame(lines.map((line) => fields(line, 'reason', 'bytesIn')).sort(), [
      ['proxy-protocol', 0],
      ['proxy-protocol', 15],
    ])
    t.equal(await refusals(balancer, 'hasty'), 2)
  })

  t.test(
    `wires on ${kind}: a connection that ends within the header is refused, one that says nothing is passed over`,
    async (t) => {
      const refused = await refusals(balancer, 'tcp')
      const silent = await connectFrom(LISTED, balancer.port('tcp'))
      const silentPort = silent.socket.localPort
      silent.end()
      await silent.untilClosed()
      const resetting = await connectFrom(LISTED, balancer.port('tcp'))
      resetting.reset()
      const client = await connectFrom(LISTED, balancer.port('tcp'))
      const port = client.socket.localPort
      client.send('PROXY')
      client.end()
      await client.untilClosed()
      t.equal((await flowOf(balancer, port))['reason'], 'proxy-protocol')
      t.equal(await refusals(balancer, 'tcp'), refused + 1)
      const lines = await balancer.accessLog()
      t.notOk(lines.some((line) => line['clientPort'] === silentPort))
    },
  )
}

const balancer = await start({})

t.test('a version that is not accepted is refused', async (t) => {
  for (const [name, header] of [
    ['v1', V2],
    ['v2', V1],
  ] as const) {
    const client = await connectFrom(LISTED, balancer.port(name))
    client.send(header)
    await client.untilClosed()
    t.equal(await refusals(balancer, name), 1)
  }
  for (const [name, header] of [
    ['v1', V1],
    ['v2', V2],
  ] as const) {
    const client = await connectFrom(LISTED, balancer.port(name))
    client.send(Buffer.concat([header, Buffer.from('x')]))
    t.equal((await client.readBytes(1)).toString(), 'x')
    client.destroy()
  }
})

t.test('the header comes before the TLS handshake, and names the client of what is in it', async (t) => {
  const headers = [V1, V2, v2(PROXY, TCP4, [INET, tlv(4, Buffer.alloc(4000))])]
  for (const header of headers)
    for (const pieces of [false, true]) {
      const socket = await connectTls(t, balancer.port('tls'), certificate.ca, header, pieces)
      t.ok(socket.authorized)
      socket.write('hello')
      const [bytes] = (await within(once(socket, 'data'), 'an echo')) as [Buffer]
      t.equal(bytes.toString(), 'hello')
      socket.destroy()
    }
  const lines = await linesOf(balancer, 'tls', 2 * headers.length)
  t.strictSame(lines.map(clientOf), Array(2 * headers.length).fill(['192.0.2.1', 1000]))
})

t.test('a megabyte in TLS behind a header arrives whole, and the backend is told the client', async (t) => {
  const socket = await connectTls(t, balancer.port('https'), certificate.ca, V2)
  const content = Buffer.alloc(1024 * 1024, 'evenkeel.')
  socket.write(`POST /secure HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${content.length}\r\n\r\n`)
  socket.write(content)
  const [bytes] = (await within(once(socket, 'data'), 'an answer')) as [Buffer]
  t.match(bytes.toString(), /^HTTP\/1\.1 200 /)
  const request = backend.last('/secure')
  t.ok(request.reader.bytes.equals(content))
  t.strictSame(valuesOf(request.fields, 'x-forwarded-for'), ['192.0.2.1'])
  t.strictSame(valuesOf(request.fields, 'x-forwarded-port'), ['443'])
  t.strictSame(valuesOf(request.fields, 'x-forwarded-proto'), ['https'])
})

t.test('TLS without a header is refused from a listed source, and a header from another is no handshake', async (t) => {
  await t.rejects(connectTls(t, balancer.port('tls'), certificate.ca, Buffer.alloc(0)))
  await eventually('its count', async () => (await refusals(balancer, 'tls')) === 1)
  const spoofing = await connectFrom(UNLISTED, balancer.port('tls'))
  spoofing.send(V1)
  await spoofing.untilClosed()
  t.equal(await refusals(balancer, 'tls'), 1, 'it is a handshake that failed')
})

t.test('a trusted proxy is the one that the header names, not the one that sent it', async (t) => {
  const fields = 'X-Forwarded-For: 203.0.113.9\r\n'
  const request = `GET / HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`
  for (const [name, forwarded] of [
    ['trusting', '192.0.2.1'],
    ['trustingClient', '203.0.113.9, 192.0.2.1'],
  ] as const) {
    const client = await connectFrom(LISTED, balancer.port(name))
    client.send(Buffer.concat([V1, Buffer.from(request)]))
    await client.readResponse()
    t.strictSame(valuesOf(backend.requests.at(-1)?.fields ?? [], 'x-forwarded-for').join(', '), forwarded)
    client.destroy()
  }
})

t.test('each kind of trouble with headers is told once', async (t) => {
  const told = (problem: string) => balancer.stderr().split(`refused for its PROXY header: ${problem}`).length - 1
  for (const bytes of [V2, V2, V2, Buffer.from('hello')]) {
    const client = await connectFrom(LISTED, balancer.port('v1'))
    client.send(bytes)
    await client.untilClosed()
  }
  await eventually('the last is told', () => told('there is no PROXY header') > 0)
  t.equal(told('version 2 is not accepted here'), 1)
})

t.test('a stop ends connections whose header has not come', async (t) => {
  const client = await connectFrom(LISTED, balancer.port('patient'))
  client.send('PROXY ')
  const next = await connectFrom(LISTED, balancer.port('patient'))
  next.send(Buffer.concat([V1, Buffer.from('x')]))
  await next.readBytes(1) // accepted after the other
  next.destroy()
  const begun = performance.now()
  t.match(await balancer.stop(), { code: 0 })
  t.ok(performance.now() - begun < 5000)
  await client.untilClosed()
})
