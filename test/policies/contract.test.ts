/** What every balancing policy promises, run over each row of their table. */
import fc from 'fast-check'
import t from 'tap'
import { policies } from '../../lib/policies/index.ts'
import type { Backend } from '../../lib/pool/index.ts'
import { chance, FLOW, flowOf, type Rig, rigOf } from './fixtures/rig.ts'

const WEIGHTS: readonly (readonly number[])[] = [
  [1],
  [1, 1],
  [1, 1, 1, 1, 1],
  [2, 1],
  [5, 1, 1],
  [10, 1, 1, 1, 1, 1, 1, 1, 1, 1],
  [256, 128, 64],
  [100, 99, 98, 1],
]

/** Places `n` flows; each ends as `ends` says. Answers how many each backend got. */
function place({ policy, backends }: Rig, n: number, ends: 'at once' | 'never' | 'at random'): number[] {
  const got = backends.map(() => 0)
  const open: Backend[] = []
  const random = chance(7)
  for (let i = 0; i < n; i++) {
    const backend = policy.pick(flowOf(i), null) as Backend
    const index = backends.indexOf(backend)
    got[index] = (got[index] ?? 0) + 1
    if (ends === 'at once') continue
    backend.cell.begin()
    open.push(backend)
    if (ends === 'at random' && open.length > 2000) open.splice(Math.floor(random() * open.length), 1)[0]?.cell.end()
  }
  return got
}

t.test('there are policies to test', (t) => {
  t.ok(policies.size >= 6)
  t.end()
})

for (const name of policies.keys())
  t.test(name, (t) => {
    t.test('picks nothing where nothing is, before the first build and after an empty one', (t) => {
      const { policy } = rigOf(name, [])
      t.equal(policy.pick(FLOW, null), undefined)
      t.equal(policy.pick(FLOW, new Set()), undefined)
      const full = rigOf(name, [1, 2])
      full.policy.pick(FLOW, null)
      full.policy.rebuild([])
      t.equal(full.policy.pick(FLOW, null), undefined)
      const [a] = full.backends
      full.policy.rebuild(full.backends)
      t.ok(full.policy.pick(FLOW, a === undefined ? null : new Set([a])), 'and picks again afterwards')
      t.end()
    })

    t.test('picks only eligible backends outside of what is to be avoided, and none only when there is none', (t) => {
      const weight = fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 256 }))
      const step = fc.record({
        what: fc.constantFrom('pick', 'pick', 'pick', 'rebuild', 'end'),
        bits: fc.nat(0xfff),
        weights: fc.array(weight, { minLength: 12, maxLength: 12 }),
      })
      fc.assert(
        fc.property(fc.nat(), fc.array(step, { maxLength: 60, size: 'max' }), (seed, steps) => {
          const { policy, backends } = rigOf(name, new Array<number>(12).fill(1), { random: chance(seed) })
          let eligible: readonly Backend[] = backends
          for (const [i, { what, bits, weights }] of steps.entries()) {
            const flow = flowOf(i)
            const chosen = backends.filter((_, i) => ((bits >> i) & 1) === 1)
            if (what === 'rebuild') {
              eligible = chosen
              for (const [i, backend] of backends.entries()) backend.weight = weights[i] ?? 1
              policy.rebuild(chosen)
            } else if (what === 'end') {
              for (const backend of chosen) if (backend.cell.active() > 0) backend.cell.end()
            } else {
              const avoid = new Set(chosen)
              const allowed = eligible.filter((backend) => !avoid.has(backend))
              const picked = policy.pick(flow, avoid)
              if (picked === undefined ? allowed.length > 0 : !allowed.includes(picked)) return false
              picked?.cell.begin()
              const any = policy.pick(flow, null)
              if (any === undefined ? eligible.length > 0 : !eligible.includes(any)) return false
            }
          }
          return true
        }),
        { numRuns: 100 },
      )
      t.end()
    })

    t.test('the extremes of chance stay inside', (t) => {
      for (const value of [0, 0.5, 1 - 2 ** -53])
        for (const weights of WEIGHTS) {
          const { policy, backends } = rigOf(name, weights, { random: () => value })
          for (let i = 0; i < 20; i++) t.ok(backends.includes(policy.pick(flowOf(i), null) as Backend))
        }
      t.end()
    })

    t.test('one that is avoided does not stop the others: each is still picked', (t) => {
      const { policy, backends } = rigOf(name, [3, 1, 1, 2])
      for (const avoided of backends) {
        const avoid = new Set([avoided])
        const seen = new Set<Backend | undefined>()
        for (let i = 0; i < 500; i++) seen.add(policy.pick(flowOf(i), avoid))
        t.same(
          [...seen].map((b) => b?.name).sort(),
          backends.filter((b) => b !== avoided).map((b) => b.name),
        )
      }
      t.end()
    })

    for (const ends of ['at once', 'never', 'at random'] as const)
      t.test(`flows that end ${ends} go by weight, and nobody starves`, (t) => {
        for (const weights of WEIGHTS) {
          const n = 20_000
          const got = place(rigOf(name, weights, { random: chance(42) }), n, ends)
          const sum = weights.reduce((a, b) => a + b, 0)
          for (const [i, weight] of weights.entries()) {
            const ideal = (n * weight) / sum
            const share = got[i] ?? 0
            t.ok(share > 0, `${weights}: b${i} was picked`)
            // A tenth of its share, and what a fair draw of so few may miss.
            const most = ideal * 0.1 + 4 * Math.sqrt(ideal)
            t.ok(Math.abs(share - ideal) <= most, `${weights}: b${i} got ${share} of ${ideal.toFixed(0)}`)
          }
        }
        t.end()
      })

    t.test('a thousand backends of random weight are built in a moment, and picked from in less', (t) => {
      const random = chance(3)
      const weights = Array.from({ length: 1000 }, () => 1 + Math.floor(random() * 256))
      const { policy, backends } = rigOf(name, weights)
      let build = Number.POSITIVE_INFINITY
      for (let i = 0; i < 5; i++) {
        const begun = performance.now()
        policy.rebuild(backends)
        build = Math.min(build, performance.now() - begun)
      }
      t.ok(build < 40, `built in ${build.toFixed(1)} ms`)
      const begun = performance.now()
      for (let i = 0; i < 1000; i++) policy.pick(flowOf(i), null)
      const pick = (performance.now() - begun) / 1000
      t.ok(pick < 0.2, `picked in ${(pick * 1000).toFixed(1)} µs`)
      t.end()
    })
    t.end()
  })
