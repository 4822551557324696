/** Requests that come before the answer to the one before: few are kept, and no more is read than can be used. */
import t, { type Test } from 'tap'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { get } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { clientFrom } from './fixtures/support.ts'

const MIB = 1024 * 1024
const backend = await startBackend(t)
const base = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
const balancer = await startBalancer(t, {
  virtualServices: { few: { ...base, limits: { pipelined: '1KiB' } }, usual: base },
})
const connect = (t: Test, service: string) => clientFrom(t, '127.0.0.1', balancer.port(service))

let release: () => void = () => undefined
backend.on('/wait', (x) => {
  release = () => x.answer('waited')
})

t.test('more than are kept are not: the answer under way is the last, and says so', async (t) => {
  const client = await connect(t, 'few')
  const seen = backend.requests.length
  client.send(get('/wait') + get('/early').repeat(100))
  await backend.waitForRequests(seen + 1)
  release()
  const answer = await client.readResponse()
  t.equal(answer.body.toString(), 'waited')
  t.strictSame(valuesOf(answer.fields, 'connection'), ['close'])
  t.equal((await client.readUntilClose()).length, 0)
  t.strictSame(
    backend.requests.slice(seen).map(({ target }) => target),
    ['/wait'],
  )
})

t.test('as many as are kept are answered in turn', async (t) => {
  const client = await connect(t, 'few')
  const seen = backend.requests.length
  client.send(get('/wait') + get('/early').repeat(20))
  await backend.waitForRequests(seen + 1)
  release()
  t.equal((await client.readResponse()).body.toString(), 'waited')
  for (let i = 0; i < 20; i++) t.equal((await client.readResponse()).status, 200)
})

t.test('an answer of which the head is out when too much comes is whole, and then the connection closes', async (t) => {
  let finish: () => void = () => undefined
  backend.on('/half', (x) => {
    x.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf')
    finish = () => x.write('half')
  })
  const client = await connect(t, 'few')
  client.send(get('/half'))
  await eventually('the head', () => client.pending.includes('half'))
  client.send(get('/early').repeat(100))
  await new Promise((done) => setTimeout(done, 50))
  finish()
  t.equal((await client.readResponse()).body.toString(), 'halfhalf')
  t.equal((await client.readUntilClose()).length, 0)
})

t.test('what follows a request to upgrade is the tunnel’s, however much it is', async (t) => {
  let early = ''
  backend.on('/up', (x) => {
    x.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    x.takeOver((bytes) => {
      early += bytes.toString('latin1')
    })
  })
  const client = await connect(t, 'few')
  const fields =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  client.send(get('/up', fields) + 'e'.repeat(20_000))
  t.equal((await client.readResponse()).status, 101)
  await eventually('all of it', () => early.length === 20_000)
})

t.test('a client that asks and asks and never reads is not read on: nothing piles up', async (t) => {
  backend.on('/large', (x) => x.answer('b'.repeat(4000))) // small: the last write of an answer is the one that waits
  const client = await connect(t, 'usual')
  client.socket.pause()
  const block = get('/large', `X-Fill: ${'f'.repeat(900)}\r\n`).repeat(1000)
  let sent = 0
  for (; sent < 64 * MIB; sent += block.length) if (!client.socket.write(block)) break
  const left = (): number => client.socket.bytesWritten - client.socket.writableLength
  let last = -1
  let since = performance.now()
  await eventually(
    'the flow stops',
    () => {
      for (; sent < 64 * MIB && client.socket.writableLength < MIB; sent += block.length) client.socket.write(block)
      if (left() !== last) since = performance.now()
      last = left()
      return performance.now() - since > 700
    },
    15_000,
  )
  t.ok(left() < 24 * MIB, `${left()} bytes were taken`)
  t.equal(client.ending, undefined)
  client.reset()
})
t.test('no thread died of it', async (t) => {
  t.notMatch(balancer.stderr(), /died/)
})
