/** How long the event loop of a thread stood in one piece. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { LongestTurn, turnsOfLoop } from '../../lib/datapaths/longest-turn.ts'

t.test('the longest turn of the last minute is told, however often it is asked for', (t) => {
  let turn = 0
  const longest = new LongestTurn(() => turn)
  const look = (now: number, ms: number): number => {
    turn = ms
    return longest.look(now)
  }
  t.equal(look(1_000_000, 7), 7)
  t.equal(look(1_000_100, 250), 250)
  t.equal(look(1_000_200, 3), 250)
  t.equal(look(1_049_000, 90), 250, 'still within a minute')
  t.equal(look(1_061_000, 1), 90, 'that one is long ago')
  t.equal(look(1_061_100, 1), 90)
  t.equal(look(5_000_000, 2), 2, 'nobody asked for an hour')
  t.end()
})

t.test('a turn that takes long is seen, and waiting for work is none', async (t) => {
  const take = turnsOfLoop()
  if (take === null) throw new Error('this runtime tells of single turns no more')
  await delay(10)
  take()
  await delay(10)
  const until = performance.now() + 300
  while (performance.now() < until);
  await delay(10)
  t.ok(take() >= 300)
  await delay(10)
  take()
  const begun = performance.now()
  await delay(2000)
  t.ok(take() < performance.now() - begun - 1000, 'most of that was waiting')
})
