/** The runner: when it probes, and when the results change the health. Time is the test's. */
import fc from 'fast-check'
import t from 'tap'
import { ManualClock } from '../../lib/core/index.ts'
import { type Probe, ProbeRunner, spreadStart } from '../../lib/probes/index.ts'
import { healthOf } from './support.ts'
import { begin, type Call, scripted, settle, target, type Watched, watch } from './watch.ts'

const startsOf = (probe: { calls: Call[] }): number[] => probe.calls.map((call) => call.at)

t.test('the first probe starts at once, and its result decides at once', async (t) => {
  for (const [script, expected] of [
    ['+', '0 passing: HTTP 200'],
    ['-', '0 failing: HTTP 503'],
  ] as const) {
    const { runner, clock, changes } = watch(script)
    t.equal(runner.health, 'unknown')
    await begin({ runner, clock })
    t.same(changes, [expected])
    runner.stop()
  }
})

t.test('nothing is probed before the start, and a second start changes nothing', async (t) => {
  const { runner, probe, clock } = watch('++')
  await clock.advance(10_000)
  t.equal(probe.calls.length, 0)
  runner.start()
  await begin({ runner, clock }) // starts it again
  t.equal(probe.calls.length, 1)
  runner.stop()
})

t.test('a delayed start is shown and kept', async (t) => {
  const { runner, probe, clock } = watch('+', {}, { startDelay: 300 })
  runner.start()
  t.equal(runner.nextAt, 300)
  await clock.advance(299)
  t.equal(probe.calls.length, 0)
  await clock.advance(1)
  t.same(startsOf(probe), [300])
  runner.stop()
})

t.test("the health section's port replaces the backend's", async (t) => {
  const { runner, probe } = watch('+', { port: 8081 })
  runner.start()
  t.equal(probe.calls[0]?.host, '10.0.0.1:8081')
  runner.stop()
})

t.test('intervals: steady up, in transition, steady down', async (t) => {
  const rows: readonly [title: string, script: string, initial: 'unknown' | 'passing' | 'failing', starts: number[]][] =
    [
      ['up', '+++', 'unknown', [0, 2000, 4000]],
      ['down', '---', 'unknown', [0, 5000, 10_000]],
      ['up to down: fast until the third failure', '+----', 'unknown', [0, 2000, 3000, 4000, 9000]],
      ['up, and a stumble: back to steady after a pass', '+-++', 'unknown', [0, 2000, 3000, 5000]],
      ['down to up: fast until the second pass', '-+++', 'unknown', [0, 5000, 6000, 8000]],
      ['down, and a false dawn', '-+--', 'unknown', [0, 5000, 6000, 11_000]],
      ['known as passing: the first failure is a transition', '---', 'passing', [0, 1000, 2000]],
      ['known as failing: the first pass is a transition', '++', 'failing', [0, 1000]],
    ]
  for (const [title, script, initial, starts] of rows) {
    const { runner, probe, clock } = watch(script, {}, { initial })
    await begin({ runner, clock })
    await clock.advance(starts.at(-1) ?? 0)
    t.same(startsOf(probe), starts, title)
    runner.stop()
  }
})

t.test('thresholds', async (t) => {
  const rows: readonly [script: string, rise: number, fall: number, changes: RegExp[]][] = [
    ['+--+--+--', 2, 3, [/^\d+ passing/]],
    ['+---', 2, 3, [/passing/, /failing: HTTP 503 \(3 in a row\)$/]],
    ['+-', 2, 1, [/passing/, /failing: HTTP 503$/]],
    ['-+-+-+', 2, 3, [/failing/]],
    ['-++', 2, 3, [/failing/, /passing: HTTP 200 \(2 in a row\)$/]],
    ['-+', 1, 3, [/failing/, /passing: HTTP 200$/]],
    ['+-+-+-', 1, 1, [/passing/, /failing/, /passing/, /failing/, /passing/, /failing/]],
    ['-+++-++++', 4, 1, [/failing/, /passing/]],
  ]
  for (const [script, rise, fall, expected] of rows) {
    const { runner, probe, clock, changes } = watch(script, { rise, fall })
    await begin({ runner, clock })
    while (probe.calls.length < script.length) await clock.advance(1000)
    t.equal(changes.length, expected.length, `${script} with rise ${rise} and fall ${fall}: ${changes.length} changes`)
    for (const [i, pattern] of expected.entries()) t.match(changes[i], pattern)
    runner.stop()
  }
})

t.test('health kept from before needs the whole count to change', async (t) => {
  const { runner, clock, changes } = watch('---', {}, { initial: 'passing' })
  await begin({ runner, clock })
  await clock.advance(1999)
  t.same(changes, [])
  t.equal(runner.health, 'passing')
  await clock.advance(1)
  t.same(changes, ['2000 failing: HTTP 503 (3 in a row)'])
  runner.stop()
})

t.test('health kept from before is not announced again', async (t) => {
  const { runner, clock, changes } = watch('++++', {}, { initial: 'passing' })
  await begin({ runner, clock })
  await clock.advance(6000)
  t.same(changes, [])
  runner.stop()
})

t.test('for any results the health changes exactly when the count in a row says', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom('unknown', 'passing', 'failing'),
      async (oks, rise, fall, initial) => {
        // The reference looks back over the whole history at each result.
        const expected: string[] = []
        let health: string = initial
        for (const [i, ok] of oks.entries()) {
          const says = ok ? 'passing' : 'failing'
          const needed = health === 'unknown' ? 1 : ok ? rise : fall
          const recent = oks.slice(Math.max(0, i + 1 - needed), i + 1)
          if (health === says || recent.length < needed || recent.includes(!ok)) continue
          health = says
          expected.push(`${i} ${says}`)
        }

        const seen: string[] = []
        const script = oks.map((ok) => (ok ? '+' : '-')).join('')
        const { runner, probe, clock, results } = watch(
          script,
          { rise, fall },
          {
            initial,
            random: Math.random,
            onHealth: (state) => {
              if (results.length <= oks.length) seen.push(`${results.length - 1} ${state}`)
            },
          },
        )
        await begin({ runner, clock })
        while (results.length < oks.length) await clock.advance(5000)
        runner.stop()
        t.same(seen, expected, `${script}, rise ${rise}, fall ${fall}, from ${initial}`)
        t.equal(probe.mostOpen, 1)
      },
    ),
    { numRuns: 60 },
  )
})

t.test('a probe that ignores its signal is timed out, and the next one runs on time', async (t) => {
  const { runner, probe, clock, results } = watch('+..', { timeout: '500ms', interval: '2s', fastInterval: '1s' })
  await begin({ runner, clock })
  await clock.advance(2000)
  t.equal(runner.nextAt, null, 'a probe runs')
  await clock.advance(499)
  t.equal(results.length, 1)
  t.equal(probe.calls[1]?.signal.aborted, false)
  await clock.advance(1)
  t.equal(probe.calls[1]?.signal.aborted, true)
  t.match(results[1], { at: 2500, ok: false, reason: 'timeout', detail: 'no result within 500 ms', durationMs: 500 })
  await clock.advance(500)
  t.same(startsOf(probe), [0, 2000, 3000])
  runner.stop()
})

t.test('a probe that answered in time is never aborted', async (t) => {
  const { runner, probe, clock } = watch('+-+')
  await begin({ runner, clock })
  await clock.advance(10_000)
  runner.stop()
  t.same(
    probe.calls.slice(0, 3).map((call) => call.signal.aborted),
    [false, false, false],
  )
})

t.test('the late result of a probe that was timed out is ignored', async (t) => {
  const { runner, probe, clock, results, changes } = watch('-..', { timeout: '500ms', rise: 1 })
  await begin({ runner, clock })
  await clock.advance(5500)
  t.equal(results.length, 2)
  probe.calls[1]?.pass()
  await settle(clock)
  t.equal(results.length, 2)
  await clock.advance(4500)
  probe.calls[1]?.pass()
  await settle(clock)
  t.equal(results.length, 2, 'not even while the next probe runs')
  t.equal(changes.length, 1)
  runner.stop()
})

t.test('a timeout longer than the interval never makes two probes at once', async (t) => {
  const { runner, probe, clock } = watch('', {
    timeout: '3s',
    interval: '100ms',
    fastInterval: '100ms',
    downInterval: '100ms',
  })
  await begin({ runner, clock })
  await clock.advance(9500)
  t.same(startsOf(probe), [0, 3000, 6000, 9000])
  t.equal(probe.mostOpen, 1)
  runner.stop()
})

t.test('a probe that throws instead of rejecting counts as failed', async (t) => {
  const probe: Probe = {
    check: () => {
      throw new Error('bad\r\nprobe')
    },
  }
  const { runner, clock, results } = watch('', {}, { probe })
  await begin({ runner, clock })
  t.match(results, [{ ok: false, reason: 'other', detail: 'bad probe' }])
  runner.stop()
})

t.test('jitter moves each interval by its fraction at most, both ways', async (t) => {
  for (const [random, next] of [
    [0, 1900],
    [0.5, 2000],
    [1, 2100],
  ] as const) {
    let first = true
    const { runner, probe, clock } = watch(
      '+++',
      { jitter: 0.05 },
      {
        random: () => {
          if (!first) return random
          first = false
          return 1
        },
      },
    )
    await begin({ runner, clock })
    await clock.advance(2000 + next)
    t.same(startsOf(probe), [0, 2000, 2000 + next])
    runner.stop()
  }
})

t.test('backends that start together spread over a whole interval from their second probe on', async (t) => {
  const clock = new ManualClock()
  const probes = Array.from({ length: 100 }, () => scripted(clock, '+++'))
  const runners = probes.map(
    (probe, i) =>
      new ProbeRunner({
        probe,
        target,
        clock,
        health: healthOf({ interval: '2s', jitter: 0 }),
        random: () => i / 100,
        onResult: () => {},
        onHealth: () => {},
      }),
  )
  for (const runner of runners) runner.start()
  t.ok(
    probes.every(({ calls }) => calls.length === 1),
    'the first round is parallel',
  )
  await settle(clock)
  await clock.advance(4000)
  t.same(
    probes.map((probe) => probe.calls[1]?.at),
    probes.map((_probe, i) => i * 20),
  )
  t.same(
    probes.map((probe) => probe.calls[2]?.at),
    probes.map((_probe, i) => i * 20 + 2000),
    'and they keep their places',
  )
  for (const runner of runners) runner.stop()
})

t.test('after a stop nothing runs, nothing is reported, and the probe under way is aborted', async (t) => {
  const { runner, probe, clock, results, changes } = watch('+.')
  await begin({ runner, clock })
  await clock.advance(2000)
  runner.stop()
  t.equal(probe.calls[1]?.signal.aborted, true)
  t.equal(runner.nextAt, null)
  probe.calls[1]?.fail()
  await clock.advance(60_000)
  t.equal(probe.calls.length, 2)
  t.equal(results.length, 1)
  t.equal(changes.length, 1)
  await begin({ runner, clock })
  await clock.advance(60_000)
  t.equal(probe.calls.length, 2, 'a stopped runner stays stopped')
})

t.test('a listener may stop the runner that tells it', async (t) => {
  for (const name of ['onResult', 'onHealth'] as const) {
    const watched: Watched = watch('++', {}, { [name]: () => watched.runner.stop() })
    await begin(watched)
    await watched.clock.advance(60_000)
    t.equal(watched.probe.calls.length, 1, name)
    t.equal(watched.runner.nextAt, null)
  }
})

t.test('stopped within onResult, it announces no health any more', async (t) => {
  const watched: Watched = watch('+', {}, { onResult: () => watched.runner.stop() })
  await begin(watched)
  t.same(watched.changes, [])
})

t.test('the last ten results, the streak and the next run can be read', async (t) => {
  const { runner, clock, results } = watch('+++++++++---')
  await begin({ runner, clock })
  await clock.advance(18_000)
  t.equal(results.length, 10)
  t.same([runner.streak, runner.nextAt], [1, 19_000])
  await clock.advance(2000)
  t.same(runner.lastResults, results.slice(-10))
  t.same(runner.lastResults.at(-1), {
    at: 20_000,
    ok: false,
    drain: false,
    reason: 'status',
    detail: 'HTTP 503',
    durationMs: 0,
  })
  t.same([runner.streak, runner.nextAt, runner.health], [3, 25_000, 'failing'])
  runner.stop()
})

t.test('a listener sees the new state already', async (t) => {
  const watched: Watched = watch(
    '+',
    {},
    {
      onResult: () => {
        t.equal(watched.runner.health, 'passing')
        t.equal(watched.runner.lastResults.length, 1)
        t.equal(watched.runner.nextAt, 2000)
      },
    },
  )
  await begin(watched)
  watched.runner.stop()
  t.equal(watched.runner.lastResults.length, 1)
})

t.test('few first probes start at once, many are spread over the window', (t) => {
  t.ok(Array.from({ length: 64 }, (_, i) => spreadStart(i, 64, 1000)).every((delay) => delay === 0))
  const delays = Array.from({ length: 10_000 }, (_, i) => spreadStart(i, 10_000, 1000))
  t.ok(delays.slice(0, 64).every((delay) => delay === 0))
  t.equal(delays.at(-1), 1000)
  const perMs = new Map<number, number>()
  for (const delay of delays.slice(64)) perMs.set(delay, (perMs.get(delay) ?? 0) + 1)
  t.ok(Math.max(...perMs.values()) <= 11, 'evenly')
  t.end()
})
