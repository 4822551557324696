/** The relay over real wires: nothing is lost, ends and breaks are passed on as what they are. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { DeadlineWheel } from '../../lib/core/index.ts'
import { Relay, type RelayEnd } from '../../lib/datapaths/tcp/relay.ts'
import { eventually } from '../support/eventually.ts'
import { KINDS, type Kind, MIB, type Pair, pattern, readAll, settle, sha } from './fixtures/wires.ts'

/** A relay between two wires, with the client's and the backend's socket at the far ends. */
async function relayOf(t: Test, front: Kind, back: Kind, idleMs = 60_000) {
  const client = await front.make(t)
  const backend = await back.make(t)
  let time = 1
  const wheel = new DeadlineWheel(() => time)
  t.teardown(() => wheel.close())
  const ends: RelayEnd[] = []
  const relay = new Relay(client.wire, backend.wire, wheel, idleMs, (end) => ends.push(end))
  const pass = (ms: number): void => {
    time += ms
    wheel.turn()
  }
  return { client, backend, relay, ends, pass }
}

/** Reads slowly: rests between two chunks, so that the other side runs into back-pressure. */
async function readSlowly(socket: Socket): Promise<{ size: number; digest: string }> {
  const hash = createHash('sha256')
  let size = 0
  let chunks = 0
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    size += chunk.length
    if (++chunks % 16 !== 0) return
    socket.pause()
    setImmediate(() => socket.resume())
  })
  const ended = once(socket, 'end')
  socket.resume()
  await ended
  return { size, digest: hash.digest('hex') }
}

const accepted = KINDS['an accepted handle'] as Kind
const dialled = KINDS['a dialled handle'] as Kind
const socket = KINDS['a socket'] as Kind
const tls = KINDS['a TLS socket'] as Kind
const tlsHandle = KINDS['a TLS handle'] as Kind
const JOINED: Readonly<Record<string, readonly [front: Kind, back: Kind, bulk: number]>> = {
  'handle to handle': [accepted, dialled, 64 * MIB],
  'socket to socket': [socket, socket, 16 * MIB],
  'TLS to handle': [tls, dialled, 16 * MIB],
  'TLS handle to handle': [tlsHandle, dialled, 16 * MIB],
  'TLS handle to TLS handle': [tlsHandle, tlsHandle, 16 * MIB],
  'handle to socket': [accepted, socket, 16 * MIB],
}

const closed = (pair: Pair): Promise<boolean> =>
  eventually('the end of a connection', () => pair.peer.readableEnded || pair.peer.closed)

for (const [name, [front, back, bulk]] of Object.entries(JOINED))
  t.test(name, (t) => {
    t.test(
      `${bulk / MIB} MiB each way at once arrive whole at readers that rest, and the ends are passed on`,
      async (t) => {
        const { client, backend, relay, ends } = await relayOf(t, front, back)
        relay.start()
        const up = pattern(bulk, 1)
        const down = pattern(bulk, 2)
        client.peer.end(up)
        backend.peer.end(down)
        const [atBackend, atClient] = await Promise.all([readSlowly(backend.peer), readSlowly(client.peer)])
        t.same(atBackend, { size: bulk, digest: sha(up) })
        t.same(atClient, { size: bulk, digest: sha(down) })
        await eventually('the end of the relay', () => ends.length > 0)
        t.same(ends, [{ by: '', reason: '' }])
        t.equal(relay.received, bulk)
        t.equal(relay.sent, bulk)
      },
    )

    t.test('one side may end long before the other', async (t) => {
      const { client, backend, relay, ends } = await relayOf(t, front, back)
      relay.start()
      client.peer.end('question')
      t.equal((await readAll(backend.peer)).bytes.toString(), 'question')
      await settle(t)
      t.same(ends, [])
      backend.peer.write('answer ')
      backend.peer.end('follows')
      const { bytes, ending } = await readAll(client.peer)
      t.equal(bytes.toString(), 'answer follows')
      t.equal(ending, 'end')
      await eventually('the end of the relay', () => ends.length > 0)
      t.same(ends, [{ by: '', reason: '' }])
    })

    t.test('a side that ends without a byte before the relay starts is not forgotten', async (t) => {
      const { client, backend, relay } = await relayOf(t, front, back)
      client.peer.end()
      await settle(t)
      relay.start()
      t.same(await readAll(backend.peer), { bytes: Buffer.alloc(0), ending: 'end' })
      backend.peer.end('hello')
      t.equal((await readAll(client.peer)).bytes.toString(), 'hello')
    })

    t.test('bytes that were read before go first', async (t) => {
      const { client, backend, relay } = await relayOf(t, front, back)
      relay.inject(Buffer.from('early up '), Buffer.from('early down '))
      relay.start()
      client.peer.end('late up')
      backend.peer.end('late down')
      const [up, down] = await Promise.all([readAll(backend.peer), readAll(client.peer)])
      t.equal(up.bytes.toString(), 'early up late up')
      t.equal(down.bytes.toString(), 'early down late down')
    })

    for (const breaker of ['client', 'backend'] as const)
      t.test(`a reset by the ${breaker} is one for the other side, and the relay ends once`, async (t) => {
        const { client, backend, relay, ends } = await relayOf(t, front, back)
        relay.start()
        const [broken, other] = breaker === 'client' ? [client, backend] : [backend, client]
        broken.peer.write('x')
        await once(other.peer.resume(), 'data')
        const read = readAll(other.peer)
        broken.rawPeer.resetAndDestroy()
        t.equal((await read).ending, 'ECONNRESET')
        t.same(ends, [{ by: breaker, reason: `${breaker}-closed` }])
        relay.cut()
        t.equal(ends.length, 1)
      })

    t.test('a cut while much is pending is a reset for both: a cut answer never looks whole', async (t) => {
      for (const half of [false, true]) {
        const { client, backend, relay, ends } = await relayOf(t, front, back)
        relay.start()
        if (half) backend.peer.end(pattern(32 * MIB))
        else backend.peer.write(pattern(32 * MIB))
        await settle(t)
        relay.cut()
        const { bytes, ending } = await readAll(client.peer)
        t.equal(ending, 'ECONNRESET')
        t.ok(bytes.length < 32 * MIB)
        t.same(ends, [{ by: 'us', reason: 'cut' }])
        await closed(backend)
      }
    })

    t.test('it ends when nothing has moved for the idle time, and not before', async (t) => {
      const { client, backend, relay, ends, pass } = await relayOf(t, front, back, 1000)
      relay.start()
      backend.peer.resume()
      for (let i = 0; i < 5; i++) {
        pass(900)
        client.peer.write('x')
        await eventually('the byte', () => relay.received === i + 1)
      }
      t.same(ends, [])
      pass(900)
      t.same(ends, [])
      pass(400)
      t.same(ends, [{ by: 'us', reason: 'client-timeout' }])
      client.peer.resume()
      await Promise.all([closed(client), closed(backend)])
    })
    t.end()
  })
