/** The strict reader of the tests: what it takes and what it refuses. */
import t from 'tap'
import { parseExposition, sampleOf } from './exposition-format.ts'

const family = (type: string, ...samples: string[]): string =>
  [`# HELP x a help`, `# TYPE x ${type}`, ...samples, ''].join('\n')

t.test('samples are read with their labels', (t) => {
  const families = parseExposition(family('counter', 'x{a="1\\"\\\\\\n",b="}"} 2', 'x{a="2",b=""} 1.5e3'))
  t.equal(sampleOf(families, 'x', { a: '1"\\\n' }), 2)
  t.equal(sampleOf(families, 'x'), 1502)
  t.equal(sampleOf(families, 'x', { a: '3' }), undefined)
  t.end()
})

const HISTOGRAM = ['x_bucket{le="1"} 1', 'x_bucket{le="+Inf"} 3', 'x_sum 9', 'x_count 3']
const refused: Readonly<Record<string, string>> = {
  'no end of line': 'x 1',
  'a sample before its type': 'x 1\n',
  'a type without help': '# TYPE x counter\n',
  'a family twice': family('counter', 'x 1') + family('counter', 'x 2'),
  'a sample of another family': family('counter', 'y 1'),
  'a sample twice': family('counter', 'x{a="1",b="2"} 1', 'x{b="2",a="1"} 1'),
  'a label twice': family('counter', 'x{a="1",a="2"} 1'),
  'a bad escape': family('counter', 'x{a="\\t"} 1'),
  'a quote within a value': family('counter', 'x{a="""} 1'),
  'a comma at the end': family('counter', 'x{a="1",} 1'),
  'a value that is none': family('gauge', 'x undefined'),
  'a counter that is not a number': family('counter', 'x NaN'),
  'a histogram without +Inf': family('histogram', ...HISTOGRAM.toSpliced(1, 1)),
  'a histogram that falls': family('histogram', 'x_bucket{le="1"} 4', ...HISTOGRAM.slice(1)),
  'a histogram with bounds out of order': family('histogram', 'x_bucket{le="2"} 0', ...HISTOGRAM),
  'a histogram whose count is another': family('histogram', ...HISTOGRAM.with(3, 'x_count 2')),
  'a histogram without a sum': family('histogram', ...HISTOGRAM.toSpliced(2, 1)),
}
for (const [title, text] of Object.entries(refused))
  t.test(`refused: ${title}`, (t) => {
    t.throws(() => parseExposition(text))
    t.end()
  })

t.test('a good histogram passes', (t) => {
  t.doesNotThrow(() => parseExposition(family('histogram', ...HISTOGRAM)))
  t.end()
})
