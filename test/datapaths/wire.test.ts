/** What every wire promises: on raw handles and on sockets, plain and TLS. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Wire } from '../../lib/datapaths/wire.ts'
import { eventually } from '../support/eventually.ts'
import { KINDS, type MakePair, pattern, Recorder, readAll, settle, tls } from './fixtures/wires.ts'

const MIB = 1024 * 1024
const BULK = 64 * MIB
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

type Write = (wire: Wire, bytes: Buffer) => boolean
const WRITES: Readonly<Record<string, Write>> = {
  writeText: (wire, bytes) => wire.writeText(bytes.toString('latin1')),
  write: (wire, bytes) => wire.write(bytes, 0, bytes.length),
  writeOwned: (wire, bytes) => wire.writeOwned(bytes, 0, bytes.length),
}

/** Writes in pieces until the wire answers false; answers how many bytes it took. */
function fill(wire: Wire, write: Write, bytes: Buffer): number {
  for (let at = 0; at < bytes.length; at += 64 * 1024)
    if (!write(wire, bytes.subarray(at, at + 64 * 1024))) return Math.min(at + 64 * 1024, bytes.length)
  throw new Error('the wire takes everything though nobody reads')
}

/** Hashes what a socket reads, without keeping it. */
function hashing(socket: Socket): { size: number; digest(): string } {
  const hash = createHash('sha256')
  const state = { size: 0, digest: () => hash.digest('hex') }
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    state.size += chunk.length
  })
  return state
}

/** The other end of this socket is gone: it saw an end or an error. */
const closed = (socket: Socket): Promise<boolean> =>
  eventually('the end of the connection', () => socket.readableEnded || socket.closed)

/** A sink that asks for a reset, an error or an end at once would be called again: none of these may throw. */
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
    wire.localPort,
    wire.pending,
    wire.queued,
    wire.owned,
  ],
  reset: (wire) => wire.reset(),
  destroy: (wire) => wire.destroy(),
}

function writing(t: Test, make: MakePair): void {
  t.test('bytes arrive in the order in which they were written, by whichever method', async (t) => {
    const { wire, peer } = await make(t)
    const read = readAll(peer)
    const sent: Buffer[] = []
    const sizes = [1, 10, 1000, 16 * 1024, 16 * 1024 + 1, 100_000, 3, 300_000, 2]
    for (const [i, size] of [...sizes, ...sizes, ...sizes].entries()) {
      const bytes = pattern(size, i + 1)
      Object.values(WRITES)[i % 3]?.(wire, bytes)
      sent.push(bytes)
    }
    wire.end()
    const { bytes, ending } = await read
    t.equal(ending, 'end')
    t.equal(sha(bytes), sha(Buffer.concat(sent)))
  })

  t.test('parts of a buffer are written, and nothing around them', async (t) => {
    const { wire, peer } = await make(t)
    const read = readAll(peer)
    const bytes = Buffer.from('0123456789')
    wire.write(bytes, 2, 5)
    wire.writeOwned(bytes, 7, 9)
    wire.write(bytes, 4, 4)
    wire.writeText('')
    wire.writeOwned(bytes, 0, 10)
    wire.end()
    t.equal((await read).bytes.toString(), '234780123456789')
  })

  t.test('text goes out as latin-1, each of its 256 bytes', async (t) => {
    const { wire, peer } = await make(t)
    const read = readAll(peer)
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    wire.writeText(all.toString('latin1'))
    wire.writeText(all.toString('latin1').repeat(200))
    wire.end()
    t.equal(sha((await read).bytes), sha(Buffer.concat(new Array<Buffer>(201).fill(all))))
  })

  t.test('what `write` was given may change at once, also while nobody reads', async (t) => {
    const { wire, peer } = await make(t)
    wire.sink = new Recorder()
    const sent: Buffer[] = []
    for (let i = 0; wire.queued < MIB || i < 12; i++) {
      const bytes = pattern([100, 16 * 1024, 16 * 1024 + 1, 500_000][i % 4] ?? 0, i + 1)
      sent.push(Buffer.from(bytes))
      wire.write(bytes, 0, bytes.length)
      bytes.fill(0)
    }
    wire.end()
    t.equal(sha((await readAll(peer)).bytes), sha(Buffer.concat(sent)))
  })

  t.test(
    'what `writeOwned` was given may change when it answers true, or else when the wire has drained',
    async (t) => {
      const { wire, peer } = await make(t)
      const recorder = new Recorder()
      wire.sink = recorder
      const read = readAll(peer)
      const sent: Buffer[] = []
      for (let i = 0; i < 40; i++) {
        const bytes = pattern([100, 50_000, 3 * MIB][i % 3] ?? 0, i + 1)
        sent.push(Buffer.from(bytes))
        const drains = recorder.count('drain')
        if (!wire.writeOwned(bytes, 0, bytes.length)) await recorder.until('drain', drains + 1)
        bytes.fill(0)
      }
      wire.end()
      t.equal(sha((await read).bytes), sha(Buffer.concat(sent)))
    },
  )

  t.test(
    'nothing is pending before the first write; while nobody reads something is, and its size is known',
    async (t) => {
      const { wire, peer } = await make(t)
      const recorder = new Recorder()
      wire.sink = recorder
      t.equal(wire.pending, false)
      t.equal(wire.queued, 0)
      const bytes = pattern(BULK)
      const sent = fill(wire, (w, part) => w.writeOwned(part, 0, part.length) && !w.pending, bytes)
      let more = sent
      while (wire.queued < MIB) more += fill(wire, WRITES['write'] as Write, bytes.subarray(more))
      t.equal(wire.pending, true)
      t.ok(wire.queued >= MIB && wire.queued <= more, `${wire.queued} of ${more}`)
      t.notOk(recorder.events.some((event) => event !== 'drain'))
      peer.resume()
      await eventually('the queue to empty', () => !wire.pending)
      t.equal(wire.queued, 0)
      await recorder.until('drain')
    },
  )

  for (const [name, write] of Object.entries(WRITES))
    t.test(`64 MiB by ${name} to a peer that does not read: it stops, goes on and loses nothing`, async (t) => {
      const { wire, peer } = await make(t)
      const bytes = pattern(BULK)
      let at = 0
      let stops = 0
      let most = 0
      const pump = (): void => {
        while (at < bytes.length) {
          const part = bytes.subarray(at, at + 256 * 1024)
          at += part.length
          const flowed = write(wire, part)
          most = Math.max(most, wire.queued)
          if (flowed) continue
          stops++
          return
        }
        wire.end()
      }
      const recorder = new Recorder()
      wire.sink = recorder
      recorder.onDrain = pump
      pump()
      await settle(t)
      t.ok(at < bytes.length, `stopped after ${at} bytes`)
      const before = at
      await settle(t)
      t.equal(at, before, 'and stays so while nobody reads')
      t.ok(most <= 2 * MIB, `at most ${most} bytes wait`)
      const seen = hashing(peer)
      const ended = once(peer, 'end')
      peer.resume()
      await ended
      t.equal(seen.size, bytes.length)
      t.equal(seen.digest(), sha(bytes))
      t.ok(stops > 3, `${stops} times stopped`)
    })
}

function reading(t: Test, make: MakePair): void {
  t.test('it reads nothing before it is told to', async (t) => {
    const { wire, peer } = await make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    peer.write('early')
    await settle(t)
    t.equal(recorder.size, 0)
    wire.resume()
    await recorder.untilSize(5)
    t.equal(recorder.bytes.toString(), 'early')
  })

  for (const bulk of [false, true])
    t.test(`64 MiB ${bulk ? 'in bulk, on and off,' : ''} with pauses arrive whole and in order`, async (t) => {
      const { wire, peer } = await make(t)
      const bytes = pattern(BULK)
      const hash = createHash('sha256')
      let size = 0
      let reads = 0
      const recorder = new Recorder()
      recorder.onBytes = (buf, length) => {
        hash.update(buf.subarray(0, length))
        size += length
        reads++
        if (bulk && reads % 7 === 0) wire.bulk(reads % 14 === 0, true)
        if (reads % 10 !== 0) return
        wire.pause()
        const there = size
        setImmediate(() => {
          t.equal(size, there, 'nothing while it is paused')
          wire.resume()
        })
      }
      wire.sink = recorder
      if (bulk) wire.bulk(true, true)
      wire.resume()
      peer.end(bytes)
      await eventually('all bytes', () => size === bytes.length, 20_000)
      t.equal(hash.digest('hex'), sha(bytes))
      await recorder.until('end')
    })

  t.test('owned bytes stay untouched until it reads on', async (t) => {
    const { wire, peer } = await make(t)
    const held: { bytes: Buffer; copy: Buffer }[] = []
    let size = 0
    const recorder = new Recorder()
    recorder.onBytes = (buf, length) => {
      size += length
      if (!wire.owned) return
      const bytes = buf.subarray(0, length)
      held.push({ bytes, copy: Buffer.from(bytes) })
      wire.pause()
    }
    wire.sink = recorder
    wire.bulk(true, false)
    wire.resume()
    peer.write(pattern(4 * MIB))
    for (let i = 0; i < 5; i++) {
      const before = held.length
      await eventually('an owned read', () => held.length > before)
      await settle(t)
      const { bytes, copy } = held.at(-1) ?? { bytes: Buffer.alloc(0), copy: Buffer.alloc(1) }
      t.ok(bytes.equals(copy), 'untouched while paused')
      t.equal(held.length, before + 1, 'nothing more came')
      wire.bulk(i % 2 === 0, false)
      wire.resume()
      if (i % 2 !== 0) wire.bulk(true, false)
    }
    await eventually('more bytes', () => size > 0)
  })

  t.test('a pause inside of a read stops at once, however much has come', async (t) => {
    const { wire, peer } = await make(t)
    const recorder = new Recorder(() => wire.pause())
    wire.sink = recorder
    wire.resume()
    peer.write(pattern(8 * MIB))
    let reads = 1
    for (; recorder.size < 2 * MIB; reads++) {
      await eventually('the next read', () => recorder.chunks.length === reads)
      await settle(t)
      t.equal(recorder.chunks.length, reads, `one read for one resume, ${recorder.size} bytes so far`)
      wire.resume()
      if (reads > 200) break
    }
    await eventually('the next read', () => recorder.chunks.length === reads)
    t.ok(recorder.bytes.equals(pattern(8 * MIB).subarray(0, recorder.size)))
  })

  t.test("a pause holds the peer's end back too", async (t) => {
    const { wire, peer } = await make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    peer.write('x')
    await recorder.untilSize(1)
    wire.pause()
    peer.end('last')
    await settle(t)
    t.same(recorder.events, [])
    t.equal(recorder.size, 1)
    wire.resume()
    await recorder.until('end')
    t.equal(recorder.bytes.toString(), 'xlast')
  })

  t.test("the peer's end without a byte is held back by a pause as well, and told to who reads on", async (t) => {
    const { wire, peer } = await make(t)
    const early = new Recorder()
    wire.sink = early
    peer.end()
    await settle(t)
    t.same(early.events, [])
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    await recorder.until('end')
    t.same(recorder.events, ['end'])
    t.same(early.events, [])
  })

  t.test('who holds the wire may change: inside of a read, and between two', async (t) => {
    const { wire, peer } = await make(t)
    const second = new Recorder()
    const third = new Recorder()
    const first = new Recorder(() => {
      wire.sink = second
    })
    wire.sink = first
    wire.resume()
    for (const [text, recorder] of [
      ['one', first],
      ['two', second],
    ] as const) {
      peer.write(text)
      await recorder.untilSize(3)
    }
    wire.sink = third
    peer.end('three')
    await third.until('end')
    t.same(
      [first, second, third].map((r) => r.bytes.toString()),
      ['one', 'two', 'three'],
    )
    t.same([first.events, second.events], [[], []])
  })
}

function ending(t: Test, make: MakePair): void {
  t.test('after its own end it still reads, until the peer ends', async (t) => {
    const { wire, peer } = await make(t)
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
    const { wire, peer } = await make(t)
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
    const { wire, peer } = await make(t)
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
    const { wire, peer } = await make(t)
    wire.sink = new Recorder()
    const bytes = pattern(12 * MIB)
    wire.writeOwned(bytes, 0, bytes.length)
    t.equal(wire.pending, true)
    wire.end()
    await settle(t)
    const read = await readAll(peer)
    t.equal(read.ending, 'end')
    t.equal(sha(read.bytes), sha(bytes))
  })

  t.test('a reset is one for the peer', async (t) => {
    const { wire, peer } = await make(t)
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
        const { wire, peer } = await make(t)
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

  t.test('a reset right behind an end closes the connection, one way or the other', async (t) => {
    const { wire, peer } = await make(t)
    wire.sink = new Recorder()
    wire.resume()
    wire.writeText('whole')
    peer.resume()
    peer.once('end', () => peer.end())
    wire.end()
    wire.reset()
    await closed(peer)
    t.pass('closed')
  })

  for (const how of ['destroy', 'reset'] as const) {
    t.test(`${how} is silent, whatever comes later`, async (t) => {
      const { wire, peer } = await make(t)
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
      const { wire, peer } = await make(t)
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
        const { wire, peer } = await make(t)
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
        t.same(recorder.events, [])
      })
  }
}

function breaking(t: Test, make: MakePair): void {
  t.test("the peer's reset is told once, and nothing after it", async (t) => {
    const { wire, rawPeer } = await make(t)
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
    const { wire, rawPeer } = await make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    wire.resume()
    const bytes = pattern(16 * MIB)
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
    const { wire, rawPeer } = await make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    rawPeer.resetAndDestroy() // the wire does not read: only a write can find out
    await settle(t)
    for (let i = 0; i < 3; i++) wire.writeText('late')
    wire.write(Buffer.alloc(MIB), 0, MIB)
    t.same(recorder.events, [], 'not while the caller is in the middle of its own work')
    await eventually('the close', () => recorder.events.some((event) => event.startsWith('close')))
    wire.writeText('later')
    await settle(t)
    t.equal(recorder.count('drain'), 0)
    t.equal(recorder.events.length, 1, `${recorder.events}`)
    t.match(recorder.events[0], /^close (ECONNRESET|EPIPE)$/)
  })

  t.test('wires do not disturb each other when one of them breaks', async (t) => {
    const [broken, sound] = await Promise.all([make(t), make(t)])
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

for (const how of ['reset', 'destroy', 'end'] as const)
  t.test(
    `a TLS wire that is given a ${how} inside of its handshake's last callback ends, and the process lives`,
    async (t) => {
      const { peer } = await tls(t, (wire) => wire[how]())
      peer.resume()
      await closed(peer)
      t.pass('ended')
    },
  )

for (const [kind, make] of Object.entries(KINDS))
  t.test(kind, (t) => {
    t.test('knows where it comes from', async (t) => {
      const { wire, rawPeer } = await make(t)
      t.equal(wire.remoteAddress, rawPeer.localAddress)
      t.equal(wire.remotePort, rawPeer.localPort)
      t.equal(wire.localPort, rawPeer.remotePort)
    })
    writing(t, make)
    reading(t, make)
    ending(t, make)
    breaking(t, make)
    t.end()
  })
