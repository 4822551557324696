/** When files are looked at: regularly, soon after a hint, and soon again while something changes. */
import t from 'tap'
import { Rounds } from '../../lib/service/rounds.ts'
import { eventually } from '../support/eventually.ts'

/** Rounds whose looks are `looks[i]`: is something changing then? */
function recorded(looks: readonly boolean[]) {
  const seen: { hasty: boolean; at: number }[] = []
  const rounds = new Rounds(async (hasty) => {
    seen.push({ hasty, at: performance.now() })
    return looks[seen.length - 1] ?? false
  })
  t.teardown(() => rounds.stop())
  return { rounds, seen }
}

t.test('without a hint looks are regular and patient', async (t) => {
  const { rounds, seen } = recorded([])
  const began = performance.now()
  rounds.start()
  await eventually('two looks', () => seen.length >= 2)
  t.same(
    seen.map(({ hasty }) => hasty),
    [false, false],
  )
  t.ok((seen[1]?.at ?? 0) - began >= 1000, 'each has its time')
})

t.test('a hint brings one look forward, however many there are, and looks follow until all rests', async (t) => {
  const { rounds, seen } = recorded([true, true, false])
  rounds.start()
  for (let i = 0; i < 100; i++) rounds.hint()
  await eventually('the looks', () => seen.length >= 3)
  t.ok(seen[0]?.hasty, 'ahead of the regular one')
  rounds.hint()
  await eventually('another', () => seen.length >= 4)
  const gaps = seen.slice(1, 3).map(({ at }, i) => at - (seen[i]?.at ?? 0))
  t.ok(
    gaps.every((gap) => gap >= 90),
    `what is written has time to rest: ${gaps.map(Math.round)} ms`,
  )
})

t.test('a regular look comes however many hints there are', async (t) => {
  const { rounds, seen } = recorded([])
  rounds.start()
  const hints = setInterval(() => rounds.hint(), 5)
  t.teardown(() => clearInterval(hints))
  t.ok(await eventually('a patient look', () => seen.some(({ hasty }) => !hasty)))
})

t.test('nothing is looked at before the start, or behind the end', async (t) => {
  const { rounds, seen } = recorded([])
  rounds.hint()
  rounds.start()
  rounds.stop()
  rounds.hint()
  const other = recorded([])
  other.rounds.start()
  await eventually('a look of another', () => other.seen.length > 0)
  t.equal(seen.length, 0)
})

t.test('a look that fails is not the last', async (t) => {
  let looks = 0
  const met = new Promise((resolve) => process.once('unhandledRejection', resolve))
  const rounds = new Rounds(async () => {
    if (++looks === 1) throw new Error('no')
    return false
  })
  t.teardown(() => rounds.stop())
  rounds.start()
  rounds.hint()
  t.match(await met, { message: 'no' })
  await eventually('another look', () => looks > 1)
})
