/** WebSockets end to end, with the client and the server that people use. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'

const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 64 * 1024 * 1024 })
await once(server, 'listening')
t.teardown(() => {
  for (const socket of server.clients) socket.terminate()
  server.close()
})
const headers: Record<string, string | string[] | undefined>[] = []
server.on('connection', (socket, request) => {
  headers.push(request.headers)
  socket.on('error', () => undefined)
  socket.on('message', (data, binary) => socket.send(data, { binary }))
})
const balancer = await startBalancer(t, {
  virtualServices: {
    web: {
      protocol: 'http',
      listen: ['127.0.0.1:0'],
      health: { type: 'none' },
      backends: [`127.0.0.1:${(server.address() as AddressInfo).port}`],
    },
  },
})

async function open(): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${balancer.port('web')}/chat`, { perMessageDeflate: false })
  await once(socket, 'open')
  return socket
}

async function echoed(socket: WebSocket, data: string | Buffer): Promise<{ data: Buffer; binary: boolean }> {
  const answer = once(socket, 'message')
  socket.send(data)
  const [got, binary] = (await answer) as [Buffer, boolean]
  return { data: got, binary }
}

t.test('text, binary and large messages come back as they went', async (t) => {
  const socket = await open()
  t.equal((await echoed(socket, 'hello')).data.toString(), 'hello')
  const large = Buffer.alloc(5 * 1024 * 1024, 'websocket ')
  const { data, binary } = await echoed(socket, large)
  t.ok(binary)
  t.ok(data.equals(large))
  socket.terminate()
})

t.test('pings are answered by the backend, not by the balancer', async (t) => {
  const socket = await open()
  const pong = once(socket, 'pong')
  socket.ping('payload')
  t.equal(String((await pong)[0]), 'payload')
  socket.terminate()
})

t.test('a close goes through with its code and reason, in both directions', async (t) => {
  const socket = await open()
  const peer = [...server.clients].at(-1)
  const closed = once(socket, 'close')
  peer?.close(4001, 'server says')
  const [code, reason] = (await closed) as [number, Buffer]
  t.strictSame([code, reason.toString()], [4001, 'server says'])

  const other = await open()
  const otherPeer = [...server.clients].at(-1)
  if (otherPeer === undefined) throw new Error('no peer')
  const gone = once(otherPeer, 'close')
  other.close(4002, 'client says')
  const [otherCode, otherReason] = (await gone) as [number, Buffer]
  t.strictSame([otherCode, otherReason.toString()], [4002, 'client says'])
})

t.test('a client that vanishes takes its backend connection along', async (t) => {
  const socket = await open()
  const before = server.clients.size
  socket.terminate()
  await eventually('one connection less', () => server.clients.size < before)
  t.pass()
})

t.test('many at once do not mix', async (t) => {
  const sockets = await Promise.all(Array.from({ length: 50 }, () => open()))
  const answers = await Promise.all(sockets.map((socket, i) => echoed(socket, `message ${i}`)))
  t.strictSame(
    answers.map(({ data }) => data.toString()),
    sockets.map((_, i) => `message ${i}`),
  )
  for (const socket of sockets) socket.terminate()
})

t.test('the backend is told who the client is on an upgrade too', async (t) => {
  t.ok(headers.every((head) => head['x-forwarded-for'] === '127.0.0.1' && head['via'] === '1.1 evenkeel'))
})
