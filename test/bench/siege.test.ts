/** What the siege reads from the balancer, and its table of malformed requests. */
import t from 'tap'
import { FLOODS } from '../../bench/siege/flood-frames.ts'
import { MALFORMED } from '../../bench/siege/malformed-requests.ts'
import { sumOf } from '../../bench/siege/target.ts'

t.test('a family is summed over all its series, and over no other family', async (t) => {
  const metrics = 'a_active{x="1"} 2\na_active{x="2"} 3\na_active_total{x="1"} 100\n# a_active 7\nb 1\nc_total 0.5\n'
  t.equal(sumOf(metrics, 'a_active'), 5)
  t.equal(sumOf(metrics, 'b'), 1)
  t.equal(sumOf(metrics, 'none'), 0)
})

t.test('each malformed request has a title of its own, and is answered with an error of the client', async (t) => {
  t.equal(new Set(MALFORMED.map(({ title }) => title)).size, MALFORMED.length)
  for (const { title, status } of MALFORMED) t.ok([400, 405, 414, 417, 431, 501, 505].includes(status), title)
})

/** The lengths of the frames that bytes consist of. */
function lengthsOf(bytes: Buffer): number[] {
  const lengths: number[] = []
  for (let at = 0; at < bytes.length; at += 9 + (lengths.at(-1) ?? 0)) lengths.push(bytes.readUIntBE(at, 3))
  return lengths
}

t.test('each flood consists of whole frames', async (t) => {
  for (const [name, { again }] of Object.entries(FLOODS))
    for (const bytes of again === null ? [] : [again(0), again(1)])
      t.equal(
        bytes.length,
        lengthsOf(bytes).reduce((sum, length) => sum + 9 + length, 0),
        name,
      )
})
