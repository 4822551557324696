/** What every wire promises to who writes: order, whose the bytes are, and back-pressure. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Wire } from '../../lib/datapaths/wire.ts'
import { eventually } from '../support/eventually.ts'
import { BULK, KINDS, type Kind, MIB, pattern, Recorder, readAll, settle, sha } from './fixtures/wires.ts'

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

function writing(t: Test, kind: Kind): void {
  t.test('bytes arrive in the order in which they were written, by whichever method', async (t) => {
    const { wire, peer } = await kind.make(t)
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
    const { wire, peer } = await kind.make(t)
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
    const { wire, peer } = await kind.make(t)
    const read = readAll(peer)
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    wire.writeText(all.toString('latin1'))
    wire.writeText(all.toString('latin1').repeat(200))
    wire.end()
    t.equal(sha((await read).bytes), sha(Buffer.concat(new Array<Buffer>(201).fill(all))))
  })

  t.test('what `write` was given may change at once, also while nobody reads', async (t) => {
    const { wire, peer } = await kind.make(t)
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
      const { wire, peer } = await kind.make(t)
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
      const { wire, peer } = await kind.make(t)
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
    t.test(
      `${BULK / MIB} MiB by ${name} to a peer that does not read: it stops, goes on and loses nothing`,
      async (t) => {
        const { wire, peer } = await kind.make(t)
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
        t.ok(stops > 0, `${stops} times stopped`)
      },
    )
}

for (const [name, kind] of Object.entries(KINDS))
  t.test(name, (t) => {
    writing(t, kind)
    t.end()
  })
