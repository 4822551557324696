/** Who waits: the order, leaving out of it, and what is left of those who have left. */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { Line, type Waiting } from '../../lib/core/index.ts'

interface Guest extends Waiting<Guest> {
  readonly luggage: readonly number[]
}
const guest = (): Guest => ({ ahead: null, behind: null, luggage: new Array(100).fill(0.5) })

t.test('they go in the order in which they came, but for those who leave, who may leave twice', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(19)), (steps) => {
      const line = new Line<Guest>()
      const wanted: Guest[] = []
      const guests = Array.from({ length: 10 }, guest)
      for (const step of steps) {
        const one = guests[step % 10] as Guest
        const at = wanted.indexOf(one)
        if (step >= 15) {
          if (line.next() !== (wanted.shift() ?? null)) return false
        } else if (at < 0) {
          line.delete(one)
          line.add(one)
          wanted.push(one)
        } else {
          line.delete(one)
          wanted.splice(at, 1)
        }
      }
      return wanted.every((one) => line.next() === one) && line.next() === null
    }),
  )
})

t.test('of those who have waited while others still do nothing grows old', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectYoung = (runInNewContext('gc') as (how: object) => void).bind(null, { type: 'minor' })
  const old = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? 0
  const line = new Line<Guest>()
  for (let n = 0; n < 5; n++) line.add(guest())
  for (let n = 0; n < 3; n++) collectYoung()
  const before = old()
  for (let n = 1; n <= 20_000; n++) {
    line.add(guest())
    line.next()
    if (n % 1000 === 0) collectYoung()
  }
  t.ok(old() - before < 1e6, `${old() - before} bytes`) // their luggage is 16 MB, and in a Set it stays until all of the heap is collected
})
