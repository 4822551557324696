/** Regular expressions: those that could run long are refused, those that pass run in linear time. */
import fc from 'fast-check'
import t from 'tap'
import { checkPattern } from '../../lib/config/patterns.ts'
import { cpuMs } from '../support/cpu.ts'

const USEFUL: Readonly<Record<string, number>> = {
  '^/api/v\\d+/(.*)$': 1,
  '^.*\\.php$': 0,
  '^.*\\.(php|phps|phtml)$': 1,
  '^/([^/]+)/([^/]+)$': 2,
  '^/(?:[a-z]+/)*x$': 0,
  '^/(?:shop|cart|shopping)(?:/.*)?$': 0,
  '^/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{12}$': 0,
  '^/user/(\\w{1,32})/': 1,
  '^/x{2,4}y': 0,
  '^/x{2,}?y': 0,
  '^/a(?:b|c|)d': 0,
  '^/((?:[a-z]+,)*)z': 1,
  '^/caf%C3%A9\\+\\[\\]\\/': 0,
  '^[^/\\]\\-]*/[\\w.%-]+$': 0,
  '^': 0,
  '^/$': 0,
}
for (const [source, groups] of Object.entries(USEFUL))
  t.test(`${source} passes, with ${groups} groups`, (t) => {
    t.same(checkPattern(source), { groups })
    t.doesNotThrow(() => new RegExp(source, 'u'))
    t.end()
  })

/** From papers, advisories and tools about regular expressions that exhaust. */
const EXPLOSIVE = [
  '^(a+)+$',
  '^(a*)*$',
  '^(a|a)*$',
  '^(a|aa)+$',
  '^(a|a?)+$',
  '^(.*)*x',
  '^(?:.|a)+x',
  '^(.*a){20}$',
  '^(.*,){11}P',
  '^([a-zA-Z]+)*$',
  '^(([a-z])+.)+[A-Z]([a-z])+$',
  '^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@)',
  '^(?:a?){25}a{25}$',
  '^a?a?a?a?a?a?aaaaaa$',
  '^\\d+\\d+x',
  '^\\d*[0-9]*x',
  '^.*.*x',
  '^.*a.*b$',
  '^/.*/.*/.*/x$',
  '^(?:(?:a+)b?)+c',
  '^(?:a{1,30}){1,30}b',
  '^(?:/[^/]*)*/x/[^/]*y(?:/.*)*$',
  '^(?:\\w|_)*x',
  '^[a-f]*[e-k]*x',
]
for (const source of EXPLOSIVE)
  t.test(`${source} is refused`, (t) => {
    t.match(checkPattern(source), /^(is ambiguous|has a repetition|has two alternatives|is too large)/)
    t.end()
  })

const REFUSED: readonly (readonly [string, RegExp])[] = [
  ['/a', /has no \^/],
  ['', /has no \^/],
  ['a|^b', /has no \^/],
  ['^a|b', /outside of a group/],
  ['^(?=a)', /look-around/],
  ['^(?!a)', /look-around/],
  ['^(?<=a)b', /look-around/],
  ['^(?<!a)b', /look-around/],
  ['^(?<n>a)', /named group/],
  ['^(a)\\1', /back reference/],
  ['^(?<n>a)\\k<n>', /named group/],
  ['^/\\bx', /escape \\b/],
  ['^/\\sx', /escape \\s/],
  ['^/\\u0041', /escape \\u/],
  ['^/\\p{L}', /escape \\p/],
  ['^/a^b', /anchor inside/],
  ['^/a$b', /anchor inside/],
  ['^/(a', /not closed/],
  ['^/[a', /not closed/],
  ['^/a)', /too many/],
  ['^/[z-a]', /a range that is none/],
  ['^/[\\d-a]', /a range that is none/],
  ['^/a{2,1}', /runs backwards/],
  ['^/a{65}', /above 64/],
  ['^/a{0}', /no time/],
  ['^(?:(?:(?:a?)?)?)?b', /repetition of what can be empty/],
  ['^(?:){64}', /repetition of what can be empty/],
  ['^(?:a|b?)+', /repetition of what can be empty/],
  ['^/a**', /nothing before it/],
  ['^/{x}', /nothing before it/],
  ['^/é', /visible ASCII/],
  ['^/ ', /visible ASCII/],
  ['^/\n', /visible ASCII/],
  [`^/${'a'.repeat(600)}`, /longer than 512/],
  [`^/${'(?:abcd){64}'}`, /too large/],
  ['^.*.{40}x', /too many ways/],
]
for (const [source, reason] of REFUSED)
  t.test(`${JSON.stringify(source.slice(0, 40))} is refused with its reason`, (t) => {
    t.match(checkPattern(source), reason)
    t.end()
  })

const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '(?:a|b)', '(a)', '/')
const quantified = fc
  .tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,3}', '{2,}', '*?', '+?'))
  .map((parts) => parts.join(''))
const sequence = fc.array(quantified, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''))
const group = fc
  .tuple(fc.array(sequence, { minLength: 1, maxLength: 3 }), fc.constantFrom('', '*', '+', '?', '{2,3}'))
  .map(([alternatives, quantifier]) => `(?:${alternatives.join('|')})${quantifier}`)
const sources = fc
  .tuple(fc.array(fc.oneof(sequence, group), { minLength: 1, maxLength: 4 }), fc.constantFrom('', '$', 'x$', '!'))
  .map(([parts, end]) => `^${parts.join('')}${end}`)

t.test('no pattern that passes is slow on any of the texts that make others explode', (t) => {
  const texts = ['a', 'b', 'ab', 'aab', '/', 'a/', 'ab/'].map((unit) => `${unit.repeat(32_000 / unit.length)}!`)
  let passed = 0
  let worst = 0
  fc.assert(
    fc.property(sources, (source) => {
      if (typeof checkPattern(source) === 'string') return
      passed++
      const pattern = new RegExp(source, 'u')
      for (const text of texts) {
        const begun = performance.now()
        pattern.test(text)
        worst = Math.max(worst, performance.now() - begun)
      }
    }),
    { numRuns: 3000, seed: 7 },
  )
  t.ok(passed > 300, `${passed} patterns passed`)
  t.ok(worst < 250, `the slowest took ${worst.toFixed(1)} ms for 32,000 characters`)
  t.end()
})

t.test('what is refused for ambiguity does explode: steps on V8 grow faster than the text', (t) => {
  for (const source of ['^(?:a+)+!', '^(?:a|a)*!', '^(?:a|aa)+!']) {
    const pattern = new RegExp(source, 'u')
    const time = (length: number): number => {
      const text = 'a'.repeat(length)
      const begun = performance.now()
      pattern.test(text)
      return performance.now() - begun
    }
    time(10)
    t.ok(time(24) > 8 * time(12), source)
    t.match(checkPattern(source), /ambiguous/)
  }
  t.end()
})

t.test('checking takes no time, whatever the pattern', (t) => {
  const sources = [
    `^${'(?:a|b)'.repeat(70)}`,
    `^${'.?'.repeat(200)}`,
    `^${'('.repeat(250)}a${')'.repeat(250)}`,
    `^${'(?:'.repeat(60)}a${'){2}'.repeat(60)}`,
    `^${'[^a]{1,64}'.repeat(20)}`,
    `^(?:${Array.from({ length: 60 }, (_, i) => `a${i}`).join('|')})*x`,
    `^.*(?:${'.|'.repeat(100)}.)`,
  ]
  for (const source of sources) {
    const took = cpuMs(() => checkPattern(source))
    t.ok(took < 250, source.slice(0, 40))
  }
  t.end()
})
