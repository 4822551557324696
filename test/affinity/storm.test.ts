/** A hundred thousand clients over several threads and two services of a group, while backends come, go, drain and fail. */
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { ACCEPTS, Board, newBindings } from '../../lib/board/index.ts'
import { stateToNumber } from '../../lib/pool/index.ts'
import { chance } from '../policies/fixtures/rig.ts'
import { type ClientsJob, type ClientsReport, IS, KIND_BITS, WORD } from './fixtures/storm.ts'

const CLIENTS = 100_000
const ROUNDS = 5
const BACKENDS = 12
const ENTRY = new URL('./fixtures/clients.ts', import.meta.url)
const FEWEST_UP = 3
const LEFT = /^client \d+ left /
// Of half a million: who writes a bucket is waited for 5 ms, and a busy machine may have stopped it in the middle for longer.
const MOST_LEFT = 3

type Kind = 'up' | 'draining' | 'down' | 'gone'

/** Everything that control does to the backends of the two services. */
class Storm {
  readonly board: Board
  readonly words = new Int32Array(new SharedArrayBuffer(4 * (WORD.backends + BACKENDS)))
  readonly kinds: Kind[] = new Array<Kind>(BACKENDS).fill('up')
  readonly changes = new Map<string, number>()
  readonly #threads: number

  constructor(threads: number) {
    this.#threads = threads
    this.board = new Board(threads, undefined, newBindings(1_048_576))
    this.words[WORD.members] = (1 << BACKENDS) - 1
    for (let n = 0; n < BACKENDS; n++) this.#publish(n, 'up')
  }

  #mark(n: number, kind: keyof typeof IS): void {
    const at = WORD.backends + n
    const version = (Atomics.load(this.words, at) >> KIND_BITS) + 1
    Atomics.store(this.words, at, (version << KIND_BITS) | IS[kind])
  }

  #publish(n: number, kind: Kind): void {
    const accepts = kind === 'up' ? ACCEPTS.new | ACCEPTS.bound : kind === 'draining' ? ACCEPTS.bound : 0
    const state = stateToNumber(kind === 'gone' ? 'down' : kind)
    for (const service of [0, 1])
      this.board.publish(service * BACKENDS + n, service, { state, accepts, weight: 100, most: 0 })
  }

  /** A change that may be seen at any moment between the two marks. */
  async change(n: number, to: Kind): Promise<void> {
    const from = this.kinds[n]
    this.kinds[n] = to
    this.#mark(n, 'changing')
    if (from === 'gone' || to === 'gone') await this.#reload(n, to)
    else this.#publish(n, to)
    this.#mark(n, to)
    const key = `${from} ${to}`
    this.changes.set(key, (this.changes.get(key) ?? 0) + 1)
  }

  /** The configuration without the backend, or with it again, in every thread. */
  async #reload(n: number, to: Kind): Promise<void> {
    if (to !== 'gone') this.#publish(n, to)
    Atomics.store(this.words, WORD.adopted, 0)
    Atomics.xor(this.words, WORD.members, 1 << n)
    Atomics.add(this.words, WORD.generation, 1)
    while (Atomics.load(this.words, WORD.adopted) < this.#threads && !this.over) await new Promise(setImmediate)
    if (to === 'gone') this.#publish(n, to)
  }

  get over(): boolean {
    return Atomics.load(this.words, WORD.done) === this.#threads
  }
}

const NEXT: Record<Kind, readonly Kind[]> = {
  up: ['draining', 'down', 'gone'],
  draining: ['up', 'down', 'gone'],
  down: ['up', 'up', 'gone'],
  gone: ['up'],
}

async function storm(t: Test, threads: number, type: ClientsJob['type']): Promise<void> {
  const storm = new Storm(threads)
  const homes = new SharedArrayBuffer(4 * CLIENTS)
  new Int32Array(homes).fill(-1)
  const reports: ClientsReport[] = []
  const ends = Array.from({ length: threads }, (_, thread) => {
    const workerData: ClientsJob = {
      ...{ board: storm.board.buffer, bindings: storm.board.bindings.buffer, words: storm.words.buffer, homes },
      ...{ threads, thread, type, backends: BACKENDS, rounds: ROUNDS },
    }
    const worker = new Worker(ENTRY, { workerData })
    worker.on('message', (report: ClientsReport) => reports.push(report))
    return new Promise<void>((resolve, reject) => {
      worker.on('error', reject)
      worker.on('exit', () => resolve())
    })
  })
  const random = chance(threads)
  const changing = (async () => {
    while (Atomics.load(storm.words, WORD.generation) === 0 && Atomics.load(storm.words, WORD.adopted) < threads)
      await new Promise(setImmediate) // until all have begun
    while (!storm.over) {
      const n = Math.floor(random() * BACKENDS)
      const from = storm.kinds[n] as Kind
      const up = storm.kinds.filter((kind) => kind === 'up').length
      const to = NEXT[from][Math.floor(random() * NEXT[from].length)] as Kind
      if (from !== 'up' || up > FEWEST_UP) await storm.change(n, to)
      await new Promise((done) => setTimeout(done, 2))
    }
  })()
  await Promise.all(ends)
  await changing
  t.equal(reports.length, threads)
  const wrong = reports.flatMap((report) => report.wrong)
  const left = wrong.filter((sentence) => LEFT.test(sentence))
  t.same(
    wrong.filter((sentence) => !LEFT.test(sentence)),
    [],
  )
  t.ok(left.length <= MOST_LEFT, left.join('; '))
  const hits = reports.reduce((sum, report) => sum + report.hits, 0)
  const moved = reports.reduce((sum, report) => sum + report.moved, 0)
  t.ok(hits > CLIENTS / 2, `${hits} of ${CLIENTS * ROUNDS} requests went to a known backend`)
  t.ok(moved > 0, `${moved} moved`)
  t.ok(storm.changes.size >= 6, `changes: ${[...storm.changes].map(([key, n]) => `${key} ${n}`).join(', ')}`)
  t.comment(`${moved} moved by ${[...storm.changes.values()].reduce((a, b) => a + b, 0)} changes`)
  if (type !== 'cookie')
    t.equal(
      storm.board.bindings.entriesByScope().reduce((sum, n) => sum + n, 0),
      CLIENTS,
      'each client is remembered once',
    )
  for (let row = 0; row < 2 * BACKENDS; row++) t.equal(storm.board.active('backend', row), 0)
}

for (const threads of [1, 4])
  t.test(`by address in ${threads} threads: only clients of backends that may not serve them move`, (t) =>
    storm(t, threads, 'source-ip'),
  )
t.test('by a header in 2 threads', (t) => storm(t, 2, 'header'))
t.test('by our cookie in 2 threads', (t) => storm(t, 2, 'cookie'))
