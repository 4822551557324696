/** The wheel of coarse deadlines: never early, at most two ticks late, whatever is set, moved or released meanwhile. */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Deadline, type DeadlineOwner, DeadlineWheel } from '../../lib/core/index.ts'

const TICK_MS = 100
const TURN_MS = 512 * TICK_MS

/** A wheel whose time the test owns; it notes when each of its owners was told. */
class Bench {
  readonly wheel: DeadlineWheel
  readonly told: { readonly name: string; readonly at: number }[] = []
  time: number

  constructor(t: Pick<Test, 'teardown'> | null, start = 0) {
    this.time = start
    this.wheel = new DeadlineWheel(() => this.time)
    t?.teardown(() => this.wheel.close())
  }

  deadline(name: string, then: (deadline: Deadline) => void = () => undefined): Deadline {
    const owner: DeadlineOwner = {
      onDeadline: (deadline) => {
        this.told.push({ name, at: this.time })
        then(deadline)
      },
      onThrown: (error) => {
        throw error
      },
    }
    return new Deadline(this.wheel, owner)
  }

  /** Moves time on; the wheel turns at every tick on the way, as its own timer would make it. */
  advance(ms: number): void {
    const end = this.time + ms
    while (this.#nextTick() <= end) {
      this.time = this.#nextTick()
      this.wheel.turn()
    }
    this.time = end
  }

  #nextTick(): number {
    return (Math.floor(this.time / TICK_MS) + 1) * TICK_MS
  }

  /** Moves time on while the thread stands still: the wheel turns once, at the end. */
  stall(ms: number): void {
    this.time += ms
    this.wheel.turn()
  }

  names(): string[] {
    return this.told.map(({ name }) => name)
  }
}

const onTime = (t: Test, at: number, due: number, what: string): void => {
  t.ok(at >= due, `${what}: told at ${at}, not before ${due}`)
  t.ok(at <= due + 2 * TICK_MS, `${what}: told at ${at}, at most two ticks after ${due}`)
}

t.test('a deadline is told once, never early and at most two ticks late', (t) => {
  for (const start of [1, 49.5, 99.9, 100, 12_345.6])
    for (const ms of [0, 1, 99, 100, 101, 250, 1000, 9999, TURN_MS - 200, TURN_MS - 100, TURN_MS, TURN_MS + 100]) {
      const bench = new Bench(t, start)
      bench.deadline('d').set(ms)
      bench.advance(ms + 10 * TURN_MS)
      t.same(bench.names(), ['d'])
      onTime(t, bench.told[0]?.at ?? 0, start + ms, `${ms} ms from ${start}`)
      bench.wheel.close()
    }
  t.end()
})

t.test('a deadline longer than a turn of the wheel is as exact as a short one', (t) => {
  for (const ms of [TURN_MS * 2, TURN_MS * 3 + 50, 3_600_000]) {
    const bench = new Bench(t)
    bench.deadline('d').set(ms)
    bench.advance(ms - 1)
    t.same(bench.told, [], `${ms} ms: not early`)
    bench.advance(201)
    t.same(bench.names(), ['d'], `${ms} ms: in time`)
  }
  t.end()
})

t.test('a deadline that is set between two ticks is not early by what the wheel has not seen of the time', (t) => {
  const bench = new Bench(t)
  const fresh = bench.deadline('fresh')
  const moved = bench.deadline('moved')
  moved.set(1000) // linked in the slot of 1200
  bench.advance(299)
  fresh.set(950)
  moved.set(950) // due at 1249; counted from the last tick it would be due at 1150
  bench.advance(949)
  t.same(bench.told, [], 'nothing before 1249')
  bench.advance(202)
  t.same(bench.names().sort(), ['fresh', 'moved'])
  t.end()
})

t.test('a deadline that is moved again and again ends after the last move only', (t) => {
  const bench = new Bench(t)
  const deadline = bench.deadline('d')
  for (let i = 0; i < 500; i++) {
    deadline.set(1000)
    bench.advance(137)
  }
  t.same(bench.told, [])
  const due = bench.time - 137 + 1000
  bench.advance(5000)
  t.same(bench.names(), ['d'])
  onTime(t, bench.told[0]?.at ?? 0, due, 'moved')
  t.end()
})

t.test('a deadline moved to an earlier moment is told then', (t) => {
  const bench = new Bench(t)
  const deadline = bench.deadline('d')
  deadline.set(60_000)
  bench.advance(500)
  deadline.set(300)
  bench.advance(1000)
  t.same(bench.names(), ['d'])
  onTime(t, bench.told[0]?.at ?? 0, 800, 'moved up')
  bench.advance(120_000)
  t.same(bench.names(), ['d'], 'and not again at the old moment')
  t.end()
})

t.test('a deadline that is cleared or released is not told, and one that is cleared can be set again', (t) => {
  const bench = new Bench(t)
  const cleared = bench.deadline('cleared')
  const released = bench.deadline('released')
  cleared.set(300)
  released.set(300)
  bench.advance(100)
  cleared.clear()
  released.release()
  bench.advance(2 * TURN_MS)
  t.same(bench.told, [])
  cleared.set(300)
  bench.advance(500)
  t.same(bench.names(), ['cleared'])
  t.end()
})

t.test('an owner sets its deadline again while it is told, and is told at each interval', (t) => {
  const bench = new Bench(t)
  const deadline = bench.deadline('d', (d) => {
    if (bench.told.length < 5) d.set(400)
  })
  deadline.set(400)
  bench.advance(10_000)
  t.equal(bench.told.length, 5)
  let due = 400
  for (const { at } of bench.told) {
    onTime(t, at, due, 'in turn')
    due = at + 400
  }
  t.end()
})

t.test('an owner that releases itself while it is told does not disturb its neighbours', (t) => {
  const bench = new Bench(t)
  for (const name of ['a', 'b', 'c']) bench.deadline(name, (d) => d.release()).set(300)
  bench.advance(600)
  t.same(bench.names().sort(), ['a', 'b', 'c'])
  t.end()
})

t.test('an owner that releases its neighbours of the same slot stops them, and only them', (t) => {
  for (const victims of [['b'], ['c'], ['b', 'c'], ['c', 'b'], ['a', 'b', 'c', 'd'], ['d', 'e']]) {
    const bench = new Bench(t)
    const all = new Map<string, Deadline>()
    let first = ''
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      all.set(
        name,
        bench.deadline(name, () => {
          if (first !== '') return
          first = name
          for (const victim of victims) if (victim !== name) all.get(victim)?.release()
        }),
      )
    for (const deadline of all.values()) deadline.set(300)
    bench.advance(600)
    const left = ['a', 'b', 'c', 'd', 'e'].filter((name) => name === first || !victims.includes(name))
    t.same(bench.names().sort(), left, `${victims} released by ${first}`)
  }
  t.end()
})

t.test('an owner that releases a neighbour and sets it anew keeps the others of the slot on time', (t) => {
  for (const victim of ['a', 'b', 'c', 'd']) {
    const bench = new Bench(t)
    const all = new Map<string, Deadline>()
    for (const name of ['a', 'b', 'c', 'd'])
      all.set(
        name,
        bench.deadline(name, () => {
          if (bench.told.length > 1 || name === victim) return
          all.get(victim)?.release()
          all.get(victim)?.set(5000)
        }),
      )
    for (const deadline of all.values()) deadline.set(300)
    bench.advance(600)
    const others = ['a', 'b', 'c', 'd'].filter((name) => name !== victim)
    t.same(
      bench
        .names()
        .filter((name) => name !== victim)
        .sort(),
      others,
      `${victim} was set anew`,
    )
  }
  t.end()
})

t.test('a thread that stood still tells what fell due meanwhile at once, and nothing else', (t) => {
  for (const still of [150, 999, TURN_MS - 1, TURN_MS, TURN_MS + 1, 3 * TURN_MS + 77, 3_600_000]) {
    const bench = new Bench(t, 1234)
    const waits = [100, 5000, TURN_MS - 300, TURN_MS + 300, 2 * TURN_MS, 3_000_000, 4_000_000]
    for (const ms of waits) bench.deadline(String(ms)).set(ms)
    bench.stall(still)
    const due = waits.filter((ms) => ms + 2 * TICK_MS <= still)
    const early = bench.names().filter((name) => Number(name) > still)
    t.same(early, [], `${still} ms: nothing early`)
    for (const ms of due) t.ok(bench.names().includes(String(ms)), `${ms} ms after ${still}`)
    bench.advance(5_000_000)
    t.same(
      bench
        .names()
        .map(Number)
        .sort((a, b) => a - b),
      waits,
      'each is told once',
    )
    for (const { name, at } of bench.told)
      if (Number(name) > still) onTime(t, at, 1234 + Number(name), `${name} after ${still} ms of standing still`)
  }
  t.end()
})

t.test('deadlines that move at random are all told on time, once each', (t) => {
  const step = fc.record({
    which: fc.nat(4),
    what: fc.constantFrom('set', 'set', 'set', 'clear', 'release'),
    ms: fc.oneof(fc.integer({ min: 800, max: 1100 }), fc.nat(1500), fc.nat(2 * TURN_MS)),
    pass: fc.oneof(fc.nat(300), fc.nat(5000)),
  })
  fc.assert(
    fc.property(fc.nat(1000), fc.array(step, { maxLength: 150, size: 'max' }), (start, steps) => {
      const bench = new Bench(null, start + 1)
      try {
        const due = new Map<string, number>()
        const faults: string[] = []
        const note = (name: string): void => {
          const at = due.get(name)
          due.delete(name)
          if (at === undefined) faults.push(`${name} was told though it was off`)
          else if (bench.time < at) faults.push(`${name} was told ${at - bench.time} ms early`)
          else if (bench.time > at + 2 * TICK_MS) faults.push(`${name} was told ${bench.time - at} ms late`)
        }
        const all = Array.from({ length: 5 }, (_, i) => bench.deadline(String(i), () => note(String(i))))
        for (const { which, what, ms, pass } of steps) {
          const deadline = all[which] as Deadline
          if (what === 'set') {
            deadline.set(ms)
            due.set(String(which), bench.time + ms)
          } else {
            deadline[what]()
            due.delete(String(which))
          }
          bench.advance(pass)
        }
        bench.advance(3 * TURN_MS)
        return faults.length === 0 && due.size === 0
      } finally {
        bench.wheel.close()
      }
    }),
    { numRuns: 200 },
  )
  t.end()
})

t.test('an owner that throws is told so, and the others are told as if it had not', (t) => {
  let now = 0
  const wheel = new DeadlineWheel(() => now)
  t.teardown(() => wheel.close())
  const told: string[] = []
  const owner = (name: string, throws: boolean): DeadlineOwner => ({
    onDeadline: () => {
      told.push(name)
      if (throws) throw new Error(`of ${name}`)
    },
    onThrown: (error) => told.push(`${error}`),
  })
  const broken = new Deadline(wheel, owner('b', true))
  for (const deadline of [new Deadline(wheel, owner('a', false)), broken, new Deadline(wheel, owner('c', false))])
    deadline.set(100)
  now = 1000
  wheel.turn()
  t.strictSame(told, ['c', 'b', 'Error: of b', 'a'])
  broken.set(100)
  now = 2000
  wheel.turn()
  t.strictSame(told.slice(4), ['b', 'Error: of b'], 'it may be set again')
  t.end()
})

t.test('the wheel turns by itself, and does not keep the process alive', async (t) => {
  const wheel = new DeadlineWheel()
  t.teardown(() => wheel.close())
  const begun = performance.now()
  const { promise, resolve } = Promise.withResolvers<number>()
  const alive = setTimeout(() => resolve(Number.POSITIVE_INFINITY), 5000) // the wheel's own timer would not
  new Deadline(wheel, { onDeadline: () => resolve(performance.now()), onThrown() {} }).set(200)
  const at = await promise
  clearTimeout(alive)
  t.ok(at - begun >= 200, `told after ${at - begun} ms`)
  t.ok(at - begun < 4000)
})
