/** White space around a field's value goes, in a time that grows with its length and not with its square. */
import fc from 'fast-check'
import t from 'tap'
import { trimmed } from '../../lib/datapaths/trimmed.ts'

t.test('spaces and tabs go from both ends, and nothing else', async () => {
  const pieces = fc.constantFrom(' ', '\t', 'a', '\u00a0', '\r', ',')
  fc.assert(
    fc.property(fc.string({ unit: pieces, maxLength: 12 }), (text) => {
      const parts = /^[ \t]*(.*?)[ \t]*$/s.exec(text)
      return trimmed(text) === parts?.[1]
    }),
  )
})

t.test('a run of spaces within a value of the greatest length costs nothing', async (t) => {
  const text = `a${' '.repeat(8190)}b`
  const times = Array.from({ length: 5 }, () => {
    const begun = performance.now()
    t.equal(trimmed(text), text)
    return performance.now() - begun
  })
  t.ok(Math.min(...times) < 20, `${times}`) // 70 with a pattern
})
