/** What waits to be written is copied into memory that is used again and again: V8 is slow to free what it is left with. */
import t, { type Test } from 'tap'
import { Body } from '../../lib/datapaths/http/body.ts'
import type { Wire } from '../../lib/datapaths/wire.ts'
import { madeBy } from './fixtures/made.ts'
import { KINDS, type Kind, MIB, pattern, Recorder } from './fixtures/wires.ts'

const KIB = 1024
const drained = async (wire: Wire, recorder: Recorder): Promise<void> => {
  if (wire.pending) await recorder.until('drain', recorder.count('drain') + 1)
}

function writing(t: Test, kind: Kind): void {
  t.test('copies of what is written', async (t) => {
    const { wire, peer } = await kind.make(t)
    const recorder = new Recorder()
    wire.sink = recorder
    peer.resume()
    const bytes = pattern(64 * KIB)
    const round = async (): Promise<void> => {
      for (const size of [60, 64, 20, 30]) wire.write(bytes, 0, size * KIB)
      await drained(wire, recorder)
    }
    await round()
    const made = await madeBy(t, async () => {
      for (let i = 0; i < 100; i++) await round()
    })
    t.ok(made < MIB, `${made / KIB} KiB for copies of 17 MiB`)
  })

  t.test('large reads of bodies that are written there', async (t) => {
    const [from, to] = [await KINDS['an accepted handle']?.make(t), await kind.make(t)]
    if (from === undefined) throw new Error('no such kind')
    const { wire } = from
    const content = pattern(600_000)
    let body = new Body('length', content.length, false, false, Number.MAX_SAFE_INTEGER)
    const ended: (() => void)[] = []
    const writer = new Recorder()
    writer.onDrain = () => {
      writer.events.push('drain')
      wire.resume()
    }
    to.wire.sink = writer
    to.peer.resume()
    const reader = new Recorder()
    reader.onBytes = (bytes, length) => {
      body.relay(bytes, 0, length, wire, to.wire, '')
      if (body.blocked) wire.pause()
      if (body.done) ended.shift()?.()
    }
    wire.sink = reader
    wire.resume()
    const round = async (): Promise<void> => {
      body = new Body('length', content.length, false, false, Number.MAX_SAFE_INTEGER)
      const whole = new Promise<void>((resolve) => ended.push(resolve))
      from.peer.write(content)
      await whole
      await drained(to.wire, writer)
    }
    await round()
    const made = await madeBy(t, async () => {
      for (let i = 0; i < 40; i++) await round()
    })
    t.ok(made < 2 * MIB, `${made / KIB} KiB for bodies of 23 MiB`)
  })
}

for (const name of ['an accepted handle', 'a TLS handle', 'a freed TLS handle'])
  t.test(name, (t) => {
    writing(t, KINDS[name] as Kind)
    t.end()
  })
