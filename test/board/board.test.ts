/** The board in one thread: rows apart from each other, waiting for a change, memory, and the book of rows. */
import t from 'tap'
import {
  ACCEPTS,
  BACKEND,
  BackendCell,
  Board,
  BUCKETS,
  CODE_CLASSES,
  HANDSHAKES,
  LISTENER,
  ListenerCell,
  MAX_ROWS,
  PoolCell,
  REASONS,
  RETRY_REASONS,
  RowBook,
  type RowKind,
  SERVICE,
  ServiceCell,
} from '../../lib/board/index.ts'
import { within } from '../support/eventually.ts'

const MIB = 1024 * 1024

t.test('a board for eight threads costs less than 8 MiB while nobody counts on it', (t) => {
  const before = process.memoryUsage.rss()
  const board = new Board(8)
  const after = process.memoryUsage.rss()
  t.ok(board.buffer.byteLength > 16 * MIB, 'there is room for many')
  t.ok(after - before < 8 * MIB, `${((after - before) / MIB).toFixed(1)} MiB`)
  const cell = new BackendCell(board, 7, MAX_ROWS.backend - 1)
  cell.begin()
  t.equal(board.active('backend', MAX_ROWS.backend - 1), 1, 'the last row of the last thread is there')
  t.end()
})

t.test('every row has cells of its own, from the first to the last', (t) => {
  const board = new Board(2)
  const make = {
    service: (thread: number, row: number) => new ServiceCell(board, thread, row),
    listener: (thread: number, row: number) => new ListenerCell(board, thread, row),
    backend: (thread: number, row: number) => new BackendCell(board, thread, row),
  }
  const rows = (kind: RowKind): number[] => [0, 1, MAX_ROWS[kind] >> 1, MAX_ROWS[kind] - 2, MAX_ROWS[kind] - 1]
  const expected = new Map<string, number>()
  let flows = 0
  for (const kind of ['service', 'listener', 'backend'] as const)
    for (const row of rows(kind)) {
      expected.set(`${kind} ${row}`, ++flows)
      for (let i = 0; i < flows; i++) make[kind](i % 2, row).begin()
    }
  for (const kind of ['service', 'listener', 'backend'] as const)
    for (const row of rows(kind)) t.equal(board.active(kind, row), expected.get(`${kind} ${row}`), `${kind} ${row}`)
  board.reclaim(0)
  board.reclaim(1)
  for (const kind of ['service', 'listener', 'backend'] as const)
    for (const row of rows(kind)) t.equal(board.active(kind, row), 0, `${kind} ${row} reclaimed`)
  t.end()
})

t.test('a second view of the same memory sees what the first one wrote', (t) => {
  const board = new Board(2)
  const other = new Board(2, board.buffer)
  new ListenerCell(board, 1, 9).connection()
  new ServiceCell(board, 0, 9).begin()
  t.equal(other.sum('listener', 9, LISTENER.at.connections), 1)
  t.equal(other.active('service', 9), 1)
  t.end()
})

t.test('each thing that is counted has a column of its own', (t) => {
  const board = new Board(1)
  const service = new ServiceCell(board, 0, 0)
  const backend = new BackendCell(board, 0, 0)
  const counts: readonly (readonly [what: string, kind: 'service' | 'backend', column: number, count: () => void])[] = [
    ...REASONS.map((r, i) => [r, 'service', SERVICE.at.errors + i, () => service.error(r)] as const),
    ...RETRY_REASONS.map((r, i) => [r, 'service', SERVICE.at.retries + i, () => service.retry(r)] as const),
    ...HANDSHAKES.map((name, i) => {
      const [version = '', resumed] = name.split(' ')
      return [
        name,
        'service',
        SERVICE.at.handshakes + i,
        () => service.handshake(version, resumed !== undefined),
      ] as const
    }),
    ['bytes in', 'service', SERVICE.at.bytesIn, () => service.bytes(1, 0)],
    ['bytes out', 'service', SERVICE.at.bytesOut, () => service.bytes(0, 1)],
    ['a failed handshake', 'service', SERVICE.at.handshakeFailures, () => service.handshakeFailure('timeout')],
    ...CODE_CLASSES.map(
      (name, i) => [name, 'backend', BACKEND.at.requests + i, () => backend.request(i * 100)] as const,
    ),
    ['a failed connect', 'backend', BACKEND.at.connectFailures, () => backend.connectFailure()],
  ]
  const columns = new Set<string>()
  for (const [what, kind, column, count] of counts) {
    const width = kind === 'service' ? SERVICE.width : BACKEND.width
    const before = Array.from({ length: width }, (_, i) => board.sum(kind, 0, i))
    count()
    const changed = before.flatMap((sum, i) =>
      board.sum(kind, 0, i) === sum ? [] : [[i, board.sum(kind, 0, i) - sum]],
    )
    t.same(changed, [[column, 1]], what)
    columns.add(`${kind} ${column}`)
  }
  t.equal(columns.size, counts.length, 'no column is used twice')
  service.handshake('TLSv1.1', false)
  t.equal(board.sum('service', 0, SERVICE.width), 0, 'a version that is not in the list is counted nowhere')
  t.end()
})

t.test('a status outside of 100 to 599 counts as none', (t) => {
  const board = new Board(1)
  const cell = new BackendCell(board, 0, 0)
  for (const status of [0, 99, 600, 999, -1]) cell.request(status)
  for (const status of [100, 199, 200, 299, 304, 404, 500, 599]) cell.request(status)
  t.same(
    CODE_CLASSES.map((_, i) => board.sum('backend', 0, BACKEND.at.requests + i)),
    [5, 2, 2, 1, 1, 2],
  )
  t.end()
})

t.test('an observation goes into the first bucket whose bound it does not pass, and into the sum', (t) => {
  const board = new Board(1)
  const cell = new BackendCell(board, 0, 0)
  const buckets = (): number[] =>
    Array.from({ length: BUCKETS.length + 1 }, (_, i) => board.sum('backend', 0, BACKEND.at.response + i))
  let sum = 0
  for (const [i, bound] of [...BUCKETS, 1000].entries()) {
    const before = buckets()
    const below = BUCKETS[i - 1] ?? 0
    for (const seconds of [bound, (bound + below) / 2]) {
      cell.responded(seconds * 1000)
      sum += seconds
    }
    t.same(
      buckets().map((count, k) => count - (before[k] ?? 0)),
      before.map((_, k) => (k === i ? 2 : 0)),
      `up to ${bound} s`,
    )
  }
  t.ok(Math.abs(board.sum('backend', 0, BACKEND.at.response + BUCKETS.length + 1) - sum) < 1e-6, 'the sum, in seconds')
  t.equal(board.sum('backend', 0, BACKEND.at.connect), 0, 'the neighbouring histogram is not touched')
  t.end()
})

t.test('publishing tells what was decided of a backend, and wakes those who wait for its pool', async (t) => {
  const board = new Board(1)
  const pool = new PoolCell(board, 0, 2)
  const backend = new BackendCell(board, 0, 7)
  const seen = pool.epoch()
  const waiting = [pool.changed(seen, 60_000), pool.changed(seen, 60_000)]
  board.publish(7, 2, { state: 3, accepts: ACCEPTS.bound, weight: 12_800, most: 9 })
  await within(Promise.all(waiting), 'both to be woken')
  t.equal(backend.state(), 3)
  t.equal(backend.accepts(), ACCEPTS.bound)
  t.equal(backend.weight(), 128)
  t.equal(backend.most(), 9)
  t.not(pool.epoch(), seen)
  await within(pool.changed(seen, 60_000), 'one who comes too late')
})

t.test('a change wakes those who wait for its pool, and nobody else', async (t) => {
  const board = new Board(1)
  const woken: number[] = []
  const waiting = [1, 2, 3].map(async (row) => {
    const pool = new PoolCell(board, 0, row)
    await pool.changed(pool.epoch(), 60_000)
    woken.push(row)
  })
  board.publish(7, 1, { state: 1, accepts: 1, weight: 1, most: 0 })
  board.publish(8, 3, { state: 1, accepts: 1, weight: 1, most: 0 })
  await within(Promise.all([waiting[0], waiting[2]]), 'the wake-up of pools 1 and 3')
  t.same(woken.sort(), [1, 3])
  board.publish(9, 2, { state: 1, accepts: 1, weight: 1, most: 0 })
  await within(Promise.all(waiting), 'the wake-up of pool 2')
})

t.test('who waits for a change that does not come is told when the time is up', async (t) => {
  const pool = new PoolCell(new Board(1), 0, 0)
  const begun = performance.now()
  await within(pool.changed(pool.epoch(), 30), 'the end of the wait')
  t.ok(performance.now() - begun >= 29)
})

t.test('a change from another view of the board wakes those who wait', async (t) => {
  const board = new Board(1)
  const pool = new PoolCell(board, 0, 0)
  const waiting = pool.changed(pool.epoch(), 60_000)
  new Board(1, board.buffer).publish(0, 0, { state: 1, accepts: 1, weight: 1, most: 0 })
  await within(waiting, 'the wake-up')
  t.pass('woken')
})

t.test('the same key has the same row for good, another key has another', (t) => {
  const book = new RowBook()
  const rows = ['a', 'b', 'a/b', 'a', 'b'].map((key) => book.row('service', key))
  t.same(rows, [0, 1, 2, 0, 1])
  t.equal(book.row('backend', 'a'), 0, 'kinds are counted apart')
  for (const key of ['__proto__', 'constructor', 'toString', ''])
    t.equal(book.row('listener', key), book.row('listener', key))
  t.equal(book.row('listener', 'last'), 4)
  t.end()
})

t.test('a full board says what had no room, and still knows the rows it gave', (t) => {
  const book = new RowBook()
  for (let i = 0; i < MAX_ROWS.service; i++) book.row('service', `s${i}`)
  t.throws(() => book.row('service', 'one-more'), {
    code: 'BOARD_FULL',
    message: `no room for service one-more: ${MAX_ROWS.service} are in use`,
  })
  t.equal(book.row('service', 's4095'), 4095)
  t.equal(book.row('backend', 'b'), 0)
  t.end()
})
