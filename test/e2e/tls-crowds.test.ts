/** Crowds of TLS clients: handshakes take turns, and none is lost for that. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { duplexPair } from 'node:stream'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'

const CROWD = 60
const authority = await makeAuthority('crowds', 30)
const leaf = await makeLeaf(authority, ['localhost', '127.0.0.1'], 30)
const echo = await startTcpBackend(t)
const service = (more: object): object => ({
  protocol: 'tls',
  listen: ['127.0.0.1:0'],
  tls: { certificates: [{ cert: 'tls.pem', key: 'tls.key' }] },
  timeouts: { handshake: '60s' }, // so that none is late on a busy machine
  health: { type: 'none' },
  backends: [echo.address],
  ...more,
})
const balancer = await startBalancer(
  t,
  {
    appliance: { threads: 1 },
    virtualServices: {
      one: service({}),
      introduced: service({ proxyProtocol: { accept: 'any', from: ['127.0.0.1'] } }),
    },
  },
  { files: { 'tls.pem': leaf.cert, 'tls.key': leaf.key } },
)

/** Connections that have said nothing yet. */
async function crowd(name = 'one'): Promise<Socket[]> {
  const sockets = Array.from({ length: CROWD }, () => connect(balancer.port(name), '127.0.0.1'))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.on('error', () => undefined)
  await within(
    Promise.all(sockets.map((socket) => socket.readyState === 'open' || once(socket, 'connect'))),
    'connections',
  )
  return sockets
}

/** Asks over a handshake on `socket`; answers what comes back. */
async function ask(socket: Socket, text: string): Promise<string> {
  const secure: TLSSocket = tlsConnect({ socket, servername: 'localhost', ca: authority.cert })
  t.teardown(() => secure.destroy())
  secure.on('error', () => undefined)
  secure.write(text)
  const [bytes] = (await within(once(secure, 'data'), 'an echo')) as [Buffer]
  secure.destroy()
  return String(bytes)
}

t.test('clients that begin all at once get in, each with its own', async (t) => {
  for (let round = 0; round < 2; round++) {
    const sockets = await crowd()
    const answers = await Promise.all(sockets.map((socket, i) => ask(socket, `client ${i}`)))
    t.same(
      answers,
      sockets.map((_, i) => `client ${i}`),
    )
  }
})

t.test('of a crowd those that leave, are silent or speak something else keep nobody out', async (t) => {
  const [leaving, silent, strange] = await Promise.all([crowd(), crowd(), crowd()])
  for (const [i, socket] of leaving.entries()) i % 2 === 0 ? socket.end() : socket.resetAndDestroy()
  const over = Promise.all(strange.map((socket) => once(socket.resume(), 'close')))
  for (const socket of strange) socket.write('GET / HTTP/1.1\r\n\r\n')
  t.equal(await ask(connect(balancer.port('one'), '127.0.0.1'), 'hello'), 'hello')
  await within(over, 'the end of those that do not speak TLS')
  t.ok(silent.every((socket) => !socket.destroyed))
  t.same(
    await Promise.all(silent.map((socket, i) => ask(socket, `client ${i}`))),
    silent.map((_, i) => `client ${i}`),
    'the silent ones speak in the end',
  )
  const failures = await eventually('the failures', async () => {
    const text = await balancer.metrics()
    const count = (reason: string): number =>
      Number(new RegExp(`handshake_failures_total\\{service="one",reason="${reason}"\\} (\\d+)`).exec(text)?.[1] ?? 0)
    return count('closed') + count('protocol') >= 2 * CROWD && { closed: count('closed'), protocol: count('protocol') }
  })
  t.equal(failures.closed + failures.protocol, 2 * CROWD, 'each is counted once')
  t.ok(failures.protocol >= CROWD, 'what is not TLS by its reason')
})

t.test('a hello in the packet of its PROXY header is answered, in a crowd too', async (t) => {
  const sockets = await crowd('introduced')
  const answers = await Promise.all(
    sockets.map((socket, i) => {
      socket.cork()
      socket.write(`PROXY TCP4 192.0.2.1 192.0.2.2 ${1000 + i} 443\r\n`)
      setImmediate(() => socket.uncork())
      return ask(socket, `client ${i}`)
    }),
  )
  t.same(
    answers,
    sockets.map((_, i) => `client ${i}`),
  )
})

t.test('a hello in pieces is answered, however many come beside it', async (t) => {
  const others = await crowd()
  const socket = connect(balancer.port('one'), '127.0.0.1')
  await within(once(socket, 'connect'), 'a connection')
  socket.setNoDelay(true)
  const [near, far] = duplexPair()
  far.on('data', (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; at += 50) socket.write(bytes.subarray(at, at + 50))
  })
  socket.on('data', (bytes: Buffer) => far.write(bytes))
  const secure = tlsConnect({ socket: near, servername: 'localhost', ca: authority.cert })
  t.teardown(() => secure.destroy())
  secure.write('in pieces')
  const [bytes] = (await within(once(secure, 'data'), 'an echo')) as [Buffer]
  t.equal(String(bytes), 'in pieces')
  secure.destroy()
  socket.destroy()
  for (const other of others) other.destroy()
})
