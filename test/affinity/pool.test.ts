/** Affinity before the policy: who keeps its backend, and who is bound anew. */
import t from 'tap'
import { ACCEPTS, type AffinityResult, PoolCell } from '../../lib/board/index.ts'
import { policies } from '../../lib/policies/index.ts'
import { type Backend, FULL, type PolicyFactory, Pool, stateToNumber } from '../../lib/pool/index.ts'
import { flow, rigOf } from './fixtures/rig.ts'

const ALL = ACCEPTS.new | ACCEPTS.bound | ACCEPTS.panic
const ALICE = flow('192.0.2.1')

function rig(options: { panics?: boolean; most?: number } = {}) {
  const given = rigOf({ type: 'source-ip' })
  const { board, backends, built } = given
  const results: AffinityResult[] = []
  const pool = new Pool({
    backends,
    cell: new PoolCell(board, 0, 0),
    policy: policies.get('round-robin') as PolicyFactory,
    queue: { max: 10, timeout: 1000 },
    panics: options.panics ?? false,
    affinity: built.affinity,
    onAffinity: (result) => results.push(result),
  })
  const publish = (row: number, state: 'up' | 'draining' | 'down', accepts: number, weight = 1) =>
    board.publish(row, 0, { state: stateToNumber(state), accepts, weight, most: options.most ?? 0 })
  for (const row of backends.keys()) publish(row, 'up', ALL)
  const nameOf = (taken: Backend | typeof FULL | undefined) => (typeof taken === 'object' ? taken.name : taken)
  return {
    ...given,
    pool,
    publish,
    results,
    take: (who = ALICE, avoid: ReadonlySet<Backend> | null = null) => nameOf(pool.take(who, avoid)),
  }
}

t.test('a client stays where it is while others go round', (t) => {
  const { take, results } = rig()
  const first = take()
  for (let i = 0; i < 10; i++) {
    take(flow(`198.51.100.${i}`))
    t.equal(take(), first)
  }
  t.same(results.filter((result) => result === 'miss').length, 11)
  t.same(results.filter((result) => result === 'hit').length, 10)
  t.end()
})

t.test(
  'a draining backend keeps its bound clients and takes no new ones; when the drain’s time is up they go elsewhere',
  (t) => {
    const { take, publish, results } = rig()
    t.equal(take(), 'a')
    publish(0, 'draining', ACCEPTS.bound | ACCEPTS.panic)
    for (let i = 0; i < 6; i++) t.not(take(flow(`198.51.100.${i}`)), 'a')
    t.equal(take(), 'a')
    publish(0, 'draining', ACCEPTS.panic)
    const next = take()
    t.not(next, 'a')
    t.equal(results.at(-1), 'broken')
    publish(0, 'up', ALL)
    for (let i = 0; i < 4; i++) t.equal(take(), next, 'and it stays there when the old one is back')
    t.end()
  },
)

t.test('a failing backend loses its clients at once', (t) => {
  const { take, publish } = rig()
  t.equal(take(), 'a')
  publish(0, 'down', 0)
  const next = take()
  t.not(next, 'a')
  t.equal(take(), next)
  t.end()
})

t.test('a draining backend serves its clients even when no backend takes new ones', (t) => {
  const { take, publish } = rig()
  t.equal(take(), 'a')
  publish(0, 'draining', ACCEPTS.bound)
  publish(1, 'down', 0)
  publish(2, 'down', 0)
  t.equal(take(), 'a')
  t.equal(take(flow('198.51.100.1')), undefined)
  t.end()
})

t.test('weight 0 takes no new clients and keeps those that it has', (t) => {
  const { take, publish } = rig()
  t.equal(take(), 'a')
  publish(0, 'up', ALL, 0)
  t.equal(take(), 'a')
  for (let i = 0; i < 6; i++) t.not(take(flow(`198.51.100.${i}`)), 'a')
  t.end()
})

t.test('a backend that just failed for this flow is not tried again, and the client is bound anew', (t) => {
  const { take, backends } = rig()
  t.equal(take(), 'a')
  const tried = new Set(backends.slice(0, 1))
  const next = take(ALICE, tried)
  t.not(next, 'a')
  t.equal(take(), next)
  t.end()
})

t.test('in a panic the bound one is used as long as it is among those that are', (t) => {
  const { take, publish } = rig({ panics: true })
  t.equal(take(), 'a')
  publish(0, 'down', ACCEPTS.panic)
  publish(1, 'down', ACCEPTS.panic)
  publish(2, 'down', 0)
  for (let i = 0; i < 4; i++) t.equal(take(), 'a')
  publish(1, 'up', ALL)
  t.equal(take(), 'b', 'the panic is over')
  t.end()
})

t.test('a bound backend that is full sends its client elsewhere; when all are full it waits and loses nothing', (t) => {
  const { take, pool, backends } = rig({ most: 1 })
  t.equal(take(), 'a')
  t.equal(take(), 'b', 'a is full')
  t.equal(take(), 'c')
  t.equal(take(), FULL)
  const [, b, c] = backends
  if (b === undefined || c === undefined) throw new Error('three backends')
  pool.release(b)
  pool.release(c)
  t.equal(take(), 'c', 'where it was bound last')
  t.end()
})

t.test('of two threads that place a new client at once, the second follows the first', (t) => {
  const { take, built, board, clock, results } = rig()
  const other = rigOf({ type: 'source-ip' }, { board, clock, thread: 1 })
  const { find } = built.affinity
  let raced = false
  built.affinity.find = (who) => {
    const found = find.call(built.affinity, who)
    const [, , c] = other.backends
    if (!raced && c !== undefined) other.built.affinity.bind(who, c, undefined)
    raced = true
    return found
  }
  t.equal(take(), 'c', 'the policy would have said a')
  t.equal(board.active('backend', 0), 0, 'and a does not count it')
  t.equal(board.active('backend', 2), 1)
  t.same(results, ['miss'])
  t.end()
})
