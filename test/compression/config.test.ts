/** The options of `http.compression`: what they are unless set, and what is refused. */
import t from 'tap'
import { configFrom, file, service, toldOf } from '../config/support.ts'

const withOptions = (options: string) => file(service('a', `    http: { compression: ${options} }\n`))
const compressionOf = async (options: string) =>
  (await configFrom(withOptions(options))).virtualServices['a']?.http.compression

t.test('nothing is compressed unless it is asked for', async (t) => {
  t.equal((await configFrom(file(service('a')))).virtualServices['a']?.http.compression, false)
  t.equal(await compressionOf('false'), false)
})

t.test('the defaults suit a balancer', async (t) => {
  t.match(await compressionOf('{}'), {
    algorithms: ['zstd', 'br', 'gzip'],
    minSize: 1024,
    levels: { zstd: 3, br: 4, gzip: 5 },
    maxActive: 100,
  })
})

t.test('types are known in any case', async (t) => {
  t.match(await compressionOf('{ types: [Text/HTML, "Application/*+JSON"] }'), {
    types: ['text/html', 'application/*+json'],
  })
})

t.test('what makes no sense is refused with what would be right', async (t) => {
  const rows: readonly [options: string, problem: RegExp][] = [
    ['true', /expected false or \{ algorithms/],
    ['{ algorithms: [] }', /at least one algorithm/],
    ['{ algorithms: [gzip, gzip] }', /names an algorithm twice/],
    ['{ algorithms: [deflate] }', /zstd.*br.*gzip/],
    ['{ types: [html] }', /is not a media type; write text\/html/],
    ['{ types: ["*/*"] }', /is not a media type/],
    ['{ types: ["text/html; charset=utf-8"] }', /is not a media type/],
    ['{ minSize: 0 }', /below the least value/],
    ['{ levels: { br: 11 } }', /6/],
    ['{ levels: { zstd: 19 } }', /9/],
    ['{ maxActive: 0 }', /1/],
    ['{ level: 5 }', /unknown key `level`; did you mean `levels`/],
  ]
  for (const [options, problem] of rows) {
    const told = await toldOf(withOptions(options))
    t.equal(told.length, 1, `${options}: ${told}`)
    t.match(told[0], problem, options)
  }
})
