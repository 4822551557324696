/** The queue of a pool: its order over two data threads, its bound, and what becomes of the places of those that leave or die. */
import t from 'tap'
import { ACCEPTS, BackendCell, Board, PoolCell, WEIGHT_UNIT } from '../../lib/board/index.ts'
import { Backend, type BackendState, FULL, Pool, stateToNumber, type Waiter } from '../../lib/pool/index.ts'
import { eventually } from '../support/eventually.ts'

const FLOW = { clientAddress: '10.0.0.1', affinityKey: '', hashKey: '' }

/** The same pool of `most.length` backends as each of `threads` data threads sees it. */
function rig(threads: number, most: readonly number[], max = 100) {
  const board = new Board(threads)
  const publish = (row: number, state: BackendState): void =>
    board.publish(row, 0, {
      state: stateToNumber(state),
      accepts: state === 'up' ? ACCEPTS.new : 0,
      weight: WEIGHT_UNIT,
      most: most[row] ?? 0,
    })
  const pools = Array.from({ length: threads }, (_, thread) => {
    const backends = most.map((_, row) => new Backend(`b${row}`, '127.0.0.1', 80, new BackendCell(board, thread, row)))
    return new Pool({
      backends,
      cell: new PoolCell(board, thread, 0),
      policy: () => {
        let eligible: readonly Backend[] = []
        return {
          rebuild: (all) => {
            eligible = all
          },
          pick: (_flow, avoid) => eligible.find((backend) => avoid?.has(backend) !== true),
        }
      },
      queue: { max, timeout: 1000 },
      panics: false,
    })
  })
  for (const row of most.keys()) publish(row, 'up')
  return { board, pools, publish }
}

/** Flows that wait, and what they got in the order in which they got it. */
function waiters() {
  const got: string[] = []
  const held: { pool: Pool; backend: Backend }[] = []
  const waiter = (pool: Pool, name: string): Waiter => ({
    onRoom: () => {
      const taken = pool.take(FLOW, null, true)
      if (taken === FULL) return false
      got.push(taken === undefined ? `${name}: none` : name)
      if (taken !== undefined) held.push({ pool, backend: taken })
      return true
    },
  })
  return { got, held, waiter }
}

const must = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('nothing there')
  return value
}
const backendOf = (taken: ReturnType<Pool['take']>): Backend => {
  if (!(taken instanceof Backend)) throw new Error(`no backend: ${taken}`)
  return taken
}

t.test('no backend ever has more flows than it may, over all threads', (t) => {
  const { board, pools } = rig(2, [2, 1])
  const taken = Array.from({ length: 5 }, (_, i) => must(pools[i % 2]).take(FLOW, null))
  t.same(
    taken.map((each) => (each instanceof Backend ? each.name : each)),
    ['b0', 'b0', 'b1', FULL, FULL],
  )
  t.same([board.active('backend', 0), board.active('backend', 1)], [2, 1])
  t.end()
})

t.test('places are given in the order of the coming, whichever thread the flows are in', async (t) => {
  const { pools, board } = rig(2, [1])
  const [a, b] = [must(pools[0]), must(pools[1])]
  const { got, held, waiter } = waiters()
  held.push({ pool: a, backend: backendOf(a.take(FLOW, null)) })
  const order = [a, b, a, a, b, b, a, b]
  for (const [i, pool] of order.entries()) t.ok(pool.queue.join(waiter(pool, `${i}`)))
  t.equal(board.active('pool', 0), order.length)
  for (let i = 0; i < order.length; i++) {
    const { pool, backend } = must(held.shift())
    pool.release(backend)
    await eventually(`place ${i}`, () => got.length === i + 1)
  }
  t.same(got, ['0', '1', '2', '3', '4', '5', '6', '7'])
  t.equal(board.active('pool', 0), 0)
})

t.test('two places that come free at once are both given, in order, to flows of different threads', async (t) => {
  const { pools } = rig(2, [2])
  const [a, b] = [must(pools[0]), must(pools[1])]
  const { got, waiter } = waiters()
  const first = [backendOf(a.take(FLOW, null)), backendOf(b.take(FLOW, null))]
  for (const [i, pool] of [b, a, b].entries()) pool.queue.join(waiter(pool, `${i}`))
  a.release(must(first[0]))
  b.release(must(first[1]))
  await eventually('both', () => got.length === 2)
  t.same(got, ['0', '1'])
})

t.test('nobody overtakes those who wait', async (t) => {
  const { pools } = rig(1, [1])
  const pool = must(pools[0])
  const { got, held, waiter } = waiters()
  const backend = backendOf(pool.take(FLOW, null))
  pool.queue.join(waiter(pool, 'first'))
  pool.release(backend)
  t.equal(pool.take(FLOW, null), FULL, 'there is room, and somebody waits for it')
  await eventually('the first', () => got.length === 1)
  pool.release(must(held[0]).backend)
  t.ok(pool.take(FLOW, null) instanceof Backend)
})

t.test('as many wait as may, over all threads, and no more', (t) => {
  const { pools, board } = rig(2, [1], 3)
  const [a, b] = [must(pools[0]), must(pools[1])]
  a.take(FLOW, null)
  const { waiter } = waiters()
  const joined = [a, b, a, b].map((pool, i) => pool.queue.join(waiter(pool, `${i}`)))
  t.same(joined, [true, true, true, false])
  t.equal(board.active('pool', 0), 3)
  t.end()
})

t.test('who leaves makes way for the next, in another thread too', async (t) => {
  const { pools, board } = rig(2, [1])
  const [a, b] = [must(pools[0]), must(pools[1])]
  const { got, waiter } = waiters()
  const backend = backendOf(a.take(FLOW, null))
  const first = waiter(a, 'first')
  a.queue.join(first)
  b.queue.join(waiter(b, 'second'))
  a.queue.leave(first)
  a.queue.leave(first)
  t.equal(board.active('pool', 0), 1, 'counted once')
  a.release(backend)
  await eventually('the second', () => got.length === 1)
  t.same(got, ['second'])
})

t.test('a thread that dies with the first of the queue does not hold up the others', async (t) => {
  const { pools, board } = rig(2, [1])
  const [a, b] = [must(pools[0]), must(pools[1])]
  const { got, waiter } = waiters()
  backendOf(a.take(FLOW, null)) // dies with its thread
  a.queue.join({ onRoom: () => false })
  b.queue.join(waiter(b, 'survivor'))
  board.reclaim(0)
  await eventually('the survivor', () => got.length === 1)
  t.equal(board.active('pool', 0), 0)
})

t.test('when the last backend goes, those who wait are told', async (t) => {
  const { pools, publish } = rig(1, [1])
  const pool = must(pools[0])
  const { got, waiter } = waiters()
  pool.take(FLOW, null)
  pool.queue.join(waiter(pool, 'a'))
  pool.queue.join(waiter(pool, 'b'))
  publish(0, 'down')
  await eventually('both', () => got.length === 2)
  t.same(got, ['a: none', 'b: none'])
})
