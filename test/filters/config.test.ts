/** The declaration of filters, routes and path policy: what is taken, what is refused and why. */
import t from 'tap'
import { z } from 'zod'
import { filtersShape } from '../../lib/config/filters.ts'
import { pathsShape } from '../../lib/config/paths.ts'
import { poolsShape, routesShape } from '../../lib/config/routes.ts'
import { canonicalPath, compile, compileRoutes, SAFE_PATHS } from '../../lib/filters/index.ts'
import { cpuMs } from '../support/cpu.ts'

/** What is wrong, as `path: message`. */
const wrong = (shape: z.ZodType, value: unknown): string[] =>
  (shape.safeParse(value).error?.issues ?? []).map(({ path, message, ...issue }) => {
    const inner = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? message) : message
    return `${path.join('.')}: ${inner}`
  })

t.test('the policy of paths is safe by default, and is the one of the filters', (t) => {
  t.same(pathsShape.parse({}), SAFE_PATHS)
  t.equal(pathsShape.parse(undefined), undefined, 'not set: paths go on as they came where there are no filters')
  t.same(pathsShape.parse({ encodedSlash: 'pass' }), { ...SAFE_PATHS, encodedSlash: 'pass' })
  t.equal(canonicalPath('/a%2fb', { ...SAFE_PATHS, ...pathsShape.parse({ encodedSlash: 'pass' }) }), '/a%2Fb')
  t.match(wrong(pathsShape, { nul: 'decode' }), [/^nul: /])
  t.end()
})

t.test('one value stands for a list of one; a path for a prefix', (t) => {
  const when = { host: 'a.example', path: '/a', method: 'GET', from: '10.0.0.0/8' }
  t.same(filtersShape.parse([{ access: { rules: [{ allow: when }] }, when: { path: ['/a', { exact: '/b' }] } }]), [
    {
      access: {
        rules: [{ allow: { host: ['a.example'], path: [{ prefix: '/a' }], method: ['GET'], from: ['10.0.0.0/8'] } }],
        default: 'deny',
        status: 403,
      },
      when: { path: [{ prefix: '/a' }, { exact: '/b' }] },
    },
  ])
  t.end()
})

t.test('what the schema answers is what filters and routes are made of', (t) => {
  t.type(compile(filtersShape.parse([{ redirect: { scheme: 'https' } }])).onRequest, 'function')
  const routes = routesShape.parse([{ match: { path: '/a' }, pool: 'a' }, { pool: 'rest' }])
  t.same(routes[1], { match: {}, pool: 'rest' })
  t.type(compileRoutes(routes.map(({ match }) => match)), 'function')
  const pools = poolsShape({ balance: z.string() }).parse({ api: { balance: 'round-robin' } })
  t.equal(pools['api']?.balance, 'round-robin')
  t.end()
})

t.test('nothing is the default', (t) => {
  t.same(filtersShape.parse(undefined), [])
  t.same(routesShape.parse(undefined), [])
  t.same(poolsShape({}).parse(undefined), {})
  t.end()
})

t.test('all of it can be told as JSON Schema', (t) => {
  const shape = z.object({ filters: filtersShape, routes: routesShape, paths: pathsShape, pools: poolsShape({}) })
  const schema = JSON.stringify(z.toJSONSchema(shape, { io: 'input' }))
  for (const key of ['setRequestFields', 'rewriteLocation', 'doubleEncoding', 'pool', 'sameSite']) t.match(schema, key)
  t.end()
})

const filters: readonly (readonly [unknown, RegExp])[] = [
  [{}, /^0: needs one of setRequestFields, /],
  [{ when: { path: '/' } }, /^0: needs one of/],
  [{ access: {}, respond: {} }, /^0: has access and respond/],
  [{ setRequestFields: { 'X-A': 'a\r\nB: c' } }, /X-A: a header value has no line breaks/],
  [{ setRequestFields: { 'X-A': 'a\0' } }, /X-A: a header value has no line breaks/],
  [{ setRequestFields: { 'X-A': '€' } }, /X-A: a header value has no line breaks/],
  [{ setRequestFields: { 'X A': 'a' } }, /X A: is not a valid header name/],
  [{ setRequestFields: { 'X-A\r\nB': 'a' } }, /is not a valid header name/],
  [{ setRequestFields: { 'X-A': '{cleint}' } }, /X-A: has the unknown placeholder \{cleint\}; known: /],
  [{ setRequestFields: { Host: 'a b' } }, /Host: is not a host/],
  [{ setRequestFields: { host: 'a/b' } }, /host: is not a host/],
  [{ addRequestFields: { Host: 'a' } }, /Host: is a field that can only be set/],
  [{ removeRequestFields: ['host'] }, /^0.removeRequestFields.0: is a field that can only be set/],
  [{ removeRequestFields: [] }, /at least one name/],
  [{ respond: { fields: { 'Transfer-Encoding': 'chunked' } } }, /Transfer-Encoding: is a field of one hop/],
  [{ respond: { status: 199 } }, /^0.respond.status: /],
  [{ respond: { status: 204, body: 'x' } }, /^0.respond.body: has a body/],
  [{ redirect: {} }, /^0.redirect: needs one of scheme/],
  [{ redirect: { status: 307 } }, /^0.redirect: needs one of scheme/],
  [{ redirect: { status: 300, path: '/' } }, /expected 301, 302/],
  [{ redirect: { host: 'a.example/x' } }, /^0.redirect.host: is not a host name/],
  [{ redirect: { host: 'a@b' } }, /^0.redirect.host: is not a host name/],
  [{ redirect: { host: 'a.example.' } }, /^0.redirect.host: is not a host name/],
  [{ redirect: { host: 'a', hosts: 'b' } }, /^0.redirect: has host and hosts/],
  [{ redirect: { path: '//evil.example' } }, /^0.redirect.path: has an empty segment/],
  [{ redirect: { path: 'https://x/' } }, /^0.redirect.path: is not a path/],
  [{ redirect: { path: '/a b' } }, /^0.redirect.path: is not a path/],
  [{ redirect: { path: '/a?b' } }, /^0.redirect.path: is not a path/],
  [{ redirect: { path: '/%zz' } }, /^0.redirect.path: has a malformed %/],
  [{ rewritePath: {} }, /^0.rewritePath: needs one of/],
  [{ rewritePath: { stripPrefix: '/a', addPrefix: '/b' } }, /^0.rewritePath: has stripPrefix and addPrefix/],
  [{ rewritePath: { stripPrefix: '/a', to: '/b' } }, /needs both/],
  [{ rewritePath: { regex: '^/a' } }, /needs both/],
  [{ rewritePath: { regex: '^(a+)+$', to: '/' } }, /^0.rewritePath.regex: is ambiguous/],
  [{ rewritePath: { regex: '^/(a)', to: '/$2' } }, /^0.rewritePath.to: has \$2, and the pattern has 1 groups/],
  [{ rewritePath: { regex: '^/(a)', to: '/$x' } }, /^0.rewritePath.to: has a single \$/],
  [{ rewritePath: { regex: '^/(a)', to: '$1' } }, /^0.rewritePath.to: is not a path/],
  [{ rewritePath: { regex: '^/(a)', to: '/%2$1' } }, /^0.rewritePath.to: is not a path/],
  [{ rewritePath: { stripPrefix: '/a/../b' } }, /has an empty segment or a dot segment/],
  [{ rewritePath: { stripPrefix: '/%2E%2e' } }, /has an empty segment or a dot segment/],
  [{ access: { rules: [{}] } }, /^0.access.rules.0: needs one of allow, deny/],
  [{ access: { rules: [{ allow: {}, deny: {} }] } }, /^0.access.rules.0: has allow and deny/],
  [{ access: { status: 500 } }, /expected 403 or 404/],
  [{ cookies: { sameSite: 'None' } }, /^0.cookies.sameSite: None needs secure/],
  [{ cookies: { domain: { from: 'a', to: 'b; Secure' } } }, /^0.cookies.domain.to: is not a domain/],
  [{ cookies: { path: { from: '/', to: '/;x' } } }, /^0.cookies.path.to: has a semicolon/],
  [{ rewriteLocation: { hosts: ['http://a'] } }, /^0.rewriteLocation.hosts.0: is not a host/],
  [{ respond: {}, when: { path: { exact: '/a', prefix: '/b' } } }, /when.path: /],
  [{ respond: {}, when: { host: 'a*.example' } }, /when.host: /],
  [{ respond: {}, when: { host: '*' } }, /when.host: /],
  [{ respond: {}, when: { method: 'get' } }, /when.method: /],
  [{ respond: {}, when: { from: '10.0.0.0/33' } }, /when.from: /],
  [{ respond: {}, when: { from: [] } }, /when.from: /],
]
for (const [value, message] of filters)
  t.test(`refused: ${JSON.stringify(value)}`, (t) => {
    t.match(wrong(filtersShape, [value]).join('\n'), message)
    t.end()
  })

for (const name of [
  'Connection',
  'keep-alive',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Transfer-Encoding',
  'transfer_encoding',
  'Upgrade',
  'Content-Length',
  'Content_Length',
  'Expect',
])
  t.test(`no filter touches ${name}`, (t) => {
    for (const side of ['Request', 'Response'])
      for (const entry of [
        { [`set${side}Fields`]: { [name]: 'x' } },
        { [`add${side}Fields`]: { [name]: 'x' } },
        { [`remove${side}Fields`]: [name] },
      ])
        t.match(wrong(filtersShape, [entry]).join(), /is a field of one hop/, JSON.stringify(entry))
    t.end()
  })

t.test('routes: pool is needed, conditions are checked', (t) => {
  t.match(wrong(routesShape, [{ match: {} }]).join(), /^0.pool: /)
  t.match(wrong(routesShape, [{ pool: 'a b' }]).join(), /^0.pool: is not the name of a pool/)
  t.match(wrong(routesShape, [{ pool: 'a', match: { path: { regex: '^(a|a)*x' } } }]).join(), /^0.match.path/)
  t.match(wrong(routesShape, [{ pool: 'a', match: { headers: { 'X-A': 1 } } }]).join(), /expected the value, true/)
  t.match(wrong(poolsShape({}), { 'a b': {} }).join(), /a name has letters/)
  t.end()
})

t.test('a host is a name or an address, checked in no time', (t) => {
  for (const host of ['a', 'a.example', '*.a.example', '10.0.0.1', '[2001:db8::1]', 'xn--bcher-kva.example', 'a_b.c'])
    t.same(wrong(filtersShape, [{ respond: {}, when: { host } }]), [], host)
  const took = cpuMs(() => {
    for (const host of ['a.'.repeat(5000), `${'a'.repeat(10_000)}!`, `[${':'.repeat(10_000)}`])
      t.not(wrong(filtersShape, [{ respond: {}, when: { host } }]).length, 0)
  })
  t.ok(took < 250)
  t.end()
})
