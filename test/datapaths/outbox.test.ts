/** Messages put together as bytes: whatever pieces they are made of, and however many wait to be written. */
import fc from 'fast-check'
import t from 'tap'
import { giveBack, Outbox, readBuffer } from '../../lib/datapaths/outbox.ts'

const latin1 = (max: number) =>
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)), maxLength: max })

t.test('what is put in comes out, from whatever memory and however long', async () => {
  const piece = fc.oneof(
    latin1(80).map((text) => ({ kind: 'text' as const, text })),
    latin1(80).map((text) => ({ kind: 'read' as const, text })),
    latin1(80).map((text) => ({ kind: 'other' as const, text })),
    latin1(80).map((text) => ({ kind: 'literal' as const, text })),
    fc.integer({ min: 60_000, max: 70_000 }).map((length) => ({ kind: 'text' as const, text: 'x'.repeat(length) })),
  )
  const out = new Outbox()
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      out.begin()
      for (const { kind, text } of pieces) {
        const bytes = Buffer.from(text, 'latin1')
        if (kind === 'text') out.text(text)
        else if (kind === 'literal') out.literal(bytes)
        else if (kind === 'other') out.copy(Buffer.concat([Buffer.from('before'), bytes]), 6, 6 + bytes.length)
        else {
          bytes.copy(readBuffer, 100)
          out.copy(readBuffer, 100, 100 + bytes.length)
        }
      }
      const wanted = pieces.map(({ text }) => text).join('')
      return (
        out.length === wanted.length &&
        out.toString() === wanted &&
        Buffer.from(out.view()).toString('latin1') === wanted
      )
    }),
    { numRuns: 500 },
  )
})

t.test('what a pending write still reads is not written over, however many there are', async (t) => {
  const out = new Outbox()
  const pending = Array.from({ length: 40 }, (_, i) => {
    out.begin()
    out.text(`message ${i}`)
    const view = out.view()
    return { text: `message ${i}`, view, area: out.leave() }
  })
  out.begin()
  out.text('one more')
  for (const { text, view } of pending) t.equal(Buffer.from(view).toString(), text)
  const areas = pending.map(({ area }) => area).filter((area) => area >= 0)
  t.equal(new Set(areas).size, areas.length, 'each has its own')
  t.ok(areas.length >= 15 && areas.length < 40, 'and when there are no more, memory of its own')
  for (const { area } of pending) giveBack(area)
  out.begin()
  out.text('after all')
  t.equal(out.toString(), 'after all')
  t.ok(out.leave() >= 0, 'what was given back is used again')
})
