/** Hash: the same key to the same backend, few keys moved by a change, nobody overloaded by a popular key. */
import t from 'tap'
import type { Backend, Flow } from '../../lib/pool/index.ts'
import { cpuMs } from '../support/cpu.ts'
import { FLOW, flowOf, type Rig, rigOf } from './fixtures/rig.ts'
import { inThreads } from './fixtures/threads.ts'

const KEYS = 20_000
const KEY: Flow = { clientAddress: '10.0.0.1', affinityKey: '', hashKey: 'a popular one' }

/** Whom each of the keys goes to while nothing is under way. */
const placesOf = ({ policy }: Rig): (string | undefined)[] =>
  Array.from({ length: KEYS }, (_, i) => policy.pick(flowOf(i), null)?.name)

const moved = (before: readonly unknown[], after: readonly unknown[]): number =>
  before.filter((place, i) => place !== after[i]).length / before.length

for (const n of [2, 10, 33, 200])
  t.test(`${n} backends: when one goes only its keys move, and they come back with it`, (t) => {
    const rig = rigOf('hash', new Array<number>(n).fill(1))
    const before = placesOf(rig)
    for (const gone of [0, n >> 1, n - 1]) {
      const name = rig.backends[gone]?.name
      rig.policy.rebuild(rig.backends.filter((_, i) => i !== gone))
      const without = placesOf(rig)
      const share = before.filter((place) => place === name).length / KEYS
      t.equal(moved(before, without), share, 'nobody else’s key moved')
      t.ok(share <= 1 / n + 0.02, `${(100 * share).toFixed(1)} % of the keys moved`)
      const takers = new Set(without.filter((_, i) => before[i] === name))
      t.ok(takers.size >= Math.min(n - 1, 30), 'the others share them')
      rig.policy.rebuild(rig.backends)
      t.same(placesOf(rig), before)
    }
    t.end()
  })

t.test('a change of one weight moves keys to or from that backend alone, as many as the shares say', (t) => {
  const rig = rigOf('hash', new Array<number>(10).fill(1))
  const before = placesOf(rig)
  for (const weight of [0.01, 0.5, 0.75, 2, 4]) {
    const [first] = rig.backends as [Backend]
    first.weight = weight
    rig.policy.rebuild([...rig.backends])
    const after = placesOf(rig)
    const others = before.filter((place, i) => place !== after[i] && place !== 'b0' && after[i] !== 'b0')
    t.equal(others.length, 0, `${weight}: no key moved between the others`)
    const share = after.filter((place) => place === 'b0').length / KEYS
    t.ok(Math.abs(share - weight / (9 + weight)) < 0.02, `${weight}: it has ${(100 * share).toFixed(1)} %`)
  }
  t.end()
})

t.test('the order of the backends does not matter, nor what was there before', (t) => {
  const rig = rigOf('hash', [3, 1, 2, 1, 5])
  const before = placesOf(rig)
  rig.policy.rebuild(rig.backends.toReversed())
  t.same(placesOf(rig), before)
  rig.policy.rebuild([])
  t.equal(rig.policy.pick(FLOW, null), undefined)
  rig.policy.rebuild(rig.backends)
  t.same(placesOf(rig), before)
  t.end()
})

t.test('a table of owners says the same as a look at all backends: the limit between them moves nobody else', (t) => {
  const rig = rigOf('hash', new Array<number>(33).fill(1))
  const before = placesOf(rig)
  rig.policy.rebuild(rig.backends.slice(0, 32))
  t.equal(moved(before, placesOf(rig)), before.filter((place) => place === 'b32').length / KEYS)
  t.end()
})

const SIMILAR: Record<string, (i: number) => string> = {
  'addresses of one /20': (i) => `10.1.${i >> 8}.${i & 255}`,
  'addresses of IPv6 that differ in one group': (i) => `2001:db8::${i.toString(16)}`,
  'names with a number behind them': (i) => `user${i}`,
  'paths with a number between': (i) => `/shop/items/${i}/picture.jpg`,
}

for (const [keys, keyOf] of Object.entries(SIMILAR))
  t.test(`similar keys are spread evenly, and so are those of one that goes: ${keys}`, (t) => {
    const n = 4096
    const rig = rigOf('hash', new Array<number>(10).fill(1))
    const places = (): (string | undefined)[] =>
      Array.from(
        { length: n },
        (_, i) => rig.policy.pick({ clientAddress: '', affinityKey: '', hashKey: keyOf(i) }, null)?.name,
      )
    /** No part is further from its share than five times what drawn ones differ by. */
    const even = (got: readonly (string | undefined)[], backends: readonly Backend[], what: string): void => {
      const share = got.length / backends.length
      for (const { name } of backends) {
        const part = got.filter((place) => place === name).length
        t.ok(Math.abs(part - share) < 5 * Math.sqrt(share), `${what}${name} has ${part} of ${share.toFixed(0)}`)
      }
    }
    const before = places()
    even(before, rig.backends, '')
    for (const gone of rig.backends) {
      const others = rig.backends.filter((backend) => backend !== gone)
      rig.policy.rebuild(others)
      const after = places()
      even(
        after.filter((_, i) => before[i] === gone.name),
        others,
        `of ${gone.name} `,
      )
    }
    t.end()
  })

t.test('without a key the address of the client decides', (t) => {
  const { policy } = rigOf('hash', [1, 1, 1, 1, 1])
  const by = (clientAddress: string, hashKey: string) =>
    policy.pick({ clientAddress, affinityKey: '', hashKey }, null)?.name
  const names = new Set<string | undefined>()
  for (let i = 0; i < 100; i++) {
    names.add(by(`10.0.0.${i}`, ''))
    t.equal(by(`10.0.0.${i}`, ''), by('192.0.2.1', `10.0.0.${i}`))
  }
  t.equal(names.size, 5)
  t.end()
})

t.test('a key whose backend is avoided goes to the same other one each time', (t) => {
  const { policy } = rigOf('hash', new Array<number>(10).fill(1))
  for (let i = 0; i < 200; i++) {
    const first = policy.pick(flowOf(i), null) as Backend
    const second = policy.pick(flowOf(i), new Set([first]))
    t.not(second, first)
    t.equal(policy.pick(flowOf(i), new Set([first])), second)
  }
  t.end()
})

/** Begins flows of one key; answers what each backend has. */
function pile({ policy, backends }: Rig, flows: number): number[] {
  for (let i = 0; i < flows; i++) policy.pick(KEY, null)?.cell.begin()
  return backends.map((backend) => backend.cell.active())
}

for (const [n, flows] of [
  [2, 100],
  [10, 1000],
  [100, 5000],
] as const)
  t.test(`one key for ${flows} flows: none of ${n} backends gets more than one and a half of its share`, (t) => {
    const active = pile(rigOf('hash', new Array<number>(n).fill(1)), flows)
    t.ok(Math.max(...active) <= Math.ceil((1.5 * flows) / n), `${Math.max(...active)}`)
    t.equal(
      active.reduce((a, b) => a + b, 0),
      flows,
    )
    t.end()
  })

t.test('the bound goes by weight', (t) => {
  const weights = [4, 2, 1, 1]
  const active = pile(rigOf('hash', weights), 800)
  for (const [i, weight] of weights.entries())
    t.ok((active[i] ?? 0) <= Math.ceil((1.5 * 800 * weight) / 8), `${active}`)
  t.end()
})

t.test('few flows are no load: the six of a browser stay together', (t) => {
  const active = pile(rigOf('hash', new Array<number>(10).fill(1)), 6)
  t.same(active.toSorted(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 6])
  t.end()
})

t.test('without a bound a key stays whatever is there', (t) => {
  const active = pile(rigOf('hash', new Array<number>(10).fill(1), { boundedLoad: 0 }), 500)
  t.equal(Math.max(...active), 500)
  t.end()
})

for (const threads of [1, 2, 4])
  t.test(`${threads} threads send the same keys to the same backends, and keep the bound`, async (t) => {
    const weights = new Array<number>(10).fill(1)
    const { active, places } = await inThreads(threads, { policy: 'hash', weights, churn: 0, fill: 1000, keys: 200 })
    const sum = active.reduce((a, b) => a + b, 0)
    const most = Math.max(...active)
    // Between the look and the begin of one thread, each of the others may have placed one flow on the same backend.
    t.ok(most <= Math.ceil((1.5 * sum) / 10) + threads, `${active}`)
    t.equal(places.length, threads)
    for (const place of places) t.same(place, places[0])
  })

t.test('the largest pool is laid out in a moment, and picked from in another', (t) => {
  const rig = rigOf('hash', new Array<number>(4096).fill(1))
  const [first] = rig.backends as [Backend]
  first.weight = 2
  const pick = (): void => {
    for (let i = 0; i < 100; i++) rig.policy.pick(flowOf(i), null)
  }
  const building = cpuMs(() => rig.policy.rebuild([...rig.backends]))
  t.ok(building < 50, `built in ${building.toFixed(1)} ms`)
  const unknown = cpuMs(pick)
  t.ok(unknown / 100 < 1, `each new key took ${(10 * unknown).toFixed(0)} µs`)
  t.ok(cpuMs(pick) < 10, 'and known ones no time')
  t.end()
})
