/** TLS services: terminated, relayed, and nothing that is not TLS gets through. */
import { once } from 'node:events'
import { connect as dial, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import {
  fields,
  flowOf,
  hashOfContent,
  MIB,
  makeCertificate,
  Receipt,
  sendContent,
  settled,
  watchMemory,
} from './fixtures/support.ts'

const certificate = await makeCertificate()
const echo = await startTcpBackend(t)
const bulkReceipts: Receipt[] = []
const BULK = 64 * MIB
const bulk = await startTcpBackend(t, ({ socket, received }) => {
  bulkReceipts.push(new Receipt(socket))
  socket.on('data', () => received.splice(0))
  void sendContent(socket, BULK).then(() => socket.end())
})
const asked = await startTcpBackend(t, ({ socket }) => socket.on('end', () => socket.write('the answer')))
const service = (address: string, more: object = {}): object => ({
  protocol: 'tls',
  listen: ['127.0.0.1:0'],
  tls: certificate.tls,
  health: { type: 'none' },
  backends: [address],
  ...more,
})
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      main: service(echo.address),
      bulk: service(bulk.address),
      asked: service(asked.address),
      modern: service(echo.address, { tls: { ...certificate.tls, minVersion: 'TLSv1.3' } }),
      hasty: service(echo.address, { timeouts: { handshake: '300ms' } }),
    },
  },
  { files: certificate.files },
)

const HALF_OPEN: object = { allowHalfOpen: true } // a socket option that the types of tls.connect leave out

async function open(name: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = tlsConnect({
    port: balancer.port(name),
    host: '127.0.0.1',
    servername: 'localhost',
    ca: certificate.ca,
    ...HALF_OPEN,
    ...options,
  })
  t.teardown(() => socket.destroy())
  await within(once(socket, 'secureConnect'), 'a handshake')
  socket.on('error', () => undefined) // that of a balancer which stops; a test that wants one asks for it
  return socket
}

async function echoed(socket: TLSSocket): Promise<string> {
  socket.write('hello')
  const [bytes] = (await within(once(socket, 'data'), 'an echo')) as [Buffer]
  return bytes.toString()
}

t.test('the client is served with the certificate, the backend gets plain bytes', async (t) => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await open('main', { minVersion: version, maxVersion: version })
    const port = socket.localPort
    t.ok(socket.authorized)
    t.equal(socket.getProtocol(), version)
    t.equal(await echoed(socket), 'hello')
    t.equal(echo.connections.at(-1)?.text, 'hello')
    socket.end()
    await within(once(socket, 'end'), 'the end')
    const line = await flowOf(balancer, port)
    t.strictSame(fields(line, 'protocol', 'bytesIn', 'bytesOut', 'endedBy', 'reason'), ['tls', 5, 5, '', ''])
  }
})

t.test('a client older than minVersion is refused', async (t) => {
  await t.rejects(open('modern', { maxVersion: 'TLSv1.2' }), { code: /^ERR_SSL_/ })
  t.equal(await echoed(await open('modern')), 'hello')
})

t.test('64 MiB each way at once arrive unchanged', async (t) => {
  const rise = watchMemory(t, balancer.pid)
  const socket = await open('bulk')
  const receipt = new Receipt(socket)
  const ended = once(socket, 'end')
  await within(sendContent(socket, BULK), 'the upload', 30_000)
  socket.end()
  await within(ended, 'the download', 30_000)
  await eventually('all at the backend', () => bulkReceipts[0]?.bytes === BULK)
  t.strictSame([receipt.digest, bulkReceipts[0]?.digest], [hashOfContent(BULK), hashOfContent(BULK)])
  t.ok(rise() < 128 * MIB, `memory rose by ${rise()}`)
})

t.test('a slow reader holds the backend up', async (t) => {
  const socket = await open('bulk')
  socket.pause()
  const sender = await eventually('the connection at the backend', () => bulk.connections[1]?.socket)
  const rise = watchMemory(t, balancer.pid)
  const sent = await settled('what the backend got rid of', () => sender.bytesWritten - sender.writableLength)
  t.ok(sent < BULK / 2, `${sent} bytes left the backend`)
  t.ok(rise() < 32 * MIB, `memory rose by ${rise()}`)
  const receipt = new Receipt(socket)
  socket.resume()
  socket.end()
  await within(once(socket, 'end'), 'the download', 30_000)
  t.equal(receipt.digest, hashOfContent(BULK))
})

/** A stream over `socket` that keeps what came, so that a test sees the records below TLS. */
function tapped(socket: Socket): { stream: Duplex; records: () => Buffer } {
  const seen: Buffer[] = []
  const stream = new Duplex({
    read() {},
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
    final: (done) => void socket.end(done),
  })
  socket.on('data', (bytes: Buffer) => {
    seen.push(bytes)
    stream.push(bytes)
  })
  socket.on('end', () => stream.push(null))
  socket.on('error', () => undefined)
  return { stream, records: () => Buffer.concat(seen) }
}

const ALERT = 21 // RFC 5246 §6.2.1
/** Types of the records in a stream of TLS 1.2, where they are not hidden. */
function recordTypes(bytes: Buffer): number[] {
  const types: number[] = []
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) types.push(bytes[at] ?? 0)
  return types
}

t.test('a normal end carries close_notify, so that the client can tell it from a cut', async (t) => {
  const raw = dial({ port: balancer.port('asked'), host: '127.0.0.1', allowHalfOpen: true })
  await once(raw, 'connect')
  const { stream, records } = tapped(raw)
  const socket = tlsConnect({ socket: stream, servername: 'localhost', ca: certificate.ca, maxVersion: 'TLSv1.2' })
  await within(once(socket, 'secureConnect'), 'a handshake')
  const answer: Buffer[] = []
  socket.on('data', (bytes: Buffer) => answer.push(bytes))
  const ended = once(raw, 'end')
  socket.end('question')
  await eventually('the answer', () => answer.length > 0)
  asked.connections[0]?.socket.end() // by itself, with nothing pending that would hold the relay's end up
  await within(ended, 'the end')
  t.equal(Buffer.concat(answer).toString(), 'the answer', 'a client that ends first still gets the answer')
  t.equal(recordTypes(records()).at(-1), ALERT)
})

t.test('a client that does not speak TLS is dropped, and the backend never hears of it', async (t) => {
  const before = echo.connections.length
  const garbage: readonly (string | Buffer)[] = [
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    Buffer.alloc(64 * 1024, 0xff),
    Buffer.from('160301ffff', 'hex'),
    Buffer.from([0x80, 0x2e, 0x01, 0x00, 0x02]),
  ]
  for (const bytes of garbage) {
    const client = await connect(balancer.port('main'))
    client.send(bytes)
    if (bytes.length === 5) client.end() // what came may be the start of a handshake, but no more will
    await client.untilClosed()
    t.ok(client.pending.length < 64, 'no more than an alert comes back')
    client.destroy()
  }
  t.equal(echo.connections.length, before)
  t.equal(await echoed(await open('main')), 'hello', 'the next client is served')
})

t.test('a client that connects and says nothing is dropped after the handshake timeout', async (t) => {
  const begun = performance.now()
  const mute = await connect(balancer.port('hasty'))
  const slow = await connect(balancer.port('hasty'))
  slow.send(Buffer.from('1603010200', 'hex')) // the start of a ClientHello
  await Promise.all([mute.untilClosed(), slow.untilClosed()])
  const elapsed = performance.now() - begun
  t.ok(elapsed >= 300 && elapsed < 3000, `${elapsed} ms`)
  mute.destroy()
  slow.destroy()
  t.equal(await echoed(await open('hasty')), 'hello')
})

t.test('a reset of the backend is no proper end for the client', async (t) => {
  const socket = await open('main')
  t.equal(await echoed(socket), 'hello')
  const failed = once(socket, 'error')
  echo.connections.at(-1)?.socket.resetAndDestroy()
  const [error] = (await within(failed, 'an error')) as [NodeJS.ErrnoException]
  t.equal(error.code, 'ECONNRESET')
})

t.test('sessions resume', async (t) => {
  const socket = await open('main', { maxVersion: 'TLSv1.2' })
  const session = socket.getSession()
  t.equal(await echoed(socket), 'hello')
  socket.destroy()
  const again = await open('main', { maxVersion: 'TLSv1.2', ...(session === undefined ? {} : { session }) })
  t.ok(again.isSessionReused())
  again.destroy()
})
