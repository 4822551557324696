/** The fault harness under test itself: what a liar does in the balancer's place, it finds. `npm run chaos -- --mutations` shows it. */
import t from 'tap'
import { LIE_NAMES } from '../../../bench/chaos/lies.ts'
import { mutate } from '../../../bench/chaos/mutations.ts'

t.setTimeout(170_000) // thirty steps, each with its own patience

t.test('every lie is found, each time that it is told, and so is what is left behind', async (t) => {
  const { lies, deeds } = await mutate(20261121, (line) => t.comment(line), new AbortController().signal)
  for (const lie of LIE_NAMES) {
    const { told, found } = lies[lie] ?? { told: 0, found: 0 }
    t.ok(told > 0, lie)
    t.equal(found, told, `${lie}: found`)
  }
  t.strictSame(deeds, {
    'connections-held': true,
    'request-held': true,
    'descriptors-held': true,
    'thread-ended': true,
  })
})
