/** The pool: what its policy sees, when it looks anew, and when nothing is decided yet. */
import fc from 'fast-check'
import t from 'tap'
import { ACCEPTS, BackendCell, Board, PoolCell, WEIGHT_UNIT } from '../../lib/board/index.ts'
import {
  BACKEND_STATES,
  Backend,
  type BackendState,
  type Flow,
  type Policy,
  type PolicyTools,
  Pool,
  stateToNumber,
} from '../../lib/pool/index.ts'
import { within } from '../support/eventually.ts'

const FLOW: Flow = { clientAddress: '10.0.0.1', affinityKey: '', hashKey: '' }
const POOL_ROW = 1

/** A policy that notes what it is shown, and picks the first that it may. */
class FirstOne implements Policy {
  readonly shown: (readonly { readonly name: string; readonly weight: number }[])[] = []
  #eligible: readonly Backend[] = []

  rebuild(eligible: readonly Backend[]): void {
    this.#eligible = eligible
    this.shown.push(eligible.map(({ name, weight }) => ({ name, weight })))
  }
  pick(_flow: Flow, avoid: ReadonlySet<Backend> | null): Backend | undefined {
    return this.#eligible.find((backend) => avoid?.has(backend) !== true)
  }
  get names(): readonly string[] {
    return this.shown.at(-1)?.map(({ name }) => name) ?? []
  }
}

/** What a flow gets that ends at once. */
function taken(pool: Pool): Backend | 'full' | undefined {
  const backend = pool.take(FLOW, null)
  if (backend instanceof Backend) pool.release(backend)
  return backend
}

const nameOf = (backend: ReturnType<typeof taken>): string | undefined =>
  backend instanceof Backend ? backend.name : backend

/** A pool of backends a, b, … with rows of their own on a fresh board. */
function rig(size: number) {
  const board = new Board(1)
  const policy = new FirstOne()
  const tools: PolicyTools[] = []
  const backends = Array.from(
    { length: size },
    (_, i) => new Backend(String.fromCharCode(97 + i), '127.0.0.1', 80, new BackendCell(board, 0, i)),
  )
  const cell = new PoolCell(board, 0, POOL_ROW)
  const pool = new Pool({
    backends,
    cell,
    policy: (given) => {
      tools.push(given)
      return policy
    },
    queue: { max: 10, timeout: 1000 },
    panics: false,
  })
  const publish = (row: number, state: BackendState, weight = 1): void => {
    const accepts = state === 'up' ? ACCEPTS.new | ACCEPTS.bound : 0
    board.publish(row, POOL_ROW, { state: stateToNumber(state), accepts, weight: weight * WEIGHT_UNIT, most: 0 })
  }
  return { board, policy, backends, pool, publish, tools, cell }
}

t.test('the policy sees those that are up with a weight above 0, in order, with their weights', (t) => {
  const { pool, policy, publish } = rig(7)
  for (const [row, state] of BACKEND_STATES.entries()) publish(row, state, 10 + row)
  publish(5, 'up', 0)
  publish(6, 'up', 256)
  t.equal(nameOf(taken(pool)), 'b')
  t.same(policy.shown, [
    [
      { name: 'b', weight: 11 },
      { name: 'g', weight: 256 },
    ],
  ])
  t.end()
})

t.test('a change is seen by the next pick; without one the policy is not built anew', (t) => {
  const { pool, policy, publish } = rig(3)
  for (const row of [0, 1, 2]) publish(row, 'up')
  for (let i = 0; i < 10; i++) taken(pool)
  t.equal(policy.shown.length, 1)
  publish(0, 'draining')
  t.equal(nameOf(taken(pool)), 'b')
  publish(1, 'down')
  publish(2, 'up', 7)
  t.equal(nameOf(taken(pool)), 'c')
  t.same(policy.shown.at(-1), [{ name: 'c', weight: 7 }])
  t.equal(policy.shown.length, 3)
  publish(0, 'up')
  t.equal(nameOf(taken(pool)), 'a')
  t.end()
})

t.test('a change of another pool does not concern it', (t) => {
  const { board, pool, policy, publish } = rig(2)
  publish(0, 'up')
  taken(pool)
  board.publish(9, POOL_ROW + 1, { state: stateToNumber('up'), accepts: ACCEPTS.new, weight: WEIGHT_UNIT, most: 0 })
  taken(pool)
  t.equal(policy.shown.length, 1)
  t.end()
})

t.test('none is picked while none is eligible, and the policy is not asked', (t) => {
  const { pool, policy, publish } = rig(2)
  policy.pick = () => t.fail('asked') as never
  t.equal(taken(pool), undefined)
  publish(0, 'down')
  publish(1, 'up', 0)
  t.equal(taken(pool), undefined)
  t.same(policy.names, [])
  t.end()
})

t.test('it is undecided while none is eligible and some were never probed', (t) => {
  const { pool, publish } = rig(2)
  t.equal(pool.undecided(), true, 'nothing is known')
  publish(0, 'down')
  t.equal(pool.undecided(), true, 'one is down, the other unknown')
  publish(1, 'up')
  t.equal(pool.undecided(), false, 'one is up')
  publish(0, 'unknown')
  t.equal(pool.undecided(), false, 'one is up, the other unknown')
  publish(1, 'maintenance')
  t.equal(pool.undecided(), true, 'none is up, one unknown again')
  publish(0, 'down')
  t.equal(pool.undecided(), false, 'all is known, and bad')
  t.end()
})

t.test('who waits for a change after a look gets the next one', async (t) => {
  const { pool, publish } = rig(1)
  t.equal(pool.undecided(), true)
  const waiting = pool.changed(60_000)
  publish(0, 'up')
  await within(waiting, 'the change')
  t.equal(pool.undecided(), false)
  publish(0, 'down')
  await within(pool.changed(60_000), 'a change that came before the wait')
})

t.test('the sequence of the pool is what its policies count by, and never negative', (t) => {
  const { tools, cell, board } = rig(1)
  const next = (): number => tools[0]?.next() ?? -1
  t.same([next(), next(), next()], [0, 1, 2])
  t.equal(cell.nextInSequence(), 3)
  const at = board.words.indexOf(4)
  t.ok(at >= 0, 'the word of the sequence')
  board.words[at] = 0x7fff_fffe
  t.same([next(), next(), next(), next()], [0x7fff_fffe, 0x7fff_ffff, 0, 1])
  t.end()
})

t.test('whatever is published in whatever order, the policy sees the eligible and nothing else', (t) => {
  const change = fc.record({
    row: fc.nat(4),
    state: fc.constantFrom(...BACKEND_STATES),
    weight: fc.constantFrom(0, 1, 2, 256),
    look: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const { pool, policy, publish, backends } = rig(5)
      const known = new Map<number, { state: BackendState; weight: number }>()
      for (const { row, state, weight, look } of [
        ...changes,
        { row: 0, state: 'up', weight: 1, look: true } as const,
      ]) {
        publish(row, state, weight)
        known.set(row, { state, weight })
        if (!look) continue
        const eligible = [...backends.keys()].filter((i) => known.get(i)?.state === 'up' && known.get(i)?.weight !== 0)
        const undecided =
          eligible.length === 0 && backends.some((_, i) => (known.get(i)?.state ?? 'unknown') === 'unknown')
        if (pool.undecided() !== undecided) return false
        const picked = taken(pool)
        if (picked !== (eligible[0] === undefined ? undefined : backends[eligible[0]])) return false
        const seen = policy.shown.at(-1)
        if (
          JSON.stringify(seen) !==
          JSON.stringify(eligible.map((i) => ({ name: backends[i]?.name, weight: known.get(i)?.weight })))
        )
          return false
      }
      return true
    }),
    { numRuns: 100 },
  )
  t.end()
})
