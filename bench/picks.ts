/**
 * What a pick costs as services grow: `node bench/picks.ts`. One service with three backends, and one with ten, against 1,000
 * services with ten each, in CPU time: the second tells what more backends cost, and not more services. A pick is all of it:
 * the look for changes, the policy, the counts of begin and end. Picks come in runs for one service, as a busy one has them,
 * and for another service each time, when none of its memory is in a cache.
 *
 * Each policy has a process of its own, for what one teaches the compiler is dear or cheap for the next. Sides take turns in
 * rounds of a millisecond, and the quiet quarter of them counts: what others do on the machine only ever adds.
 */
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { BackendCell, Board, PoolCell, sharedTime } from '../lib/board/index.ts'
import { policies, policyFactory } from '../lib/policies/index.ts'
import { acceptsOf, Backend, type Flow, NO_FACTS, Pool, stateToNumber } from '../lib/pool/index.ts'

const SMALL = { services: 1, backends: 3 }
const WIDE = { services: 1, backends: 10 }
const LARGE = { services: 1000, backends: 10 }
const RUN = 256 // picks in a row for one service: a few milliseconds of requests
const PICKS = 64 * RUN // a round: about a millisecond, in which little else gets between
const ROUNDS = 300
const WARM = 60 // rounds until all is compiled
const OPEN = 64 // flows in progress, as in the scenarios of `npm run bench`
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
      cell.took(5 + 7 * ((row * 0.618) % 1), sharedTime(performance.now()))
      board.setLoad(row, service, (row * 13) % 90)
      return new Backend(`s${service}-b${i}`, '10.0.0.1', 80, cell)
    })
    const queue = { max: 0, timeout: 0 }
    return new Pool({ backends: members, cell: new PoolCell(board, 0, service), policy, queue, panics: false })
  })
}

interface Side {
  readonly pools: readonly Pool[]
  /** For each pick the number of its service. */
  readonly order: Uint32Array
  /** How many picks there were: a round goes on where the last one ended, among services that were not used for long. */
  picks: number
  readonly ns: number[]
}

/** So many picks in a row for the same service, over services in a random order. */
function sideOf(pools: readonly Pool[], run: number): Side {
  const order = new Uint32Array(1 << 18)
  for (let i = 0; i < order.length; i++)
    order[i] = i % run === 0 ? Math.floor(Math.random() * pools.length) : (order[i - 1] as number)
  return { pools, order, picks: 0, ns: [] }
}

/** Nanoseconds of one pick, its begin and its end. */
function round(side: Side): number {
  const { pools, order, picks } = side
  const open: { pool: Pool; backend: Backend }[] = []
  // Of the process: the system brings the account of one thread up to date with each tick of 4 ms alone.
  const begun = process.cpuUsage()
  for (let i = picks; i < picks + PICKS; i++) {
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
  const { user, system } = process.cpuUsage(begun)
  for (const { pool, backend } of open) pool.release(backend)
  side.picks += PICKS
  return ((user + system) * 1000) / PICKS
}

const quiet = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 2] ?? 0

/** One row of the table. */
function measure(policy: string): string {
  const large = poolsOf(policy, LARGE)
  const small = sideOf(poolsOf(policy, SMALL), RUN)
  const wide = sideOf(poolsOf(policy, WIDE), RUN)
  const runs = sideOf(large, RUN)
  const another = sideOf(large, 1)
  for (let i = -WARM; i < ROUNDS; i++)
    for (const side of [small, wide, runs, another]) {
      const ns = round(side)
      if (i >= 0) side.ns.push(ns)
    }
  const [a, b, c, d] = [small, wide, runs, another].map(({ ns }) => quiet(ns)) as [number, number, number, number]
  const ns = (n: number): string => `${n.toFixed(0)} ns`
  const times = (n: number, of: number): string => `× ${(n / of).toFixed(2)}`
  const cells = [ns(a), ns(b), times(b, a), ns(c), times(c, a), times(c, b), ns(d), times(d, a)]
  return `| \`${policy}\` | ${cells.join(' | ')} |`
}

const { positionals } = parseArgs({ allowPositionals: true })
const [only] = positionals
if (positionals.length === 1 && only !== undefined) console.log(measure(only))
else {
  console.log(
    '| policy | 1 service × 3 | 1 service × 10 | | 1,000 × 10, in runs | | in runs, of 1 × 10 | 1,000 × 10, each another | |',
  )
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- |')
  for (const policy of positionals.length > 0 ? positionals : policies.keys())
    process.stdout.write(execFileSync(process.execPath, [import.meta.filename, policy]))
}
