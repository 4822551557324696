/** Redirects: to another scheme, host, port or path, never where only a client wants to. */
import t from 'tap'
import { type Asked, ask, chain, request } from './fixtures/exchange.ts'

/** Status and Location, or undefined where the request goes on. */
function redirected(options: object, asked: Asked): string | undefined {
  const reply = ask(chain({ redirect: options }), request(asked))
  if (reply === undefined) return undefined
  const location = reply.fields.find(([name]) => name === 'Location')?.[1]
  return `${reply.status} ${location ?? reply.detail}`
}

const ROWS: readonly (readonly [title: string, object, Asked, string | undefined])[] = [
  ['to https, path and query kept', { scheme: 'https' }, { target: '/a?b' }, '307 https://shop.example/a?b'],
  ['not from https to https', { scheme: 'https' }, { scheme: 'https', target: '/a' }, undefined],
  ['to https, from another port', { scheme: 'https' }, { host: 'shop.example:8080' }, '307 https://shop.example/'],
  ['to a port', { scheme: 'https', port: 8443 }, {}, '307 https://shop.example:8443/'],
  ['to a port that is the default', { scheme: 'https', port: 443 }, {}, '307 https://shop.example/'],
  ['with another status', { scheme: 'https', status: 308 }, {}, '308 https://shop.example/'],
  ['to a host', { host: 'www.shop.example' }, { target: '/a' }, '307 http://www.shop.example/a'],
  ['not from a host to itself', { host: 'shop.example' }, { target: '/a' }, undefined],
  ['to a host, the scheme kept', { host: 'b.example' }, { scheme: 'https' }, '307 https://b.example/'],
  ['to a path, as a path', { path: '/new' }, { target: '/old?q' }, '307 /new?q'],
  ['not from a path to itself', { path: '/new' }, { target: '/new?q' }, undefined],
  ['without the query', { path: '/new', query: 'drop' }, { target: '/old?q' }, '307 /new'],
  ['not to itself for ever without the query', { path: '/new', query: 'drop' }, { target: '/new' }, undefined],
  ['to an IPv6 host', { scheme: 'https' }, { host: '[2001:DB8::1]:81' }, '307 https://[2001:db8::1]/'],
  [
    'a port is kept where neither scheme nor host change',
    { port: 81 },
    { host: 'shop.example:80' },
    '307 http://shop.example:81/',
  ],
  ['OPTIONS * is not redirected', { scheme: 'https' }, { method: 'OPTIONS', target: '*' }, undefined],
]
for (const [title, options, asked, wanted] of ROWS)
  t.test(title, (t) => {
    t.equal(redirected(options, asked), wanted)
    t.end()
  })

t.test("a client's own host is used only if it is one", (t) => {
  for (const host of ['a%2eb', "a'b", 'a!b', 'a=b', 'a;b', '', '*.example', '-', 'x'.repeat(254)])
    t.equal(redirected({ scheme: 'https' }, { host }), '421 the host is not served here', host)
  t.end()
})

t.test('with hosts, no other one is reflected', (t) => {
  const options = { scheme: 'https', hosts: ['shop.example', '*.cdn.example'] }
  t.equal(redirected(options, { host: 'SHOP.example' }), '307 https://shop.example/')
  t.equal(redirected(options, { host: 'a.b.cdn.example' }), '307 https://a.b.cdn.example/')
  for (const host of ['evil.example', 'cdn.example', 'evilcdn.example', 'shop.example.evil.example', 'xshop.example'])
    t.equal(redirected(options, { host }), '421 the host is not served here', host)
  t.end()
})

t.test('no path leads to another host', (t) => {
  const paths = { emptySegments: 'pass', backslash: 'pass' } as const
  const asked = { target: '//evil.example/%2e%2e', paths: { ...paths, dotSegments: 'pass' } } as const
  t.equal(redirected({ scheme: 'https' }, asked), '307 https://shop.example//evil.example/..')
  const relative = ask(
    chain({ rewritePath: { stripPrefix: '/go' } }, { redirect: { path: '/x' } }),
    request({ target: '/go//evil.example', paths }),
  )
  t.equal(relative?.fields[0]?.[1], '/x')
  const kept = ask(
    chain({ rewritePath: { stripPrefix: '/go' } }, { redirect: { scheme: 'https' } }),
    request({ target: '/go//evil.example', paths }),
  )
  t.equal(kept?.fields[0]?.[1], 'https://shop.example//evil.example')
  t.end()
})
