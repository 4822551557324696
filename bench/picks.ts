/**
 * What a pick costs as services grow: `node bench/picks.ts`. One service with three backends, and one with ten, against 1,000
 * services with ten each, in CPU time: the second tells what more backends cost, and not more services. A pick is all of it: the look for changes, the policy, the counts of begin and end. Picks come in runs
 * for one service, as a busy one has them, and for another service each time, when none of its memory is in a cache.
 */
import { parseArgs } from 'node:util'
import { BackendCell, Board, PoolCell } from '../lib/board/index.ts'
import { policies, policyFactory } from '../lib/policies/index.ts'
import { acceptsOf, Backend, type Flow, NO_FACTS, Pool, stateToNumber } from '../lib/pool/index.ts'

const SMALL = { services: 1, backends: 3 }
const WIDE = { services: 1, backends: 10 }
const LARGE = { services: 1000, backends: 10 }
const PICKS = 200_000 // a round: some tens of milliseconds
const OPEN = 64 // flows in progress, as in the scenarios of `npm run bench`
const ROUNDS = 15
const RUN = 256 // picks in a row for one service: a few milliseconds of requests
const FLOWS: readonly Flow[] = Array.from({ length: 4096 }, (_, i) => ({
  clientAddress: `10.${i & 255}.${i >> 8}.7`,
  affinityKey: '',
  hashKey: '',
}))

/** Every pool of so many services, with all backends up. */
function poolsOf(balance: string, { services, backends }: typeof SMALL): Pool[] {
  const board = new Board(1)
  const facts = { ...NO_FACTS, health: 'passing' as const }
  const policy = policyFactory(balance, { boundedLoad: 1.5 })
  if (policy === undefined) throw new Error(`there is no policy ${balance}`)
  return Array.from({ length: services }, (_, service) => {
    const members = Array.from({ length: backends }, (_, i) => {
      const row = service * backends + i
      board.publish(row, service, { state: stateToNumber('up'), accepts: acceptsOf(facts), weight: 100, most: 0 })
      const cell = new BackendCell(board, 0, row)
      cell.took(5 + (row % 7), performance.now())
      board.setLoad(row, service, (row * 13) % 90)
      return new Backend(`s${service}-b${i}`, '10.0.0.1', 80, cell)
    })
    const queue = { max: 0, timeout: 0 }
    return new Pool({ backends: members, cell: new PoolCell(board, 0, service), policy, queue, panics: false })
  })
}

/** Nanoseconds of one pick, its begin and its end, over pools in a random order. */
function round(pools: readonly Pool[], order: Uint32Array): number {
  const open: { pool: Pool; backend: Backend }[] = []
  const begun = process.threadCpuUsage()
  for (let i = 0; i < PICKS; i++) {
    const pool = pools[order[i & (order.length - 1)] as number] as Pool
    const backend = pool.take(FLOWS[i & 4095] as Flow, null)
    if (!(backend instanceof Backend)) throw new Error('nothing was picked')
    const old = open[i % OPEN]
    if (old === undefined) open.push({ pool, backend })
    else {
      old.pool.release(old.backend)
      old.pool = pool
      old.backend = backend
    }
  }
  const { user, system } = process.threadCpuUsage(begun)
  for (const { pool, backend } of open) pool.release(backend)
  return ((user + system) * 1000) / PICKS
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** For each pick of a round, the number of its service: so many in a row for the same. */
function orderOf(services: number, run: number): Uint32Array {
  const order = new Uint32Array(65_536)
  for (let i = 0; i < order.length; i++)
    order[i] = i % run === 0 ? Math.floor(Math.random() * services) : (order[i - 1] as number)
  return order
}

interface Side {
  readonly pools: readonly Pool[]
  readonly order: Uint32Array
}

/** Nanoseconds with each, the first of which the others are compared with, as medians over rounds that take turns. */
function compare(sides: readonly Side[]): { ns: number; ratio: number }[] {
  for (let i = 0; i < 3; i++) for (const { pools, order } of sides) round(pools, order)
  const rounds = Array.from({ length: ROUNDS }, () => sides.map(({ pools, order }) => round(pools, order)))
  return sides.map((_, side) => ({
    ns: median(rounds.map((row) => row[side] ?? 0)),
    ratio: median(rounds.map((row) => (row[side] ?? 0) / (row[0] ?? 1))),
  }))
}

const { positionals } = parseArgs({ allowPositionals: true })
console.log(
  '| policy | 1 service × 3 | 1 service × 10 | | 1,000 × 10, in runs | | in runs, of 1 × 10 | 1,000 × 10, each another | |',
)
console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- |')
for (const name of positionals.length > 0 ? positionals : policies.keys()) {
  const large = poolsOf(name, LARGE)
  const sides = compare([
    { pools: poolsOf(name, SMALL), order: orderOf(1, RUN) },
    { pools: poolsOf(name, WIDE), order: orderOf(1, RUN) },
    { pools: large, order: orderOf(LARGE.services, RUN) },
    { pools: large, order: orderOf(LARGE.services, 1) },
  ])
  const wide = sides[1]?.ratio ?? 1
  const cells = sides.map(({ ns, ratio }, i) => {
    const first = i === 0 ? '' : ` × ${ratio.toFixed(2)} |`
    return `${ns.toFixed(0)} ns |${first}${i === 2 ? ` × ${(ratio / wide).toFixed(2)} |` : ''}`
  })
  console.log(`| \`${name}\` | ${cells.join(' ')}`)
}
