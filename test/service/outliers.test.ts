/** Which backends are ejected, for how long, and what brings them back. */
import t, { type Test } from 'tap'
import { BackendCell, Board } from '../../lib/board/index.ts'
import type { HealthConfig, OutliersConfig } from '../../lib/config/index.ts'
import { loadConfigText } from '../../lib/config/index.ts'
import { createLogger, ManualClock } from '../../lib/core/index.ts'
import type { Cause } from '../../lib/pool/index.ts'
import { createProbe } from '../../lib/probes/index.ts'
import { OutlierWatch } from '../../lib/service/outliers.ts'
import { BackendTracker } from '../../lib/service/tracker.ts'

process.env['EVENKEEL_LOG'] = 'silent'

const CONFIG: OutliersConfig = { consecutive: 5, baseTime: 30_000, maxTime: 100_000, maxEjected: 0.5 }

interface Rig {
  readonly clock: ManualClock
  readonly changes: string[]
  readonly trackers: readonly BackendTracker[]
  /** `n` flows fail on a backend, then the watch looks. */
  fail(backend: number, n: number): void
  succeed(backend: number): void
  watch: OutlierWatch
  after(ms: number): Promise<void>
}

async function rig(t: Test, n: number, config: OutliersConfig = CONFIG): Promise<Rig> {
  const text = `version: 1\nvirtualServices: { s: { listen: ["127.0.0.1:1"], protocol: tcp, health: { type: none }, backends: [${Array.from({ length: n }, (_, i) => `"127.0.0.1:${i + 2}"`).join()}] } }`
  const loaded = await loadConfigText(text, 'test.yaml')
  if (!loaded.ok) throw new Error('the configuration of the test')
  const service = loaded.config.virtualServices['s']
  const clock = new ManualClock()
  const board = new Board(1)
  const changes: string[] = []
  const trackers = (service?.backends ?? []).map(
    (backend, row) =>
      new BackendTracker({
        ...{
          service: 's',
          pool: '',
          poolRow: 0,
          backend,
          tier: 'primary',
          row,
          health: service?.health as HealthConfig,
          probe: createProbe(service?.health as HealthConfig, { service: 's', backend: backend.name }),
        },
        ...{
          load: undefined,
          recalled: null,
          drainTimeoutMs: 1000,
          slowStartMs: 0,
          board,
          clock,
          log: createLogger(),
          index: row,
          total: n,
        },
        onDeadline: () => {},
        onChange: ({ backend: name, from, to, cause }) => changes.push(`${name.split(':')[1]} ${from} ${to} ${cause}`),
      }),
  )
  await clock.advance(1)
  const cells = trackers.map((_, row) => new BackendCell(board, 0, row))
  const watch = new OutlierWatch(config, trackers, 2, board, clock)
  t.teardown(() => {
    for (const tracker of trackers) tracker.stop()
  })
  return {
    ...{ clock, changes, trackers, watch },
    fail: (backend, times) => {
      for (let i = 0; i < times; i++) cells[backend]?.failed()
      watch.tick()
    },
    succeed: (backend) => cells[backend]?.succeeded(),
    after: async (ms) => {
      await clock.advance(ms)
      watch.tick()
    },
  }
}

t.test('five failures in a row eject, four do not, and a success in between begins the count anew', async (t) => {
  const { fail, succeed, changes } = await rig(t, 2)
  fail(0, 4)
  succeed(0)
  fail(0, 4)
  t.strictSame(changes, [], 'eight failures with a success between them')
  fail(0, 1)
  t.strictSame(changes, ['2 up down passive'])
})

t.test('an ejection lasts the base time, and longer with each further one, up to the most', async (t) => {
  const { fail, after, changes, clock } = await rig(t, 2)
  const lasts: number[] = []
  for (let i = 0; i < 5; i++) {
    changes.length = 0
    fail(0, 5)
    t.strictSame(changes, ['2 up down passive'])
    const from = clock.wall()
    while (changes.length === 1) await after(1000)
    lasts.push(clock.wall() - from)
    t.equal(changes[1], '2 down up passive')
  }
  t.strictSame(lasts, [30_000, 60_000, 90_000, 100_000, 100_000])
  await after(100_000)
  fail(0, 5)
  const from = clock.wall()
  while (!changes.at(-1)?.endsWith('up passive') || clock.wall() === from) await after(1000)
  t.equal(clock.wall() - from, 30_000, 'well for long enough: it starts anew')
})

t.test('what fails during an ejection does not count for the time after it', async (t) => {
  const { fail, after, changes } = await rig(t, 2)
  fail(0, 5)
  fail(0, 50)
  await after(30_000)
  await after(1)
  t.strictSame(changes, ['2 up down passive', '2 down up passive'])
})

t.test('never the last backend, and never more than the share', async (t) => {
  const alone = await rig(t, 1)
  alone.fail(0, 100)
  t.strictSame(alone.changes, [], 'one of one')
  for (const [n, most] of [
    [2, 1],
    [3, 1],
    [4, 2],
    [7, 3],
  ] as const) {
    const all = await rig(t, n)
    for (let i = 0; i < n; i++) all.fail(i, 10)
    t.equal(all.changes.length, most, `${most} of ${n}`)
  }
  const greedy = await rig(t, 3, { ...CONFIG, maxEjected: 1 })
  for (let i = 0; i < 3; i++) greedy.fail(i, 10)
  t.equal(greedy.changes.length, 2, 'one is left even where all may be ejected')
})

t.test('a backend that gets no new flows is not counted among those that would take over', async (t) => {
  const { fail, trackers, changes } = await rig(t, 2)
  trackers[1]?.operate({ admin: 'maintenance', cause: 'operator', why: 'test', deadline: null })
  changes.length = 0
  fail(0, 10)
  t.strictSame(changes, [])
})

t.test('an ejection outlives a restart with what is left of its time', async (t) => {
  const first = await rig(t, 2)
  first.fail(0, 5)
  const [saved] = [...first.watch.saved()]
  t.match(saved, ['127.0.0.1:2', { count: 1, until: 30_001 }])
  const second = await rig(t, 2)
  if (saved !== undefined) second.watch.recall(saved[0], saved[1])
  t.strictSame(second.changes, ['2 up down passive'])
  await second.after(29_000)
  t.equal(second.changes.length, 1)
  await second.after(1001)
  t.strictSame(second.changes.at(-1), '2 down up passive' satisfies `2 down up ${Cause}`)
  for (const until of [0, 5, 1e15]) {
    const third = await rig(t, 2)
    await third.clock.advance(10)
    third.watch.recall('127.0.0.1:2', { count: 1, until })
    t.strictSame(third.changes, [], `until ${until}: over, or nonsense`)
  }
})
