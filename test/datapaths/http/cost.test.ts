/** No head costs much more than it is long (THREATS 12): what once took time by the square of it. */
import t from 'tap'
import { filterRequest } from '../../../lib/datapaths/http/filtered-head.ts'
import { Filtering } from '../../../lib/datapaths/http/filtering.ts'
import { type ForwardRules, forwardRequest } from '../../../lib/datapaths/http/forward.ts'
import { Hop } from '../../../lib/datapaths/http/hop.ts'
import { trimmed } from '../../../lib/datapaths/trimmed.ts'
import { parsed } from './fixtures/heads.ts'

const RULES: ForwardRules = { host: 'preserve', via: 'evenkeel', requestId: 'X-Request-Id', forwarded: false }
const TRIES = 15 // the shortest of them is what it costs; the others were disturbed

function cost(work: () => unknown): number {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < TRIES; i++) {
    const begun = performance.now()
    work()
    least = Math.min(least, performance.now() - begun)
  }
  return least
}

t.test('fields are not compared one by one with thousands of names in Connection', (t) => {
  const forwarding = (fields: number): number => {
    const named = Array.from({ length: 3 }, (_, i) => `Connection: ${`a${i},`.repeat(2700)}\r\n`).join('')
    const text = `GET / HTTP/1.1\r\nHost: a.test\r\n${named}${'b1: x\r\n'.repeat(fields)}\r\n`
    const { head, buf, base } = parsed(text)
    if (!head.interpret(buf, base, { allowTrace: false, upgrades: [], via: false })) throw new Error(head.problem)
    const hop = new Hop('192.0.2.1', 'http', 80, false, RULES)
    return cost(() => {
      for (let i = 0; i < 20; i++) forwardRequest(buf, base, head, RULES, hop, 'id')
    })
  }
  const [few, many] = [forwarding(9), forwarding(90)]
  // By pairs, 90 fields took 5 ms a request here; looked up, 0.02.
  t.ok(many < 40, `${many.toFixed(2)} ms for 20 heads of 90 fields, ${few.toFixed(2)} for those of 9`)
  t.end()
})

t.test('spaces in the middle of a value are not looked at again and again', (t) => {
  const filtering = Filtering.of([{ setRequestFields: { X: 'y' } }], undefined, false)
  const value = `a${' '.repeat(8000)}b`
  const facts = { authority: 'a.test', scheme: 'http', clientAddress: '192.0.2.1', id: 'id' } as const
  const text = `GET / HTTP/1.1\r\nHost: a.test\r\nV: \t${value} \t\r\n\r\n`
  if (filtering === null) throw new Error('there are filters')
  t.ok(filterRequest(filtering, text, facts).text.includes(`\r\nV: ${value}\r\n`), 'the value is what it was')
  const ms = cost(() => filterRequest(filtering, text, facts))
  t.ok(ms < 10, `${ms.toFixed(2)} ms; by a regular expression it took 42`)
  t.end()
})

t.test('white space is taken from both ends, and nothing else', (t) => {
  for (const [text, wanted] of [
    ['', ''],
    [' ', ''],
    [' \t ', ''],
    ['a', 'a'],
    ['\ta b\t ', 'a b'],
    ['\xa0a\x0b', '\xa0a\x0b'],
  ] as const)
    t.equal(trimmed(text), wanted, JSON.stringify(text))
  t.end()
})
