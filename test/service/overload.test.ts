/** When memory or descriptors count as short, and what is told of it. */
import t from 'tap'
import { Board, ThreadCell } from '../../lib/board/index.ts'
import { Heartbeat } from '../../lib/datapaths/heartbeat.ts'
import { descriptorMeans, MemoryUse, memoryMeans } from '../../lib/service/means.ts'
import { isShort, OverloadWatch } from '../../lib/service/overload.ts'

t.test('short above the threshold, and until it is a tenth lower', (t) => {
  const rows: readonly (readonly [used: number, threshold: number, before: boolean, short: boolean])[] = [
    [0, 0.8, false, false],
    [800, 0.8, false, false],
    [801, 0.8, false, true],
    [721, 0.8, true, true],
    [720, 0.8, true, false],
    [1000, 0.8, true, true],
    [5000, 1, false, false],
    [5000, 1, true, false],
    [1, 0, false, true],
  ]
  for (const [used, threshold, before, short] of rows)
    t.equal(
      isShort({ used, most: 1000 }, threshold, before),
      short,
      `${used} of 1000 at ${threshold}, before ${before}`,
    )
  t.notOk(isShort({ used: 10, most: Number.POSITIVE_INFINITY }, 0.5, false), 'what nobody knows is never short')
  t.end()
})

function rig() {
  const board = new Board(1)
  const used = { memory: 0, descriptors: 0 }
  const rest = { connections: 0, late: { threads: [] as number[], delay: 0 } }
  const told: (readonly [level: string, reason: unknown, text: string])[] = []
  let collected = 0
  const say = (level: string) => (about: object, text: string) => {
    told.push([level, (about as { reason: unknown }).reason, text])
  }
  const means = (what: 'memory' | 'descriptors') => () => ({
    used: used[what],
    most: what === 'memory' ? 1024 ** 3 : 1000,
  })
  const watch = new OverloadWatch({
    limits: { memory: 0.8, descriptors: 0.9, connections: 100, delay: 500 },
    board,
    log: { info: say('info'), warn: say('warn') } as never,
    means: { memory: means('memory'), descriptors: means('descriptors') },
    connections: () => rest.connections,
    late: () => rest.late,
    collect: () => {
      collected++
    },
  })
  return { board, used, rest, told, watch, collected: () => collected }
}

t.test('one line for each change, and one word for all threads', async (t) => {
  const { board, used, told, watch } = rig()
  await watch.look()
  t.equal(board.overload, 0)
  used.descriptors = 930
  for (let i = 0; i < 5; i++) await watch.look()
  t.equal(board.overload, 2)
  used.descriptors = 850
  await watch.look()
  t.equal(board.overload, 2, 'not yet low enough')
  used.descriptors = 300
  for (let i = 0; i < 5; i++) await watch.look()
  t.equal(board.overload, 0)
  t.strictSame(told, [
    [
      'warn',
      'descriptors',
      'file descriptors run short: 930 of 1000 are in use; new connections are refused until it is 810',
    ],
    ['info', 'descriptors', 'file descriptors suffice again: 300 of 1000 are in use; new connections are accepted'],
  ])
})

t.test('either is enough, and both must recover', async (t) => {
  const { board, used, told, watch } = rig()
  used.memory = 900 * 1024 * 1024
  used.descriptors = 1000
  await watch.look()
  t.equal(board.overload, 3)
  used.descriptors = 0
  await watch.look()
  t.equal(board.overload, 1)
  used.memory = 0
  await watch.look()
  t.equal(board.overload, 0)
  t.equal(told.length, 4)
  t.equal(
    told[0]?.[2],
    'memory run short: 900 MiB of 1024 MiB are in use; new connections are refused until it is 737 MiB',
  )
})

t.test('connections: at the limit it is full, until there are a tenth less', async (t) => {
  const { board, rest, told, watch } = rig()
  rest.connections = 99
  watch.glance()
  t.equal(board.overload, 0)
  rest.connections = 100
  for (let i = 0; i < 3; i++) watch.glance()
  t.equal(board.overload, 4)
  t.strictSame(watch.short, ['connections'])
  rest.connections = 91
  watch.glance()
  t.equal(board.overload, 4)
  rest.connections = 90
  watch.glance()
  t.equal(board.overload, 0)
  t.equal(told.length, 2, 'one line for each change')
  t.equal(told[0]?.[2], 'connections run short: 100 of 100 are in use; new connections are refused until it is 90')
})

t.test('threads that shed load by themselves are told of, and shut nobody else', async (t) => {
  const { board, rest, told, watch } = rig()
  t.equal(board.delayLimit, 500, 'they know the limit')
  rest.late = { threads: [1], delay: 812 }
  for (let i = 0; i < 3; i++) watch.glance()
  t.strictSame(watch.short, ['delay'])
  t.equal(board.overload, 0)
  rest.late = { threads: [], delay: 0 }
  for (let i = 0; i < 3; i++) watch.glance()
  t.strictSame(watch.short, [])
  t.strictSame(told, [
    ['warn', 'delay', "data thread 1 can't keep up, 812 ms late: what is new is refused there"],
    ['info', 'delay', 'data threads keep up again: new connections and requests are accepted'],
  ])
})

t.test('a thread sheds load after three late beats in a row, until it was well for a second', (t) => {
  const board = new Board(1)
  board.delayLimit = 500
  let now = 0
  const heart = new Heartbeat(
    new ThreadCell(board, 0),
    () => board.delayLimit,
    null,
    () => now,
  )
  heart.start()
  t.teardown(() => heart.stop())
  const beat = (late: number): boolean => {
    now += 100 + late
    heart.beat()
    return heart.shedding
  }
  t.strictSame([600, 600, 0, 600, 600, 600].map(beat), [false, false, false, false, false, true])
  t.equal(board.pulse(0).shedding, true)
  t.equal(board.pulse(0).delay, 600)
  for (let i = 0; i < 9; i++) t.ok(beat(0))
  t.ok(beat(300), 'more than half of the limit')
  for (let i = 0; i < 9; i++) t.ok(beat(0))
  t.notOk(beat(0))
  for (let i = 0; i < 3; i++) beat(600)
  t.ok(heart.shedding)
  board.delayLimit = 0
  for (let i = 0; i < 10; i++) beat(600)
  t.notOk(heart.shedding, 'switched off')
  t.end()
})

t.test('garbage is collected when memory runs short, and again now and then while it does', async (t) => {
  const { used, watch, collected } = rig()
  used.descriptors = 1000
  await watch.look()
  t.equal(collected(), 0)
  used.memory = 900 * 1024 * 1024
  await watch.look()
  t.equal(collected(), 1, 'at once')
  for (let i = 0; i < 10; i++) await watch.look()
  t.equal(collected(), 3, 'and every fifth time')
  used.memory = 0
  for (let i = 0; i < 10; i++) await watch.look()
  t.equal(collected(), 3)
})

t.test('a look that is slow is not overtaken by the next', async (t) => {
  let looks = 0
  let answer: () => void = () => undefined
  const slow = (): Promise<{ used: number; most: number }> => {
    looks++
    return new Promise((resolve) => {
      answer = () => resolve({ used: 0, most: 1 })
    })
  }
  const watch = new OverloadWatch({
    limits: { memory: 0.8, descriptors: 0.9, connections: 100, delay: 500 },
    board: { setOverload() {}, delayLimit: 0 },
    connections: () => 0,
    late: () => ({ threads: [], delay: 0 }),
    log: { info() {}, warn() {} } as never,
    means: { memory: () => ({ used: 0, most: 1 }), descriptors: slow },
    collect() {},
  })
  const first = watch.look()
  await watch.look()
  t.equal(looks, 1)
  answer()
  await first
  const next = watch.look()
  await Promise.resolve()
  t.equal(looks, 2)
  answer()
  await next
})

t.test('memory that was freed and is kept by the allocator counts as free', (t) => {
  const use = new MemoryUse()
  const looks: readonly (readonly [resident: number, held: number, used: number])[] = [
    [200, 50, 200],
    [900, 600, 900], // a crowd
    [910, 100, 410], // it is gone, the process is as large as before
    [920, 110, 430],
    [920, 500, 820], // another crowd takes what is there
    [950, 700, 950],
    [700, 200, 450], // half of what was freed is given back
    [300, 60, 300], // all of it
    [800, 60, 800], // what heaps know nothing of is in use
  ]
  for (const [resident, held, used] of looks) t.equal(use.of(resident, held), used, `${resident}, ${held}`)
  t.end()
})

t.test('what this process has and uses', async (t) => {
  const memory = memoryMeans(new MemoryUse(), 0)
  t.ok(memory.used > 10 * 1024 * 1024 && memory.used < memory.most)
  const before = await descriptorMeans()
  t.ok(before.used > 3 && before.used < before.most)
})
