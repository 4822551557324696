/** Several real threads on one board: what they count is exact, and what a dead one held is taken back. */
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { BACKEND, Board, LISTENER, SERVICE } from '../../lib/board/index.ts'
import type { CounterJob } from './fixtures/counter.ts'

const ENTRY = new URL('./fixtures/counter.ts', import.meta.url)
const ROUNDS = 20_000

interface Counted {
  readonly numbers: Int32Array
  /** Least active count that the thread saw while it had two flows. */
  readonly least: number
}

type Share = Pick<CounterJob, 'held' | 'end'>

/** Runs one thread for each entry of `shares`, all at once; resolves when all have ended. */
async function run(board: Board, shares: readonly Share[]): Promise<Counted[]> {
  const gate = new SharedArrayBuffer(4)
  return Promise.all(
    shares.map(async (share, thread) => {
      const job: CounterJob = {
        board: board.buffer,
        threads: board.threads,
        thread,
        gate,
        rounds: ROUNDS,
        ...share,
      }
      const worker = new Worker(ENTRY, { workerData: job })
      worker.on('error', () => undefined)
      let counted: Counted | undefined
      worker.on('message', (message: Counted) => {
        counted = message
      })
      await new Promise((resolve) => worker.once('exit', resolve))
      if (counted === undefined) throw new Error(`thread ${thread} ended without a word`)
      return counted
    }),
  )
}

t.test('four threads that count at once lose nothing and invent nothing', async (t) => {
  const board = new Board(4)
  const shares = [0, 1, 2, 3].map((held): Share => ({ held, end: 'return' }))
  const counted = await run(board, shares)
  const all = 4 * ROUNDS

  t.test('active counts are exact', (t) => {
    t.equal(board.active('service', 3), 6)
    t.equal(board.active('listener', 4), 6)
    t.equal(board.active('backend', 5), 6)
    t.ok(
      counted.every(({ least }) => least >= 2),
      'a thread always saw its own two flows',
    )
    t.end()
  })

  t.test('the sequence gives every number once', (t) => {
    const numbers = counted.flatMap((one) => [...one.numbers]).sort((a, b) => a - b)
    t.equal(numbers.length, all)
    t.ok(numbers.every((number, i) => number === i))
    for (const one of counted) t.ok(one.numbers.every((number, i) => i === 0 || number > (one.numbers[i - 1] ?? 0)))
    t.end()
  })

  t.test('totals are the sums over the threads', (t) => {
    t.equal(board.sum('service', 3, SERVICE.at.requests + 2), all)
    t.equal(board.sum('service', 3, SERVICE.at.bytesIn), 10 * all)
    t.equal(board.sum('service', 3, SERVICE.at.bytesOut), 1000 * all + (0 + 1 + 2 + 3) * ROUNDS)
    t.equal(board.sum('listener', 4, LISTENER.at.connections), all)
    t.equal(board.sum('backend', 5, BACKEND.at.requests + 5), all)
    t.equal(board.sum('backend', 5, BACKEND.at.connect), all)
    t.end()
  })

  t.test('no other row was touched', (t) => {
    for (const row of [2, 4]) t.equal(board.active('service', row), 0)
    for (const row of [3, 5]) t.equal(board.active('listener', row), 0)
    for (const row of [4, 6]) t.equal(board.active('backend', row), 0)
    for (let column = 0; column < SERVICE.width; column++)
      for (const row of [2, 4]) if (board.sum('service', row, column) !== 0) t.fail(`service ${row} column ${column}`)
    for (let column = 0; column < BACKEND.width; column++)
      for (const row of [4, 6]) if (board.sum('backend', row, column) !== 0) t.fail(`backend ${row} column ${column}`)
    t.end()
  })
})

t.test('what a thread held when it died is taken back, its totals and the other threads are not touched', async (t) => {
  const board = new Board(3)
  await run(board, [
    { held: 5, end: 'return' },
    { held: 7, end: 'throw' },
    { held: 0, end: 'throw' },
  ])
  t.equal(board.active('backend', 5), 12)
  board.reclaim(1)
  for (const [kind, row] of [
    ['service', 3],
    ['listener', 4],
    ['backend', 5],
  ] as const)
    t.equal(board.active(kind, row), 5, `${kind}: the share of the thread that lives`)
  board.reclaim(1)
  board.reclaim(2)
  t.equal(board.active('backend', 5), 5, 'doing it again takes nothing more')
  t.equal(board.sum('listener', 4, LISTENER.at.connections), 3 * ROUNDS, 'totals only rise')
  board.reclaim(0)
  t.equal(board.active('backend', 5), 0)
})
