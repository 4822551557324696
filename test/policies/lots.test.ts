/** Lots: places are spread evenly, what one loses goes evenly to the others, and ties are broken. */
import t from 'tap'
import { hashText, mix32 } from '../../lib/core/index.ts'
import { Lots } from '../../lib/policies/lots.ts'

const PLACES = Array.from({ length: 1 << 16 }, (_, i) => mix32(i + 1))
const even = (names: readonly string[]): Lots => new Lots(names, new Array<number>(names.length).fill(1))

/** How often each of them is the best. */
function partsOf(lots: Lots, n: number, places: readonly number[]): number[] {
  const parts = new Array<number>(n).fill(0)
  for (const place of places) {
    const best = lots.best(place)
    parts[best] = (parts[best] ?? 0) + 1
  }
  return parts
}

/** By how much the furthest of these parts is off, in what drawn ones differ by. */
function furthest(parts: readonly number[]): number {
  const share = parts.reduce((a, b) => a + b, 0) / parts.length
  return Math.max(...parts.map((part) => Math.abs(part - share))) / Math.sqrt(share)
}

const NAMES: Record<string, (i: number) => string> = {
  'b1, b2, …': (i) => `b${i + 1}`,
  'addresses with a port': (i) => `10.0.0.${i + 1}:8080`,
  'names of hosts': (i) => `web-${String.fromCharCode(97 + i)}.example.net`,
}

for (const [what, nameOf] of Object.entries(NAMES))
  t.test(`${what}: each has its share, and each other one an even part of that when it goes`, (t) => {
    for (const n of [2, 3, 10, 25]) {
      const names = Array.from({ length: n }, (_, i) => nameOf(i))
      const lots = even(names)
      t.ok(furthest(partsOf(lots, n, PLACES)) < 5, `${n} backends`)
      for (let gone = 0; gone < n && n > 2; gone++) {
        const lost = PLACES.filter((place) => lots.best(place) === gone)
        const parts = partsOf(even(names.filter((_, i) => i !== gone)), n - 1, lost)
        t.ok(furthest(parts) < 5, `${n} backends without ${names[gone]}: ${parts}`)
      }
    }
    t.end()
  })

t.test('with few as with more than a batch, by weight as without, the best lot is the same', (t) => {
  for (const n of [1, 2, 31, 32, 33, 40, 64, 65, 100]) {
    const names = Array.from({ length: n + 1 }, (_, i) => `b${1000 + i}`)
    const before = even(names.slice(0, n))
    const after = even(names)
    // A weight of its own that changes nothing for the others.
    const weighed = new Lots(names, [...new Array<number>(n).fill(1), 1e-12])
    let strange = 0
    for (const place of PLACES.slice(0, 5000)) {
      const best = after.best(place)
      if (best !== n && best !== before.best(place)) strange++
      if (weighed.best(place) !== before.best(place)) strange++
    }
    t.equal(strange, 0, `${n} backends`)
  }
  t.end()
})

t.test('where all lots are the same, the first one has the best', (t) => {
  for (const n of [1, 2, 3, 31, 32, 33, 35, 64, 65]) {
    const names = Array.from({ length: n }, (_, i) => `b${i}`)
    t.equal(even(names).best(0), 0, `${n} backends`)
    t.equal(new Lots(names, [...new Array<number>(n - 1).fill(1), 1.5]).best(1 << 31), n - 1, 'or the heaviest')
  }
  t.end()
})

t.test('two names of the same hash share like any others', (t) => {
  const seen = new Map<number, string>()
  let twins: string[] = []
  for (let i = 0; twins.length === 0; i++) {
    const hash = hashText(`twin ${i}`) | 1
    const other = seen.get(hash)
    if (other === undefined) seen.set(hash, `twin ${i}`)
    else twins = [other, `twin ${i}`]
  }
  const parts = partsOf(even([...twins, 'third']), 3, PLACES)
  t.ok(furthest(parts) < 5, `${twins}: ${parts}`)
  t.end()
})
