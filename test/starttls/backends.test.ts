/** Behind `startTls`: backends that don't greet well, and those that are asked for TLS themselves. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { fields, flowOf } from '../e2e/fixtures/support.ts'
import { startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { Talk } from './fixtures/client.ts'
import { PROTOCOLS, type Protocol } from './fixtures/protocols.ts'

const authority = await makeAuthority('starttls tests', 2)
const { cert, key } = await makeLeaf(authority, ['mail.test', '127.0.0.1'], 2)
const files = { 'c.pem': cert, 'c.key': key, 'ca.pem': authority.cert }
const ca = authority.cert

const service = (protocol: Protocol, addresses: readonly string[], more: object = {}): object => ({
  protocol: 'tls',
  startTls: protocol.name,
  listen: ['127.0.0.1:0'],
  tls: { certificates: [{ cert: 'c.pem', key: 'c.key' }] },
  health: { type: 'none' },
  backends: addresses.map((address, i) => ({ name: `b${i}`, address })),
  ...more,
})

async function through(balancer: Balancer, protocol: Protocol, name = 'main'): Promise<Talk> {
  const talk = await Talk.with(balancer.port(name))
  await protocol.prepare(talk)
  await talk.ask(protocol.asks, protocol.granted)
  await talk.secure({ ca })
  return talk
}

const GREETING = PROTOCOLS.filter(({ greets }) => greets !== '')

t.test('a backend that declines, breaks off or says nonsense is left for another one', async (t) => {
  const virtualServices: Record<string, object> = {}
  for (const protocol of GREETING) {
    const good = await startTcpBackend(t, ({ socket }) => {
      socket.write(`${protocol.greets}early`)
      socket.pipe(socket)
    })
    const words = [protocol.declines, '', 'HTTP/1.1 400 Bad Request\r\n', 'x'.repeat(20_000)]
    for (const [i, says] of words.entries()) {
      const bad = await startTcpBackend(t, ({ socket }) => (says === '' ? socket.end() : socket.write(says)))
      virtualServices[`${protocol.name}-${i}`] = service(protocol, [bad.address, good.address])
    }
  }
  const balancer = await startBalancer(t, { virtualServices }, { files })
  for (const protocol of GREETING)
    await t.test(protocol.name, async (t) => {
      for (const name of Object.keys(virtualServices).filter((name) => name.startsWith(`${protocol.name}-`))) {
        const talk = await through(balancer, protocol, name)
        t.equal(await talk.ask('hello', /earlyhello/), 'earlyhello', 'what came behind the greeting is not lost')
        const port = talk.socket.localPort
        talk.socket.end()
        await talk.rest()
        t.match(await flowOf(balancer, port), { backend: 'b1', tries: 2, reason: '' })
        const retries = `evenkeel_retries_total{service="${name}",reason="backend-closed"} 1\n`
        t.ok((await balancer.metrics()).includes(retries))
      }
    })
})

t.test('a backend that never greets is given up on', async (t) => {
  const [smtp] = PROTOCOLS as [Protocol]
  const mute = await startTcpBackend(t, () => undefined)
  const balancer = await startBalancer(
    t,
    { virtualServices: { main: service(smtp, [mute.address], { timeouts: { firstByte: '300ms' }, retries: 0 }) } },
    { files },
  )
  const talk = await through(balancer, smtp)
  const port = talk.socket.localPort
  await talk.rest()
  t.strictSame(fields(await flowOf(balancer, port), 'endedBy', 'reason'), ['backend', 'backend-timeout'])
  const waiting = await through(balancer, smtp)
  await eventually('the connection', () => mute.connections.length === 2)
  waiting.socket.destroy()
  await eventually('its end at the backend', () => mute.connections[1]?.socket.readableEnded)
})

/** A mail or directory server that speaks TLS when it is asked to; `twist` is what else it does. */
async function startAsked(t: Test, { greets, grants }: Protocol, twist: 'inject' | 'none' = 'none') {
  const context = createSecureContext({ cert, key })
  const heard: string[] = []
  const resumed: boolean[] = []
  const server = createServer((socket: Socket) => {
    let turn = 0
    socket.on('error', () => undefined)
    if (greets !== '') socket.write(greets)
    const onData = (bytes: Buffer): void => {
      heard.push(bytes.toString('latin1'))
      const answer = grants[turn++] ?? ''
      const last = turn === grants.length
      const said = Buffer.from(last && twist === 'inject' ? `${answer}${greets}${answer}` : answer, 'latin1')
      if (!last) return void socket.write(said)
      socket.off('data', onData).pause()
      socket.write(said, () => {
        const secure = new TLSSocket(socket, { isServer: true, secureContext: context })
        secure.on('error', () => undefined)
        secure.on('secure', () => resumed.push(secure.isSessionReused()))
        secure.pipe(secure)
      })
    }
    socket.on('data', onData)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, heard, resumed }
}

const backendTls = { ca: 'ca.pem', startTls: true }

t.test('a backend is asked for TLS, verified, and gets nothing in the clear', async (t) => {
  const backends = new Map<Protocol, Awaited<ReturnType<typeof startAsked>>>()
  for (const protocol of PROTOCOLS) backends.set(protocol, await startAsked(t, protocol))
  const services = [...backends].map(([protocol, { address }]) => [
    protocol.name,
    service(protocol, [address], { backendTls }),
  ])
  const balancer = await startBalancer(t, { virtualServices: Object.fromEntries(services) }, { files })
  for (const [protocol, backend] of backends)
    await t.test(protocol.name, async (t) => {
      for (let i = 0; i < 2; i++) {
        const talk = await through(balancer, protocol, protocol.name)
        t.equal(await talk.ask('secret\r\n', /secret\r\n/), 'secret\r\n')
        talk.socket.destroy()
      }
      t.notMatch(backend.heard.join(''), /secret/)
      t.same(backend.resumed, [false, true], 'the second resumes the session of the first')
    })
})

for (const protocol of PROTOCOLS) {
  const { name, greets, lacks } = protocol

  t.test(`${name}: a backend without TLS, or with words before it that nobody asked for, is not used`, async (t) => {
    const injected = await startAsked(t, protocol, 'inject')
    let clear = ''
    const without = await startTcpBackend(t, ({ socket }) => {
      if (greets !== '') socket.write(greets)
      let turn = 0
      socket.on('data', (bytes: Buffer) => {
        clear += bytes.toString('latin1')
        socket.write(Buffer.from(lacks[turn++] ?? '', 'latin1'))
      })
    })
    const one = (address: string): object => service(protocol, [address], { backendTls, retries: 0 })
    const balancer = await startBalancer(
      t,
      {
        virtualServices: {
          injected: one(injected.address),
          without: one(without.address),
          distrusted: service(protocol, [injected.address], { backendTls: { startTls: true }, retries: 0 }),
        },
      },
      { files },
    )
    for (const service of ['injected', 'without', 'distrusted']) {
      const talk = await through(balancer, protocol, service)
      talk.say('secret\r\n')
      await talk.rest()
      t.match(
        await balancer.metrics(),
        new RegExp(`request_errors_total\\{service="${service}",reason="connect-failed"\\} 1\n`),
      )
    }
    t.notMatch(clear, /secret/)
    t.match(balancer.stderr(), /TLS handshake failed: data before the TLS handshake/)
  })
}
