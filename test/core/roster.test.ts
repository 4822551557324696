/** Who is there: adding, leaving, and what is left of those who have left. */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { type Member, Roster } from '../../lib/core/index.ts'

interface Guest extends Member {
  readonly luggage: readonly number[]
}
const guest = (): Guest => ({ seat: -1, luggage: new Array(100).fill(0.5) })

t.test('whoever is added is there until it leaves, and may leave twice', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9)), (steps) => {
      const roster = new Roster<Guest>()
      const wanted = new Set<Guest>()
      const guests = Array.from({ length: 10 }, guest)
      for (const step of steps) {
        const one = guests[step] as Guest
        if (wanted.delete(one)) roster.delete(one)
        else {
          roster.delete(one)
          wanted.add(one)
          roster.add(one)
        }
      }
      const there = new Set(roster)
      return roster.size === wanted.size && there.size === wanted.size && [...wanted].every((one) => there.has(one))
    }),
  )
})

t.test('who is looked at one by one may leave, with others, and nobody is missed', async (t) => {
  const roster = new Roster<Guest>()
  const guests = Array.from({ length: 6 }, guest)
  for (const one of guests) roster.add(one)
  const seen: number[] = []
  for (const one of roster) {
    const n = guests.indexOf(one)
    seen.push(n)
    roster.delete(one)
    if (n === 1) roster.delete(guests[4] as Guest)
  }
  t.same(seen, [0, 1, 2, 3, 5])
  t.equal(roster.size, 0)
})

t.test('of those who came and went while others stay nothing grows old', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectYoung = (runInNewContext('gc') as (how: object) => void).bind(null, { type: 'minor' })
  const old = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? 0
  const roster = new Roster<Guest>()
  let last: Guest[] = Array.from({ length: 5 }, guest)
  for (const one of last) roster.add(one)
  for (let n = 0; n < 3; n++) collectYoung()
  const before = old()
  for (let n = 1; n <= 20_000; n++) {
    const one = guest()
    roster.add(one)
    roster.delete(last[0] as Guest)
    last = [...last.slice(1), one]
    if (n % 1000 === 0) collectYoung()
  }
  t.ok(old() - before < 1e6, `${old() - before} bytes`) // their luggage is 16 MB, and in a Set it stays until all of the heap is collected
})
