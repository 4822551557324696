/** Access rules: the first that is met decides, on what is forwarded. */
import t from 'tap'
import { type Asked, ask, chain, request } from './fixtures/exchange.ts'

/** Is the request let in? */
function letIn(options: object, asked: Asked): boolean {
  const reply = ask(chain({ access: options }), request(asked))
  if (reply !== undefined && (reply.status !== 403 || reply.detail === null)) throw new Error('not the usual refusal')
  return reply === undefined
}

function table(title: string, options: object, rows: readonly (readonly [Asked, boolean])[]): void {
  t.test(title, (t) => {
    for (const [asked, wanted] of rows) t.equal(letIn(options, asked), wanted, JSON.stringify(asked))
    t.end()
  })
}

table('with no rule the default decides, and the default is deny', {}, [[{}, false]])
table('with no rule and default allow, all are let in', { default: 'allow' }, [[{}, true]])
table(
  'the first rule that is met decides',
  {
    rules: [
      { deny: { path: '/admin', method: 'POST' } },
      { allow: { path: ['/admin', '/public'] } },
      { deny: { method: 'GET' } },
    ],
    default: 'allow',
  },
  [
    [{ target: '/admin', method: 'POST' }, false],
    [{ target: '/admin', method: 'GET' }, true],
    [{ target: '/public/x' }, true],
    [{ target: '/other' }, false],
    [{ target: '/other', method: 'PUT' }, true],
  ],
)
table('an empty condition is met by all', { rules: [{ allow: {} }] }, [[{}, true]])
table('by address', { rules: [{ allow: { from: ['10.0.0.0/8', '192.0.2.7', '2001:db8::/32'] } }] }, [
  [{ client: '10.255.1.2' }, true],
  [{ client: '11.0.0.1' }, false],
  [{ client: '192.0.2.7' }, true],
  [{ client: '192.0.2.8' }, false],
  [{ client: '2001:db8:1::9' }, true],
  [{ client: '2001:db9::9' }, false],
  [{ client: '::ffff:10.1.1.1' }, true],
  [{ client: '::ffff:a01:101' }, true],
  [{ client: '::ffff:11.1.1.1' }, false],
])
table('an address that can not be read is refused', { rules: [{ deny: { from: '10.0.0.0/8' } }], default: 'allow' }, [
  [{ client: '192.0.2.1' }, true],
  [{ client: '10.0.0.1' }, false],
  [{ client: '' }, false],
  [{ client: '010.0.0.1' }, false],
  [{ client: 'unix:' }, false],
])
table('by host, whole names only', { rules: [{ allow: { host: ['Shop.Example', '*.cdn.example'] } }] }, [
  [{ host: 'shop.example' }, true],
  [{ host: 'SHOP.EXAMPLE:8443' }, true],
  [{ host: 'shop.example.' }, true],
  [{ host: 'a.shop.example' }, false],
  [{ host: 'xshop.example' }, false],
  [{ host: 'shop.example.evil.example' }, false],
  [{ host: 'a.cdn.example' }, true],
  [{ host: 'a.b.cdn.example' }, true],
  [{ host: 'cdn.example' }, false],
  [{ host: '.cdn.example' }, false],
  [{ host: 'evilcdn.example' }, false],
  [{ host: '' }, false],
])
table('by method, as it is written', { rules: [{ allow: { method: ['GET', 'HEAD'] } }] }, [
  [{ method: 'GET' }, true],
  [{ method: 'HEAD' }, true],
  [{ method: 'get' }, false],
  [{ method: 'GETX' }, false],
])
table('by path: a prefix on the bounds of segments', { rules: [{ deny: { path: '/admin' } }], default: 'allow' }, [
  [{ target: '/admin' }, false],
  [{ target: '/admin/' }, false],
  [{ target: '/admin/users?x' }, false],
  [{ target: '/admin?x' }, false],
  [{ target: '/administrator' }, true],
  [{ target: '/x/admin' }, true],
  [{ target: '/?/admin' }, true],
])
table(
  'no spelling of a denied path gets past, as far as it is served at all',
  { rules: [{ deny: { path: '/admin' } }], default: 'allow' },
  [
    [{ target: '/%61dmin' }, false],
    [{ target: '//admin' }, false],
    [{ target: '/./admin' }, false],
    [{ target: '/x/../admin' }, false],
    [{ target: '/x/%2e%2e/admin' }, false],
    [{ target: '/x/.%2E//admin/y' }, false],
    [{ target: '/admin;x=1' }, false],
    [{ target: '/admin;/users' }, false],
    [{ target: '/x\\..\\admin', paths: { backslash: 'decode' } }, false],
    [{ target: '/x%2f..%2fadmin', paths: { encodedSlash: 'decode' } }, false],
  ],
)
table('by path: exact', { rules: [{ allow: { path: { exact: '/caf%c3%a9' } } }] }, [
  [{ target: '/caf%C3%A9' }, true],
  [{ target: '/caf%c3%a9' }, true],
  [{ target: '/caf%c3%a9/' }, false],
  [{ target: '/caf%c3%a9?x' }, true],
])
table('by path: a pattern', { rules: [{ allow: { path: { regex: '^/v\\d+/' } } }] }, [
  [{ target: '/v1/x' }, true],
  [{ target: '/v/x' }, false],
  [{ target: '/x/v1/' }, false],
])
table('OPTIONS * is below no path', { rules: [{ allow: { path: '/' } }] }, [
  [{ target: '*', method: 'OPTIONS' }, false],
  [{ target: '/' }, true],
])

t.test('rules after a rewriting see what is forwarded, rules before it what was asked for', (t) => {
  const rewrite = { rewritePath: { replacePrefix: { from: '/a', to: '/admin' } } }
  const rules = { access: { rules: [{ deny: { path: '/admin' } }], default: 'allow' } }
  t.equal(ask(chain(rewrite, rules), request({ target: '/a/x' }))?.status, 403)
  t.equal(ask(chain(rules, rewrite), request({ target: '/a/x' })), undefined)
  t.end()
})

t.test('a refusal can hide that there is something', (t) => {
  const reply = ask(chain({ access: { status: 404 } }), request())
  t.same(reply, { status: 404, fields: [], body: '', detail: 'there is nothing here' })
  t.end()
})

t.test('a refusal ends the chain', (t) => {
  const asked = request()
  ask(chain({ access: {} }, { setRequestFields: { A: '1' } }), asked)
  t.equal(asked.fields.get('A'), undefined)
  t.end()
})
