/** A hundred thousand clients, ten requests each, while backends come and go. */
import t from 'tap'
import { Board, newBindings } from '../../lib/board/index.ts'
import { flow, rigOf } from './fixtures/rig.ts'

const CLIENTS = 100_000
const ROUNDS = 10

const addressOf = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`

t.test('each client stays where it is as long as its backend does, and nobody is forgotten', (t) => {
  const board = new Board(2, undefined, newBindings(1_048_576))
  const names = Array.from({ length: 10 }, (_, i) => `b${i}@10.1.0.${i}:80`)
  const { built, backends, evicted } = rigOf({ type: 'source-ip' }, { board, backends: names })
  const { affinity } = built
  const homes = new Int32Array(CLIENTS).fill(-1)
  let moved = 0
  let wrong = 0
  const begun = performance.now()
  for (let round = 0; round < ROUNDS; round++) {
    const gone = round // the backend that is away in this round
    for (let i = 0; i < CLIENTS; i++) {
      const client = flow(addressOf(i))
      const bound = affinity.find(client)
      const at = bound === undefined ? -1 : backends.indexOf(bound)
      if (at !== (homes[i] ?? -1)) wrong++
      if (at >= 0 && at !== gone) continue
      const next = (i + round * 7 + 1) % backends.length
      const chosen = backends[next === gone ? (next + 1) % backends.length : next]
      if (chosen === undefined) throw new Error('ten backends')
      homes[i] = backends.indexOf(affinity.bind(client, chosen, bound))
      if (at >= 0) moved++
    }
  }
  const each = ((performance.now() - begun) / (CLIENTS * ROUNDS)) * 1000
  t.equal(wrong, 0)
  t.equal(evicted(), 0)
  t.ok(moved > CLIENTS / 2, `${moved} moved, because their backend went`)
  t.equal(
    board.bindings.entriesByScope().reduce((sum, n) => sum + n, 0),
    CLIENTS,
  )
  t.ok(each < 20, `${each.toFixed(2)} µs a request`)
  t.comment(`${each.toFixed(2)} µs a request`)
  t.end()
})
