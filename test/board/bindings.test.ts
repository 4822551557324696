/** The table of bindings: every thread agrees on who belongs where, and nothing wedges it. */
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { Bindings, BindingTable } from '../../lib/board/bindings.ts'
import { factsOf, packBindings, unpackBindings } from '../../lib/board/bindings-copy.ts'
import { newBindings, WAYS } from '../../lib/board/bindings-layout.ts'
import { Board } from '../../lib/board/index.ts'
import { eventually } from '../support/eventually.ts'
import type { BinderJob, BinderReport } from './fixtures/binder.ts'

const ENTRY = new URL('./fixtures/binder.ts', import.meta.url)
const MINUTE = 60_000

interface Rig {
  readonly table: BindingTable
  readonly bindings: Bindings
  /** Binds `client` to `backend`; answers what became of it. */
  bind(client: string, backend: string, now: number, instead?: string): string
  /** The backend of a client, or ''. */
  backendOf(client: string, now: number): string
}

function rig(entries = 1024, scope = { name: 'service:s', number: 1 }, timeout = MINUTE, shared?: BindingTable): Rig {
  const table = shared ?? new BindingTable(newBindings(entries))
  const bindings = new Bindings(table, 0, scope, timeout)
  const names = new Map<string, string>()
  const digestOf = (name: string) => {
    const digest = bindings.digestOf(name)
    names.set(`${digest.low} ${digest.high}`, name)
    return digest
  }
  return {
    table,
    bindings,
    bind(client, backend, now, instead) {
      bindings.text(1, client)
      return bindings.claim(digestOf(backend), instead === undefined ? null : digestOf(instead), now)
    },
    backendOf(client, now) {
      bindings.text(1, client)
      if (!bindings.find(now)) return ''
      return names.get(`${bindings.met.low} ${bindings.met.high}`) ?? '?'
    },
  }
}

const total = (table: BindingTable): number => table.entriesByScope().reduce((sum, n) => sum + n, 0)

t.test('a client is found where it was bound, by every attachment, and nobody else is', (t) => {
  const { bindings, bind, backendOf } = rig()
  const other = rig(
    0,
    undefined,
    MINUTE,
    new BindingTable(bindings.met === undefined ? newBindings(1) : newBindings(1)),
  )
  t.equal(backendOf('alice', 0), '')
  t.equal(bind('alice', 'b1', 0), 'bound')
  t.equal(backendOf('alice', 0), 'b1')
  for (const text of ['', 'alic', 'alice\0', 'Alice', 'alice ', 'bob']) t.equal(backendOf(text, 0), '', text)
  t.equal(other.backendOf('alice', 0), '', 'another table')
  bindings.text(2, 'alice')
  t.equal(bindings.find(0), false, 'another kind')
  t.end()
})

t.test('who comes second learns who was first, and only who names the old binding replaces it', (t) => {
  const { bindings, bind, backendOf } = rig()
  bind('alice', 'b1', 0)
  t.equal(bind('alice', 'b2', 0), 'taken')
  t.same({ ...bindings.met }, bindings.digestOf('b1'))
  t.equal(bind('alice', 'b3', 0, 'b2'), 'taken', 'b2 is not what it is bound to')
  t.equal(bind('alice', 'b3', 0, 'b1'), 'bound')
  t.equal(backendOf('alice', 0), 'b3')
  t.equal(bind('alice', 'b3', 0), 'bound', 'the same again')
  t.end()
})

t.test('a binding ends when it was not used for its timeout, and each use counts', (t) => {
  const { table, bind, backendOf } = rig()
  bind('alice', 'b1', 0)
  for (let now = 50_000; now <= 500_000; now += 50_000) t.equal(backendOf('alice', now), 'b1')
  t.equal(backendOf('alice', 500_000 + MINUTE), 'b1', 'at its very end')
  t.equal(backendOf('alice', 500_000 + 2 * MINUTE + 200), '', 'and behind it')
  t.equal(bind('alice', 'b2', 700_000), 'bound', 'what has expired is in nobody’s way')
  t.equal(total(table), 1)
  t.end()
})

t.test('the sweep frees what has expired and nothing else', (t) => {
  const { table, bind, backendOf } = rig()
  const long = rig(0, { name: 'service:long', number: 2 }, 10 * MINUTE, table)
  for (let i = 0; i < 200; i++) bind(`short ${i}`, 'b1', 0)
  for (let i = 0; i < 100; i++) long.bind(`long ${i}`, 'b1', 0)
  bind('late', 'b1', 50_000)
  const all = (now: number) => {
    for (let i = 0; i < 50; i++) table.sweep(now)
    const counts = table.entriesByScope()
    return [counts[1], counts[2]]
  }
  t.same(all(59_000), [201, 100])
  t.same(all(61_000), [1, 100])
  t.equal(backendOf('late', 61_000), 'b1')
  t.same(all(20 * MINUTE), [0, 0])
  t.end()
})

t.test('a full bucket gives up what was idle longest', (t) => {
  const { table, bind, backendOf } = rig(WAYS)
  t.equal(table.capacity, WAYS)
  for (let i = 0; i < WAYS; i++) t.equal(bind(`c${i}`, 'b1', i * 1000), 'bound')
  t.equal(backendOf('c0', 20_000), 'b1', 'c0 is used again')
  t.equal(bind('new', 'b2', 21_000), 'evicted')
  t.equal(backendOf('c1', 21_000), '', 'c1 was idle longest')
  t.equal(backendOf('c0', 21_000), 'b1')
  t.equal(backendOf('new', 21_000), 'b2')
  t.equal(total(table), WAYS)
  t.equal(bind('newer', 'b2', 21_000 + 2 * MINUTE), 'bound', 'what has expired gives way without being missed')
  t.end()
})

t.test('a table of the default size holds as many bindings as it says, but for the unlucky few', (t) => {
  const { table, bind } = rig(65_536)
  let evicted = 0
  for (let i = 0; i < 50_000; i++) if (bind(`client ${i}`, 'b1', 0) === 'evicted') evicted++
  t.ok(evicted < 2500, `${evicted} evicted at three quarters`)
  t.equal(total(table), 50_000 - evicted)
  t.end()
})

/** Runs threads over one table at once; resolves when all have ended. */
async function race(
  board: Board,
  options: { threads: number; clients: number; rounds: number; dies?: number },
): Promise<(BinderReport | undefined)[]> {
  const gate = new SharedArrayBuffer(8)
  const words = new Int32Array(gate)
  return Promise.all(
    Array.from({ length: options.threads }, async (_, thread) => {
      const workerData: BinderJob = {
        bindings: board.bindings.buffer,
        threads: options.threads,
        thread,
        gate,
        clients: options.clients,
        rounds: options.rounds,
        endless: thread === options.dies,
      }
      const worker = new Worker(ENTRY, { workerData })
      let report: BinderReport | undefined
      worker.on('message', (message: BinderReport) => {
        report = message
      })
      const ended = new Promise<void>((resolve, reject) => {
        worker.on('error', reject)
        worker.on('exit', () => resolve())
      })
      if (thread === options.dies) {
        await eventually('all are at work', () => Atomics.load(words, 1) > 20_000)
        await worker.terminate()
        board.reclaim(thread)
      }
      await ended
      return report
    }),
  )
}

t.test('four threads that bind the same clients at once agree on each', async (t) => {
  const board = new Board(4, undefined, newBindings(16_384))
  const reports = await race(board, { threads: 4, clients: 5000, rounds: 40_000 })
  const disagreed: number[] = []
  for (let client = 0; client < 5000; client++) {
    const told = new Set(reports.map((report) => report?.told[client]))
    if (told.size !== 1 || told.has(-1)) disagreed.push(client)
  }
  t.same(disagreed, [])
  t.same(
    reports.map((report) => report?.wrong),
    [0, 0, 0, 0],
  )
  t.equal(total(board.bindings), 5000)
})

t.test('a thread that dies in the middle of its work leaves nothing locked, half written or miscounted', async (t) => {
  for (let again = 0; again < 5; again++) {
    // Every bucket is full, so that each round of the one that dies is a write.
    const board = new Board(3, undefined, newBindings(512))
    const reports = await race(board, { threads: 3, clients: 4096, rounds: 30_000, dies: 1 })
    t.equal(reports[1], undefined)
    const { table, bind, backendOf } = rig(0, { name: 'service:t', number: 1 }, MINUTE, board.bindings)
    const begun = performance.now()
    for (let i = 0; i < 2000; i++) {
      t.not(bind(`after ${i}`, 'b1', 1e9), 'missed')
      if (backendOf(`after ${i}`, 1e9) !== 'b1') t.fail(`after ${i} was lost`)
    }
    t.ok(performance.now() - begun < 1000, 'nobody waited for the dead')
    t.equal(total(table), table.capacity)
  }
})

t.test('until its share is taken back, a dead thread costs its bucket milliseconds and no client an error', (t) => {
  const board = new Board(2, undefined, newBindings(WAYS))
  const { table, bind, backendOf } = rig(0, undefined, MINUTE, board.bindings)
  bind('alice', 'b1', 0)
  const words = new Int32Array(table.buffer)
  const lock = words.indexOf(1 << 8, 16)
  t.ok(lock > 0, 'the word of the bucket: one entry, nobody writes')
  words[lock] = (1 << 8) | 2 // held by thread 1
  const entry = words.indexOf(2 | (1 << 2) | (1 << 16), lock + 1)
  t.ok(entry > 0, 'the word of the entry')
  t.equal(backendOf('alice', 0), 'b1', 'look-ups go on')
  const begun = performance.now()
  t.equal(bind('bob', 'b1', 0), 'missed')
  t.ok(performance.now() - begun < 100)
  words[entry] = (words[entry] ?? 0) | 1
  t.equal(backendOf('alice', 0), '', 'what was being written is not read')
  board.reclaim(0)
  t.equal(bind('bob', 'b1', 0), 'missed', 'that was another thread')
  board.reclaim(1)
  t.equal(bind('bob', 'b1', 0), 'bound')
  t.equal(total(table), 1)
  t.end()
})

t.test(
  'bindings go over to a table of another process: same clients, same backends, same age, scopes renumbered',
  (t) => {
    const here = rig(1024, { name: 'service:s', number: 7 })
    const gone = rig(1024, { name: 'service:gone', number: 8 }, MINUTE, here.table)
    for (let i = 0; i < 300; i++) here.bind(`client ${i}`, `b${i % 3}`, i)
    gone.bind('client', 'b0', 0)
    const { keys } = factsOf(here.table.buffer)
    const buffer = newBindings(1024, keys)
    t.strictSame(factsOf(buffer), factsOf(here.table.buffer))
    t.equal(unpackBindings(buffer, packBindings(here.table.buffer), new Map([[7, 9]])), 300)
    const there = rig(1024, { name: 'service:s', number: 9 }, MINUTE, new BindingTable(buffer))
    for (const backend of ['b0', 'b1', 'b2']) there.bind(`newcomer of ${backend}`, backend, 1000)
    for (let i = 0; i < 300; i++) t.equal(there.backendOf(`client ${i}`, 1000), `b${i % 3}`)
    t.equal(there.table.entriesByScope()[9], 303)
    t.equal(there.backendOf('client 0', MINUTE), 'b0', 'as long as it is used')
    t.equal(there.backendOf('client 1', 3 * MINUTE), '', 'it expires as it would have there')
    t.equal(there.table.entriesByScope()[8], 0, 'of what is not configured any more nothing is kept')
    t.end()
  },
)

t.test('more bindings than a bucket or the table holds, and nonsense, do no harm', (t) => {
  const full = rig(16)
  for (let i = 0; i < 16; i++) full.bind(`client ${i}`, 'b', 0)
  const packed = packBindings(full.table.buffer)
  const twice = new Int32Array([...packed, ...packed, 1, 2, 3])
  t.equal(unpackBindings(newBindings(16), twice, new Map([[1, 1]])), 16)
  const wild = packed.map(() => -1)
  t.equal(unpackBindings(newBindings(16), wild, new Map([[-1, 1]])), 0)
  t.equal(packBindings(newBindings(16)).length, 0)
  t.end()
})
