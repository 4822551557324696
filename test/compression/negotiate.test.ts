/** RFC 9110 §12.5.3: the coding that a client gets is one that it wants, and the one that it wants most. */
import fc from 'fast-check'
import t from 'tap'
import { chooseEncoding, type Encoding } from '../../lib/datapaths/compression/negotiate.ts'

const ALL: readonly Encoding[] = ['zstd', 'br', 'gzip']

const TABLE: readonly [accept: string, offered: readonly Encoding[], chosen: Encoding | null][] = [
  ['', ALL, null],
  ['gzip', ALL, 'gzip'],
  ['GZip', ALL, 'gzip'],
  ['x-gzip', ALL, 'gzip'],
  ['gzip, deflate, br, zstd', ALL, 'zstd'],
  ['gzip, deflate, br, zstd', ['gzip', 'br', 'zstd'], 'gzip'],
  ['gzip, deflate, br', ALL, 'br'],
  ['gzip,br', ['zstd'], null],
  ['gzip;q=1.0, br;q=0.9', ALL, 'gzip'],
  ['gzip;q=0.001', ALL, 'gzip'],
  ['gzip ; Q=0.5\t,\tbr;q=0.4', ALL, 'gzip'],
  ['deflate', ALL, null],
  ['identity', ALL, null],
  ['*', ALL, 'zstd'],
  ['*;q=0', ALL, null],
  ['gzip, *;q=0', ALL, 'gzip'],
  ['zstd;q=0, *', ALL, 'br'],
  ['zstd;q=0, br;q=0.0, *;q=0.1', ALL, 'gzip'],
  ['zstd;q=0, br;q=0, gzip;q=0, *', ALL, null],
  ['identity;q=0, *', ALL, 'zstd'],
  ['identity;q=0, gzip;q=0.5', ALL, 'gzip'],
  ['identity;q=0', ALL, null],
  ['identity, gzip;q=0.5', ALL, null],
  ['identity;q=0.5, gzip', ALL, 'gzip'],
  ['identity, gzip', ALL, 'gzip'],
  ['gzip;q=0.5, *', ['gzip'], null],
  [' , ,gzip,', ALL, 'gzip'],
  ['gzip, gzip;q=0', ALL, null],
  ['gzip;q=0, gzip', ALL, null],
  ['gzip;q=2', ALL, null],
  ['gzip;q=-1', ALL, null],
  ['gzip;q=0.0001', ALL, null],
  ['gzip;q=1.001', ALL, null],
  ['gzip;q=', ALL, null],
  ['gzip;q="1"', ALL, null],
  ['gzip;level=9', ALL, null],
  ['gzip q=1', ALL, null],
  ['gzipx', ALL, null],
  ['"gzip"', ALL, null],
  ['\u00a0gzip', ALL, null],
]

t.test('the table of preferences', async (t) => {
  for (const [accept, offered, chosen] of TABLE)
    t.equal(chooseEncoding(accept, offered), chosen, `${JSON.stringify(accept)} of ${offered}`)
})

const codings = fc.constantFrom('zstd', 'br', 'gzip', 'deflate', 'identity', '*')
const weights = fc.constantFrom('', ';q=0', ';q=0.0', ';q=0.001', ';q=0.5', ' ; q=0.50', ';q=1', ';q=1.000')
const weightOf = (text: string): number => (text === '' ? 1 : Number(text.split('=')[1]))

t.test('never one that the client refuses, never one that another one beats', async () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(codings, weights), { selector: ([name]) => name }),
      fc.shuffledSubarray([...ALL], { minLength: 1 }),
      (elements, offered) => {
        const chosen = chooseEncoding(elements.map(([name, weight]) => name + weight).join(', '), offered)
        const told = new Map<string, number>(elements.map(([name, weight]) => [name, weightOf(weight)]))
        const weight = (name: string): number => told.get(name) ?? told.get('*') ?? 0
        const best = Math.max(...offered.map(weight))
        if (chosen === null) return best === 0 || weight('identity') > best
        const first = offered.find((each) => weight(each) === best)
        return best > 0 && chosen === first && weight('identity') <= best
      },
    ),
    { numRuns: 2000 },
  )
})

t.test('whatever the field says, the answer is one of those offered and the time is short', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (accept) => {
      const chosen = chooseEncoding(accept, ['gzip'])
      return chosen === null || /gzip|\*/i.test(accept)
    }),
  )
  const long = [',gzip;q=0.5'.repeat(740), `gzip${' '.repeat(8000)}x`, `gzip;${'\t'.repeat(8000)}q=1`]
  const times = Array.from({ length: 5 }, () => {
    const begun = performance.now()
    for (const accept of long) chooseEncoding(accept, ALL)
    return performance.now() - begun
  })
  t.ok(Math.min(...times) < 20, `fields of 8 KiB: ${times}`) // a pattern that looks at runs of spaces anew takes 70
})
