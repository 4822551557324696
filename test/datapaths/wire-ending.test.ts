/** What every wire promises of its end: half-close, reset, destroy, and what is told of a peer that breaks. */
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Wire } from '../../lib/datapaths/wire.ts'
import { eventually } from '../support/eventually.ts'
import { KINDS, type Kind, MIB, pattern, Recorder, readAll, settle, sha, TLS_MAKES, tls } from './fixtures/wires.ts'

/** The other end of this socket is gone: it saw an end or an error. */
const closed = (socket: Socket): Promise<boolean> =>
  eventually('the end of the connection', () => socket.readableEnded || socket.closed)

/** What may be asked of a wire that is gone. */
const AFTER: Readonly<Record<string, (wire: Wire) => unknown>> = {
  writeText: (wire) => wire.writeText('late'),
  write: (wire) => wire.write(Buffer.from('late'), 0, 4),
  'a large write': (wire) => wire.write(Buffer.alloc(MIB), 0, MIB),
  writeOwned: (wire) => wire.writeOwned(Buffer.from('late'), 0, 4),
  end: (wire) => wire.end(),
  pause: (wire) => wire.pause(),
  resume: (wire) => wire.resume(),
  bulk: (wire) => wire.bulk(true, true),
  'what it knows': (wire) => [
    wire.remoteAddress,
    wire.remotePort,
    wire.localAddress,
    wire.localPort,
    wire.serverName,
    wire.protocol,
    wire.clientFields,
    wire.covers('localhost'),
    wire.pending,
    wire.queued,
    wire.owned,
  ],
  reset: (wire) => wire.reset(),
  destroy: (wire) => wire.destroy(),
}

function ending(t: Test, kind: Kind): void {
  t.test('after its own end it still reads, until the peer ends', async (t) => {
    const { wire, peer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    wire.writeText('bye')
    wire.end()
    const { bytes, ending } = await readAll(peer)
    t.equal(bytes.toString(), 'bye')
    t.equal(ending, 'end')
    peer.write('still ')
    peer.end('here')
    await recorder.until('end')
    t.equal(recorder.bytes.toString(), 'still here')
    t.equal(recorder.count('end'), 1)
  })

  t.test("after the peer's end it still writes", async (t) => {
    const { wire, peer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    peer.end('question')
    await recorder.until('end')
    t.equal(recorder.bytes.toString(), 'question')
    const read = readAll(peer)
    const answer = pattern(3 * MIB)
    wire.write(answer, 0, answer.length)
    wire.end()
    const { bytes, ending } = await read
    t.equal(ending, 'end')
    t.equal(sha(bytes), sha(answer))
  })

  t.test('when both sides have ended nothing broke: no close is told', async (t) => {
    const { wire, peer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    peer.end('question')
    await recorder.until('end')
    wire.end()
    t.equal((await readAll(peer)).ending, 'end')
    await settle(t)
    t.same(recorder.events, ['end'])
    wire.destroy()
  })

  t.test('an end comes behind everything that is pending', async (t) => {
    const { wire, peer } = await kind.make(t)
    wire.sink = new Recorder()
    const bytes = pattern(24 * MIB)
    wire.writeOwned(bytes, 0, bytes.length)
    t.equal(wire.pending, true)
    wire.end()
    await settle(t)
    const read = await readAll(peer)
    t.equal(read.ending, 'end')
    t.equal(sha(read.bytes), sha(bytes))
  })

  t.test('a reset is one for the peer', async (t) => {
    const { wire, peer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    const read = readAll(peer)
    wire.reset()
    t.equal((await read).ending, 'ECONNRESET')
    t.same(recorder.events, [])
  })

  for (const first of ['nothing', 'an end'] as const)
    t.test(
      `a reset behind ${first} while much is pending is one for the peer: the cut never looks whole`,
      async (t) => {
        const { wire, peer } = await kind.make(t)
        const recorder = new Recorder()
        wire.sink = recorder
        wire.resume()
        const bytes = pattern(32 * MIB)
        wire.writeOwned(bytes, 0, bytes.length)
        if (first === 'an end') wire.end()
        await settle(t)
        t.equal(wire.pending, true)
        wire.reset()
        const read = await readAll(peer)
        t.equal(read.ending, 'ECONNRESET')
        t.ok(read.bytes.length < bytes.length)
        t.same(recorder.events, [])
      },
    )

  t.test('a reset right behind an end closes both ways', async (t) => {
    const { wire, peer } = await kind.make(t)
    wire.sink = new Recorder()
    wire.resume()
    wire.writeText('whole')
    wire.end()
    wire.reset()
    peer.resume()
    await eventually('the connection to take no more bytes', () => {
      if (peer.writable) peer.write('into nowhere')
      return peer.closed
    })
    t.pass('closed')
  })

  for (const how of ['destroy', 'reset'] as const) {
    t.test(`${how} is silent, whatever comes later`, async (t) => {
      const { wire, peer } = await kind.make(t)
      const recorder = new Recorder()
      wire.sink = recorder
      wire.resume()
      const bytes = pattern(8 * MIB)
      wire.writeOwned(bytes, 0, bytes.length)
      peer.write('unread')
      wire[how]()
      peer.resume()
      peer.write('late')
      peer.end()
      await closed(peer)
      await settle(t)
      t.same(recorder.events, [])
      t.equal(recorder.size, 0)
    })

    t.test(`${how} inside of a read ends the reading`, async (t) => {
      const { wire, peer } = await kind.make(t)
      const recorder = new Recorder(() => {
        wire.bulk(true, true)
        wire[how]()
      })
      wire.sink = recorder
      wire.resume()
      peer.write(pattern(4 * MIB))
      await eventually('the read', () => recorder.chunks.length > 0)
      peer.resume()
      await closed(peer)
      t.equal(recorder.chunks.length, 1)
      t.same(recorder.events, [])
    })

    for (const [name, act] of Object.entries(AFTER))
      t.test(`${name} after ${how} does nothing`, async (t) => {
        const { wire, peer } = await kind.make(t)
        const recorder = new Recorder()
        wire.sink = recorder
        wire.resume()
        wire[how]()
        wire.sink = recorder
        t.doesNotThrow(() => act(wire))
        t.doesNotThrow(() => act(wire))
        peer.resume()
        await closed(peer)
        await settle(t)
        t.doesNotThrow(() => act(wire)) // nothing is left of it below either
        t.same(recorder.events, [])
      })
  }
}

function breaking(t: Test, kind: Kind): void {
  t.test("the peer's reset is told once, and nothing after it", async (t) => {
    const { wire, rawPeer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    rawPeer.resetAndDestroy()
    await recorder.until('close ECONNRESET')
    for (const act of Object.values(AFTER)) act(wire)
    await settle(t)
    t.same(recorder.events, ['close ECONNRESET'])
  })

  t.test("the peer's reset while much is pending is told once, and never as a drain", async (t) => {
    const { wire, rawPeer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    const bytes = pattern(24 * MIB)
    wire.writeOwned(bytes, 0, bytes.length)
    await settle(t)
    t.equal(wire.pending, true)
    rawPeer.resetAndDestroy()
    await eventually('the close', () => recorder.events.some((event) => event.startsWith('close')))
    await settle(t)
    t.equal(recorder.events.length, 1, `${recorder.events}`)
    t.match(recorder.events[0], /^close (ECONNRESET|EPIPE)$/)
  })

  t.test('a write to a peer that is gone is told later, once, and never inside of the write', async (t) => {
    const { wire, rawPeer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    rawPeer.resetAndDestroy() // the wire does not read: only a write can find out
    await settle(t)
    const before = [...recorder.events] // TLS reads on below, and may know already
    for (let i = 0; i < 3; i++) wire.writeText('late')
    wire.write(Buffer.alloc(MIB), 0, MIB)
    t.same(recorder.events, before, 'not while the caller is in the middle of its own work')
    await eventually('the close', () => recorder.events.some((event) => event.startsWith('close')))
    wire.writeText('later')
    await settle(t)
    t.equal(recorder.count('drain'), 0)
    t.equal(recorder.events.length, 1, `${recorder.events}`)
    t.match(recorder.events[0], /^close (ECONNRESET|EPIPE)$/)
  })

  t.test('wires do not disturb each other when one of them breaks', async (t) => {
    const [broken, sound] = await Promise.all([kind.make(t), kind.make(t)])
    broken.wire.sink = new Recorder()
    sound.wire.sink = new Recorder()
    broken.rawPeer.resetAndDestroy()
    await settle(t)
    const read = readAll(sound.peer)
    for (let i = 0; i < 5; i++) {
      broken.wire.writeText('lost')
      sound.wire.writeText(`kept ${i},`)
    }
    sound.wire.end()
    t.equal((await read).bytes.toString(), 'kept 0,kept 1,kept 2,kept 3,kept 4,')
  })
}

for (const [name, make] of Object.entries(TLS_MAKES))
  for (const how of ['reset', 'destroy', 'end'] as const)
    t.test(`${name} that is given a ${how} in its handshake's last callback ends, and the process lives`, async (t) => {
      const { peer } = await tls(t, make, (wire) => wire[how]())
      peer.resume()
      await closed(peer)
      t.pass('ended')
    })

for (const [name, kind] of Object.entries(KINDS))
  t.test(name, (t) => {
    ending(t, kind)
    breaking(t, kind)
    t.end()
  })
