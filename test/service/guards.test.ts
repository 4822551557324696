/** Beats, deaths, and what threads are given: the small parts of the watch over data threads. */
import t from 'tap'
import { LogPace } from '../../lib/core/log-pace.ts'
import { Deaths } from '../../lib/service/deaths.ts'
import { heapFor } from '../../lib/service/means.ts'
import { Mishaps } from '../../lib/service/mishaps.ts'
import { Pulse } from '../../lib/service/pulse.ts'
import { threadEnvironment } from '../../lib/service/thread-environment.ts'

t.test('silence is counted while control looks, and a beat ends it', (t) => {
  const pulse = new Pulse()
  pulse.reset(5, 1000)
  t.equal(pulse.look(5, 1250), 250)
  t.equal(pulse.look(5, 1500), 500)
  t.equal(pulse.look(6, 1750), 0)
  t.equal(pulse.look(6, 2000), 250)
  t.end()
})

t.test('time in which control itself stood still is not counted as silence', (t) => {
  const pulse = new Pulse()
  pulse.reset(0, 0)
  t.equal(pulse.look(0, 60_000), 500)
  t.equal(pulse.look(0, 60_250), 750)
  t.end()
})

t.test('the wait grows with each death in a row, up to 10 s, and a long life begins a new row', (t) => {
  const deaths = new Deaths()
  const waits = Array.from({ length: 10 }, () => deaths.count('error', 100))
  t.strictSame(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
  t.equal(deaths.row, 10)
  t.equal(deaths.count('hang', 30_000), 0)
  t.equal(deaths.row, 1)
  t.equal(deaths.total, 11)
  t.match(deaths.counts, { error: 10, hang: 1, memory: 0 })
  t.end()
})

t.test('what an operator ends comes back at once, however often', (t) => {
  const deaths = new Deaths()
  for (let i = 0; i < 20; i++) t.equal(deaths.count('operator', 1), 0)
  t.equal(deaths.row, 0)
  t.end()
})

t.test('a log is bounded, and knows how much it left out', (t) => {
  let now = 0
  const pace = new LogPace(() => now)
  let taken = 0
  for (let i = 0; i < 1000; i++) if (pace.take()) taken++
  t.equal(taken, 200)
  t.equal(pace.dropped(), 800)
  t.equal(pace.dropped(), 0)
  now = 1000
  for (let i = 0; i < 1000; i++) if (pace.take()) taken++
  t.equal(taken, 250)
  t.end()
})

t.test('an error that comes with every tick is logged once a second, and counted each time', (t) => {
  const lines: string[] = []
  let now = 0
  const mishaps = new Mishaps({ error: ((_about: object, text: string) => lines.push(text)) as never }, () => now)
  for (let i = 0; i < 11; i++) {
    mishaps.add(new Error(`error ${i}`))
    now += 200
  }
  t.equal(mishaps.count, 11)
  t.match(mishaps.last, { at: 2000, message: 'error 10' })
  t.strictSame(
    lines.map((line) => line.replace(/^.*goes on: /, '')),
    [
      'error 0',
      'error 5 (and 4 more since the last one that was logged)',
      'error 10 (and 4 more since the last one that was logged)',
    ],
  )
  t.end()
})

t.test('data threads get no part of the environment that may hold a secret', (t) => {
  const env = threadEnvironment({
    EVENKEEL_ADMIN_TOKEN: 'planted',
    DB_PASSWORD: 'planted',
    NODE_AUTH_TOKEN: 'planted',
    HOME: '/root',
    PATH: '/bin',
    EVENKEEL_LOG: 'debug',
    EVENKEEL_WIRES: 'socket',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
    NODE_OPTIONS: '--no-warnings',
    TZ: 'UTC',
  })
  t.notMatch(JSON.stringify(env), 'planted')
  t.strictSame(Object.keys(env).sort(), ['EVENKEEL_LOG', 'EVENKEEL_WIRES', 'NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS', 'TZ'])
  t.match(env['NODE_OPTIONS'], /^--no-warnings/)
  t.end()
})

t.test('the heaps of all threads have half the memory, each between 256 MiB and 4 GiB', (t) => {
  const gib = 1024 ** 3
  t.equal(heapFor(2, 4 * gib), gib)
  t.equal(heapFor(1, 64 * gib), 4 * gib)
  t.equal(heapFor(32, gib), gib / 4)
  t.end()
})
