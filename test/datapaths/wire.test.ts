/** What every wire promises to who reads: order, whose the bytes are, pauses, and that who reads may change. */
import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { BULK, KINDS, type Kind, MIB, pattern, Recorder, readAll, settle, sha } from './fixtures/wires.ts'

function reading(t: Test, kind: Kind): void {
  t.test('it knows where it comes from', async (t) => {
    const { wire, rawPeer } = await kind.make(t)
    t.equal(wire.remoteAddress, rawPeer.localAddress)
    t.equal(wire.remotePort, rawPeer.localPort)
    t.equal(wire.localAddress, rawPeer.remoteAddress)
    t.equal(wire.localPort, rawPeer.remotePort)
  })

  t.test('it reads nothing before it is told to', async (t) => {
    const { wire, peer } = await kind.make(t)
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
    t.test(
      `${BULK / MIB} MiB${bulk ? ' in bulk, on and off,' : ''} with pauses arrive whole and in order`,
      async (t) => {
        const { wire, peer } = await kind.make(t)
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
      },
    )

  if (kind.owns)
    t.test('owned bytes stay untouched until it reads on', async (t) => {
      const { wire, peer } = await kind.make(t)
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

  t.test('a buffer whose write is pending is not read into by another wire', async (t) => {
    const [from, to, other] = [await kind.make(t), await kind.make(t), await kind.make(t)]
    const before = pattern(24 * MIB)
    to.wire.writeOwned(before, 0, before.length)
    t.equal(to.wire.pending, true)
    const sent: Buffer[] = []
    const reader = new Recorder((bytes, length) => {
      const { wire } = from
      sent.push(Buffer.from(bytes.subarray(0, length)))
      if (!wire.owned) return void to.wire.write(bytes, 0, length)
      to.wire.writeOwned(bytes, 0, length)
      wire.bulk(false, false)
      wire.pause()
    })
    from.wire.sink = reader
    from.wire.bulk(true, true)
    from.wire.resume()
    from.peer.write(pattern(2 * MIB, 2))
    await eventually('reads', () => sent.length >= (kind.reusesBuffers ? 2 : 1))
    const overwriter = new Recorder()
    other.wire.sink = overwriter
    other.wire.bulk(true, true)
    other.wire.resume()
    other.peer.write(pattern(4 * MIB, 3))
    await overwriter.untilSize(4 * MIB)
    to.wire.end()
    const { bytes } = await readAll(to.peer)
    t.equal(sha(bytes), sha(Buffer.concat([before, ...sent])))
  })

  t.test('a pause inside of a read stops at once, however much has come', async (t) => {
    const { wire, peer } = await kind.make(t)
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
    const { wire, peer } = await kind.make(t)
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
    const { wire, peer } = await kind.make(t)
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
    const { wire, peer } = await kind.make(t)
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

for (const [name, kind] of Object.entries(KINDS))
  t.test(name, (t) => {
    reading(t, kind)
    t.end()
  })
