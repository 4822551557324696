/** Routes: the first that matches, found without looking at all of them. */
import fc from 'fast-check'
import t from 'tap'
import { routesShape } from '../../lib/config/routes.ts'
import { compileRoutes, type RequestView } from '../../lib/filters/index.ts'
import { type Asked, request } from './fixtures/exchange.ts'

const routesOf = (...matches: object[]): ((asked: Asked) => number) => {
  const find = compileRoutes(
    routesShape.parse(matches.map((match) => ({ match, pool: 'p' }))).map(({ match }) => match),
  )
  return (asked) => find(request(asked))
}

function table(title: string, matches: object[], rows: readonly (readonly [Asked, number])[]): void {
  t.test(title, (t) => {
    const find = routesOf(...matches)
    for (const [asked, wanted] of rows) t.equal(find(asked), wanted, JSON.stringify(asked))
    t.end()
  })
}

table('with no route none matches', [], [[{}, -1]])
table('an empty match is met by all', [{}], [[{ host: '', method: 'OPTIONS', target: '*' }, 0]])
table(
  'order decides, not how special a route is',
  [{ path: '/' }, { host: 'shop.example', path: '/a' }],
  [[{ target: '/a' }, 0]],
)
table(
  'by host: a name, all below a name, any',
  [{ host: 'a.shop.example' }, { host: '*.shop.example' }, { host: ['Shop.Example', 'b.example'] }, { path: '/x' }],
  [
    [{ host: 'a.shop.example' }, 0],
    [{ host: 'A.SHOP.EXAMPLE.:443' }, 0],
    [{ host: 'b.shop.example' }, 1],
    [{ host: 'c.b.shop.example' }, 1],
    [{ host: 'shop.example' }, 2],
    [{ host: 'b.example' }, 2],
    [{ host: 'evilshop.example' }, -1],
    [{ host: 'shop.example.evil.example' }, -1],
    [{ host: '.shop.example', target: '/x' }, 3],
    [{ host: '', target: '/x' }, 3],
    [{ host: '__proto__' }, -1],
  ],
)
table(
  'a route for any host, or below a name, stands in its place among those for one host',
  [{ host: 'a.example', path: '/a' }, { path: '/any' }, { host: '*.example' }, { host: 'a.example' }],
  [
    [{ host: 'a.example', target: '/a' }, 0],
    [{ host: 'a.example', target: '/any' }, 1],
    [{ host: 'a.example', target: '/b' }, 2],
    [{ host: 'b.test', target: '/b' }, -1],
  ],
)
table(
  'by path: exact, prefix, pattern',
  [{ path: { exact: '/a' } }, { path: '/a/b/' }, { path: { regex: '^/a/\\d+$' } }, { path: { prefix: '/%41' } }],
  [
    [{ target: '/a?q' }, 0],
    [{ target: '/a/' }, -1],
    [{ target: '/a/b' }, 1],
    [{ target: '/a/b;v=1' }, 1],
    [{ target: '/a/bc' }, -1],
    [{ target: '/a/12' }, 2],
    [{ target: '/A/x' }, 3],
    [{ target: '/%41;x' }, 3],
    [{ target: '/x/../a' }, 0],
  ],
)
table(
  'by method and field',
  [
    { method: ['POST', 'PUT'], headers: { 'X-Beta': '1' } },
    { headers: { 'x-any': true } },
    { method: 'GET', headers: { 'X-Not': false } },
  ],
  [
    [{ method: 'POST', fields: [['x-beta', '1']] }, 0],
    [
      {
        method: 'POST',
        fields: [
          ['X-Beta', '0'],
          ['X-Beta', '1'],
        ],
      },
      0,
    ],
    [{ method: 'POST', fields: [['X-Beta', '11']] }, -1],
    [{ method: 'POST' }, -1],
    [{ method: 'POST', fields: [['X-Any', '']] }, 1],
    [{ method: 'GET' }, 2],
    [{ method: 'GET', fields: [['x-not', 'x']] }, -1],
  ],
)

const host = fc.constantFrom('a.example', 'b.a.example', '*.example', '*.a.example', 'c.test')
const path = fc.constantFrom('/', '/a', '/a/b', '/b', { exact: '/a' }, { exact: '/a/b' }, { regex: '^/a.?b' })
const match = fc.record(
  {
    host: fc.oneof(host, fc.uniqueArray(host, { minLength: 1, maxLength: 3 })),
    path,
    method: fc.constantFrom('GET', 'PUT'),
  },
  { requiredKeys: [] },
)

t.test('the index answers as looking at one route after the other would', (t) => {
  let found = 0
  fc.assert(
    fc.property(
      fc.array(match, { maxLength: 12 }),
      fc.constantFrom('a.example', 'b.a.example', 'x.b.a.example', 'c.test', 'd.test', ''),
      fc.constantFrom('/', '/a', '/a/b', '/a/b/c', '/b', '/ab', '/axb', '/a;x', '*'),
      (matches, asked, target) => {
        const made = request({ host: asked, target })
        const parsed = routesShape.parse(matches.map((each) => ({ match: each, pool: 'p' }))).map((row) => row.match)
        // One route alone has no order to get wrong.
        const wanted = parsed.findIndex((each) => compileRoutes([each])(made) === 0)
        if (wanted > 0) found++
        return compileRoutes(parsed)(made) === wanted
      },
    ),
    { numRuns: 5000 },
  )
  t.ok(found > 500, `${found} times a route behind the first`)
  t.end()
})

t.test('of 1,000 routes only those are asked that the host and first segment leave', (t) => {
  const rows = Array.from({ length: 1000 }, (_, i) =>
    i % 2 === 0 ? { host: [`h${i}.example`], path: { prefix: '/x' } } : { path: { prefix: `/s${i}` } },
  )
  const find = compileRoutes(rows)
  let looks = 0
  const counted = (asked: Asked): RequestView =>
    new Proxy(request(asked), {
      get(target, key) {
        if (key === 'path') looks++
        return Reflect.get(target, key, target)
      },
    })
  t.equal(find(counted({ host: 'h998.example', target: '/x/y' })), 998)
  t.equal(find(counted({ host: 'h998.example', target: '/s999' })), 999)
  t.equal(find(counted({ host: 'none.example', target: '/none' })), -1)
  t.ok(looks < 12, `${looks} looks at the path`)
  t.end()
})
