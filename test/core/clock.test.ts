/** The clocks: the real one, and the one that a test moves. */
import t from 'tap'
import { ManualClock, systemClock } from '../../lib/core/index.ts'

t.test('a manual clock stands still until it is advanced', async (t) => {
  const clock = new ManualClock()
  t.equal(clock.now(), 0)
  await clock.advance(1500)
  t.equal(clock.now(), 1500)
  t.equal(clock.wall(), 1500)
})

t.test('timers run in the order of their time, each seeing its own moment', async (t) => {
  const clock = new ManualClock()
  const seen: string[] = []
  for (const ms of [300, 100, 200, 100]) clock.after(ms, () => seen.push(`${ms} at ${clock.now()}`))
  await clock.advance(250)
  t.same(seen, ['100 at 100', '100 at 100', '200 at 200'])
  await clock.advance(50)
  t.same(seen.slice(3), ['300 at 300'])
  await clock.advance(1000)
  t.equal(seen.length, 4, 'once each')
})

t.test('a timer that a timer starts runs in the same advance when it falls due in it', async (t) => {
  const clock = new ManualClock()
  const seen: number[] = []
  const tick = (): void => {
    seen.push(clock.now())
    clock.after(100, tick)
  }
  clock.after(100, tick)
  await clock.advance(350)
  t.same(seen, [100, 200, 300])
})

t.test('a cancelled timer does not run, also when another one cancels it at the same moment', async (t) => {
  const clock = new ManualClock()
  const seen: string[] = []
  clock.after(100, () => {
    seen.push('first')
    cancel()
  })
  const cancel = clock.after(100, () => seen.push('second'))
  const never = clock.after(50, () => seen.push('never'))
  never()
  never()
  await clock.advance(200)
  t.same(seen, ['first'])
})

t.test('promises settle between two timers', async (t) => {
  const clock = new ManualClock()
  const seen: string[] = []
  clock.after(100, () => {
    void Promise.resolve().then(() => seen.push('settled'))
  })
  clock.after(101, () => seen.push('next'))
  await clock.advance(200)
  t.same(seen, ['settled', 'next'])
})

t.test('the system clock: now is monotonic with a fraction, wall is the date', (t) => {
  const first = systemClock.now()
  const readings = Array.from({ length: 1000 }, () => systemClock.now())
  t.ok(readings.every((reading, i) => reading >= (readings[i - 1] ?? first)))
  t.ok(readings.some((reading) => !Number.isInteger(reading)))
  t.ok(Math.abs(systemClock.wall() - Date.now()) < 1000)
  t.end()
})

t.test('a timer of the system clock runs once after its time, and not when it is cancelled', async (t) => {
  const begun = performance.now()
  let cancelled = false
  systemClock.after(5, () => {
    cancelled = true
  })()
  const { promise, resolve } = Promise.withResolvers<number>()
  const alive = setTimeout(() => resolve(Number.POSITIVE_INFINITY), 5000) // the clock's timer is no reason to wait
  systemClock.after(30, () => resolve(performance.now()))
  const at = await promise
  clearTimeout(alive)
  t.ok(at - begun >= 29, `after ${at - begun} ms`)
  t.ok(at - begun < 4000)
  t.equal(cancelled, false)
})
