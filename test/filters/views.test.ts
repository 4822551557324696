/** What filters see of a request, and what they can't do to it. */
import fc from 'fast-check'
import t from 'tap'
import { RefusedError, readAuthority, readTarget, SAFE_PATHS } from '../../lib/filters/index.ts'
import { request } from './fixtures/exchange.ts'

const AUTHORITIES: readonly (readonly [string, 'http' | 'https', string, number])[] = [
  ['Shop.Example', 'http', 'shop.example', 80],
  ['shop.example:8443', 'https', 'shop.example', 8443],
  ['shop.example.', 'https', 'shop.example', 443],
  ['shop.example.:81', 'http', 'shop.example', 81],
  ['shop.example:', 'https', 'shop.example', 443],
  ['[2001:DB8::1]', 'http', '[2001:db8::1]', 80],
  ['[::1]:8080', 'http', '[::1]', 8080],
  ['10.0.0.1:99999', 'http', '10.0.0.1', 80],
  ['', 'http', '', 80],
]
for (const [text, scheme, host, port] of AUTHORITIES)
  t.test(`the authority ${JSON.stringify(text)} is host ${host} and port ${port}`, (t) => {
    t.same(readAuthority(text, scheme), { host, port })
    t.end()
  })

t.test('a target is a canonical path and the query as it is', (t) => {
  t.same(readTarget('/%61//b?x=%2F..&y?', SAFE_PATHS), { path: '/a/b', query: '?x=%2F..&y?' })
  t.same(readTarget('?x', SAFE_PATHS), { path: '/', query: '?x' })
  t.same(readTarget('/', SAFE_PATHS), { path: '/', query: '' })
  t.same(readTarget('*', SAFE_PATHS), { path: '*', query: '' })
  t.match(readTarget('/%00?x', SAFE_PATHS), { status: 400 })
  t.end()
})

t.test('a path that is set becomes canonical; the one that was asked for is kept', (t) => {
  const asked = request({ target: '/%61?q=1' })
  asked.path = '/b c//%7e{'
  t.equal(asked.path, '/b%20c/~%7B')
  t.equal(asked.originalPath, '/a')
  t.equal(asked.target, '/b%20c/~%7B?q=1')
  t.end()
})

t.test('what no request line may hold is refused, and changes nothing', (t) => {
  const asked = request({ target: '/a?b' })
  for (const path of ['', 'b', '*', 'http://x/', '/\r\n', '/\0', '/%zz', '/a%2fb', '/a%00', `/${'x'.repeat(40_000)}`])
    t.throws(() => {
      asked.path = path
    }, RefusedError)
  for (const query of ['b', '?a b', '?a#b', '?\r\n', '?\xe9', '? '])
    t.throws(() => {
      asked.query = query
    }, RefusedError)
  t.equal(asked.target, '/a?b')
  t.end()
})

t.test('a rewritten path with dot segments is refused, where the same from a client is resolved', (t) => {
  const asked = request({ target: '/a/../b' })
  t.equal(asked.path, '/b')
  for (const path of ['/files/../secret', '/files/./x', '/..', '/a/..;/b'])
    t.throws(() => {
      asked.path = path
    }, RefusedError)
  const lenient = request({ paths: { dotSegments: 'pass' } })
  lenient.path = '/a/../b'
  t.equal(lenient.path, '/a/../b')
  t.end()
})

t.test('whatever is set, the target stays one that can stand in a request line', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 20 }), fc.string({ maxLength: 20 }), (path, query) => {
      const asked = request({ target: '/start?q' })
      for (const set of [() => (asked.path = path), () => (asked.path = `/${path}`), () => (asked.query = `?${query}`)])
        try {
          set()
        } catch (error) {
          if (!(error instanceof RefusedError)) throw error
        }
      return /^\/[!-~]*$/.test(asked.target) && !asked.target.includes('#') && !/[?\\]/.test(asked.path)
    }),
    { numRuns: 2000 },
  )
  t.end()
})
