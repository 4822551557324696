/** Round robin: smooth by weight, and exact over all data threads. */
import fc from 'fast-check'
import t from 'tap'
import { smoothSchedule } from '../../lib/policies/index.ts'
import type { Backend } from '../../lib/pool/index.ts'
import { FLOW, rigOf } from './fixtures/rig.ts'
import { inThreads } from './fixtures/threads.ts'

const SEQUENCES: readonly (readonly [weights: readonly number[], sequence: string])[] = [
  [[5, 1, 1], 'aabacaa'],
  [[1, 1, 1], 'abc'],
  [[7], 'a'],
  [[2, 1], 'aba'],
  [[4, 2], 'aba'],
  [[256, 256], 'ab'],
  [[1, 2, 3], 'cbacbc'],
  [[3, 3, 2], 'abcabcab'],
]
for (const [weights, sequence] of SEQUENCES)
  t.test(`(${weights}) gives ${[...sequence].join(' ')}, again and again`, (t) => {
    const { policy, backends } = rigOf('round-robin', weights)
    let seen = ''
    for (let i = 0; i < 3 * sequence.length; i++) {
      const picked = policy.pick(FLOW, null)
      seen += String.fromCharCode(97 + backends.indexOf(picked as Backend))
    }
    t.equal(seen, sequence.repeat(3))
    t.end()
  })

t.test('a schedule holds each backend exactly as often as its weight over the common divisor', (t) => {
  const weights = fc.array(fc.integer({ min: 1, max: 256 }), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 4 }), (weights, factor) => {
      const plain = smoothSchedule(weights)
      const times = smoothSchedule(weights.map((weight) => weight * factor))
      if (plain.length !== times.length || plain.some((index, i) => index !== times[i])) return false
      const counts = weights.map((_, i) => plain.filter((index) => index === i).length)
      const divisor = (weights[0] ?? 1) / (counts[0] ?? 1)
      return weights.every((weight, i) => weight === (counts[i] ?? 0) * divisor)
    }),
    { numRuns: 200 },
  )
  t.end()
})

/** The largest difference between what a backend got in any run of turns and its share of that run. */
function worstWindow(schedule: Uint16Array, backend: number, weight: number): number {
  let ahead = 0
  let most = 0
  let least = 0
  for (let lap = 0; lap < 2; lap++)
    for (const index of schedule) {
      ahead += (index === backend ? 1 : 0) - weight / schedule.length
      most = Math.max(most, ahead)
      least = Math.min(least, ahead)
    }
  return most - least
}

t.test('turns are spread evenly: no run of turns gives a backend two more or less than its share', (t) => {
  for (const weights of [
    [5, 1, 1],
    [50, 1, 1, 1],
    [255, 254, 1],
    [9, 8, 7, 6, 5, 4, 3, 2, 1],
  ]) {
    const schedule = smoothSchedule(weights)
    for (const [i, weight] of weights.entries()) {
      const worst = worstWindow(schedule, i, weight)
      t.ok(worst <= 2, `${weights}: backend ${i} is off by ${worst.toFixed(2)}`)
    }
  }
  t.end()
})

t.test('a pool too large for that is laid out with the same shares, each nearly as even', (t) => {
  const weights = Array.from({ length: 1000 }, (_, i) => 1 + ((i * 7919) % 256))
  const schedule = smoothSchedule(weights)
  t.equal(
    schedule.length,
    weights.reduce((a, b) => a + b, 0),
  )
  const counts = new Array<number>(weights.length).fill(0)
  for (const index of schedule) counts[index] = (counts[index] ?? 0) + 1
  t.same(counts, weights)
  for (const i of [0, 1, 100, 255, 500, 998, 999]) {
    const worst = worstWindow(schedule, i, weights[i] ?? 0)
    t.ok(worst <= 3, `backend ${i} of weight ${weights[i]} is off by ${worst.toFixed(2)}`)
  }
  t.end()
})

t.test('what is avoided gives its turns to the next, and the turns of the others stay', (t) => {
  const { policy, backends } = rigOf('round-robin', [1, 1, 1])
  const [a, b] = backends
  if (a === undefined || b === undefined) throw new Error('three backends')
  const seen = Array.from({ length: 6 }, () => policy.pick(FLOW, new Set([a]))?.name)
  t.same(seen, ['b1', 'b2', 'b1', 'b1', 'b2', 'b1'])
  t.equal(policy.pick(FLOW, new Set(backends)), undefined)
  t.end()
})

t.test('of two backends the one that refuses is met first by every other flow, not by each', (t) => {
  const { policy, backends } = rigOf('round-robin', [1, 1])
  const [refusing] = backends
  if (refusing === undefined) throw new Error('two backends')
  let first = 0
  for (let flow = 0; flow < 100; flow++) {
    if (policy.pick(FLOW, null) !== refusing) continue
    first++
    t.not(policy.pick(FLOW, new Set([refusing])), refusing)
  }
  t.equal(first, 50)
  t.end()
})

for (const threads of [1, 2, 4])
  for (const weights of [
    [5, 1, 1],
    [1, 1, 1, 1],
    [7, 3],
  ])
    t.test(`(${weights}) in ${threads} threads: exact over each window of the common sequence`, async (t) => {
      const turns = weights.reduce((a, b) => a + b, 0)
      const fill = turns * 300
      const { picks, active } = await inThreads(threads, { policy: 'round-robin', weights, churn: 0, fill })
      t.equal(picks.length, threads * fill)
      t.ok(
        picks.every(([turn], i) => turn === i),
        'every number of the sequence was taken once',
      )
      const schedule = smoothSchedule(weights)
      const wrong = picks.filter(([turn, backend]) => backend !== schedule[turn % turns])
      t.same(wrong, [], 'each number got the backend of its turn')
      t.same(
        active,
        weights.map((weight) => weight * threads * 300),
      )
    })
