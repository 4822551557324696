/** WebSockets through http and https services: a standard client, the echo of the demo backends. */
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import { WebSocket } from 'ws'
import { createHttpBackend } from '../../lib/demo/http-backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { fields, flowOf, type Line, MIB, makeCertificate } from './fixtures/support.ts'

const demo = createHttpBackend('demo')
const atBackend = new Set<Socket>()
demo.server.on('connection', (socket) => {
  atBackend.add(socket)
  socket.on('close', () => atBackend.delete(socket))
})
demo.server.listen(0, '127.0.0.1')
await once(demo.server, 'listening')
t.teardown(() => {
  demo.server.close()
  demo.cut()
})
const certificate = await makeCertificate()
const service = (protocol: string, more: object = {}): object => ({
  protocol,
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backends: [`127.0.0.1:${(demo.server.address() as AddressInfo).port}`],
  ...more,
})
const tls = { tls: certificate.tls }
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      http: service('http'),
      https: service('https', tls),
      'http-idle': service('http', { timeouts: { tunnel: '400ms' } }),
      'https-idle': service('https', { ...tls, timeouts: { tunnel: '400ms' } }),
    },
  },
  { files: certificate.files },
)

const ports = new WeakMap<WebSocket, number | undefined>()

async function open(name: string): Promise<WebSocket> {
  const scheme = name.startsWith('https') ? 'wss' : 'ws'
  const socket = new WebSocket(`${scheme}://localhost:${balancer.port(name)}/echo`, {
    perMessageDeflate: false,
    ca: certificate.ca,
    lookup: (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
  })
  t.teardown(() => socket.terminate())
  socket.on('upgrade', (response) => ports.set(socket, response.socket.localPort))
  await within(once(socket, 'open'), 'an open WebSocket')
  socket.on('error', () => undefined)
  return socket
}

async function echoed(socket: WebSocket, data: string | Buffer): Promise<[Buffer, boolean]> {
  const answer = once(socket, 'message') as Promise<[Buffer, boolean]>
  socket.send(data)
  return within(answer, 'an echo')
}

const closeOf = (socket: WebSocket): Promise<[number, Buffer]> =>
  within(once(socket, 'close') as Promise<[number, Buffer]>, 'a close')

const lineOf = (socket: WebSocket): Promise<Line> => flowOf(balancer, ports.get(socket))

for (const name of ['http', 'https']) {
  t.test(name, async (t) => {
    await t.test('text and binary come back as they went, up to 1 MiB', async (t) => {
      const socket = await open(name)
      const [text, binary] = await echoed(socket, 'grüße')
      t.strictSame([text.toString(), binary], ['grüße', false])
      const large = Buffer.alloc(MIB)
      for (let i = 0; i < MIB; i += 4) large.writeUInt32LE(i, i)
      const [bytes, isBinary] = await echoed(socket, large)
      t.ok(isBinary)
      t.ok(bytes.equals(large))
      const [empty] = await echoed(socket, '')
      t.equal(empty.length, 0)
      const closed = closeOf(socket)
      socket.close(1000, 'done')
      t.equal((await closed)[0], 1000)
      const line = await lineOf(socket)
      t.strictSame(fields(line, 'status', 'endedBy', 'reason', 'phase', 'target'), [101, '', '', 'done', '/echo'])
      t.ok(Number(line['bytesIn']) > MIB && Number(line['bytesOut']) > MIB)
    })

    await t.test('pings are answered with their payload', async (t) => {
      const socket = await open(name)
      const pong = once(socket, 'pong')
      socket.ping('are you there')
      t.equal(String((await within(pong, 'a pong'))[0]), 'are you there')
      socket.terminate()
    })

    await t.test('close codes come back', async (t) => {
      for (const code of [1000, 1001, 3000, 4999]) {
        const socket = await open(name)
        const closed = closeOf(socket)
        socket.close(code)
        t.equal((await closed)[0], code)
      }
    })

    await t.test('a close that the backend begins arrives with its code', async (t) => {
      const socket = await open(name)
      const closed = closeOf(socket)
      socket.send(Buffer.alloc(MIB + 1))
      t.equal((await closed)[0], 1009, 'a message above its limit')
      const wrong = await open(name)
      const refused = closeOf(wrong)
      wrong.send(Buffer.from([0xff, 0xfe]), { binary: false })
      t.equal((await refused)[0], 1007, 'text that is not UTF-8')
    })

    await t.test('thousands of messages keep their order', async (t) => {
      const socket = await open(name)
      const count = 5000
      let next = 0
      let wrong = 0
      socket.on('message', (data: Buffer) => {
        if (!data.toString().startsWith(`${next} `)) wrong++
        next++
      })
      for (let i = 0; i < count; i++) socket.send(`${i} ${'x'.repeat(i % 500)}`)
      await eventually('all the echoes', () => next === count, 10_000)
      t.equal(wrong, 0)
      socket.terminate()
    })

    await t.test('many tunnels at once do not mix', async (t) => {
      const sockets = await Promise.all(Array.from({ length: 40 }, () => open(name)))
      const answers = await Promise.all(sockets.map((socket, i) => echoed(socket, `tunnel ${i}`)))
      t.strictSame(
        answers.map(([data]) => data.toString()),
        sockets.map((_, i) => `tunnel ${i}`),
      )
      for (const socket of sockets) socket.terminate()
    })

    await t.test('a client that vanishes takes its backend connection along', async (t) => {
      await eventually('the tunnels of before are gone', () => atBackend.size === 0)
      const socket = await open(name)
      await echoed(socket, 'hello')
      t.equal(atBackend.size, 1)
      socket.terminate()
      await eventually('the end at the backend', () => atBackend.size === 0)
      t.equal((await lineOf(socket))['status'], 101)
    })

    await t.test('a backend that vanishes takes its client along', async (t) => {
      const socket = await open(name)
      await echoed(socket, 'hello')
      const closed = closeOf(socket)
      for (const each of atBackend) each.resetAndDestroy()
      t.equal((await closed)[0], 1006)
      t.strictSame(fields(await lineOf(socket), 'endedBy', 'reason'), ['backend', 'backend-closed'])
    })

    await t.test('a tunnel without a byte is ended at its time, and one that moves is not', async (t) => {
      const quiet = await open(`${name}-idle`)
      const busy = await open(`${name}-idle`)
      const begun = performance.now()
      const closed = closeOf(quiet)
      let over = false
      void closed.then(() => {
        over = true
      })
      let echoes = 0
      while (!over) {
        await echoed(busy, 'hello')
        echoes++
        await pause()
      }
      t.equal((await closed)[0], 1006)
      t.ok(performance.now() - begun >= 400)
      t.ok(echoes > 0)
      t.equal((await echoed(busy, 'still there'))[0].toString(), 'still there')
      busy.terminate()
      t.strictSame(fields(await lineOf(quiet), 'status', 'endedBy', 'reason'), [101, 'us', 'client-timeout'])
    })
  })
}
