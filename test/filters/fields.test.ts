/** Setting, adding and removing fields of requests and answers. */
import t from 'tap'
import { answered, ask, chain, request, rowsOf } from './fixtures/exchange.ts'

const CLIENT = [
  ['Host', 'shop.example'],
  ['X-Env', 'test'],
  ['Accept', '*/*'],
  ['x-env', 'again'],
] as const

t.test('a request field that is set stands once, where the first stood', (t) => {
  const asked = request({ fields: CLIENT })
  ask(chain({ setRequestFields: { 'X-Env': 'prod', 'X-New': 'n' } }), asked)
  t.same(rowsOf(asked), [
    ['Host', 'shop.example'],
    ['X-Env', 'prod'],
    ['Accept', '*/*'],
    ['X-New', 'n'],
  ])
  t.end()
})

t.test('a request field that is added stands beside those that are there', (t) => {
  const asked = request({ fields: CLIENT })
  ask(chain({ addRequestFields: { 'X-Env': 'prod' } }), asked)
  t.same(asked.fields.all('x-env'), ['test', 'again', 'prod'])
  t.end()
})

t.test('a request field that is removed is gone in all its spellings', (t) => {
  const asked = request({ fields: CLIENT })
  ask(chain({ removeRequestFields: ['X-ENV', 'X-None'] }), asked)
  t.same(rowsOf(asked), [
    ['Host', 'shop.example'],
    ['Accept', '*/*'],
  ])
  t.end()
})

t.test('a client gets no field of its own past the operator by the underscore that CGI can not tell apart', (t) => {
  const spellings = [
    ['X_User', 'admin'],
    ['x-User_ID', 'kept'],
    ['X-User', 'admin'],
    ['X_USER', 'admin'],
    ['XxUser', 'kept'],
  ] as const
  const set = request({ fields: spellings })
  ask(chain({ setRequestFields: { 'X-User': 'guest' } }), set)
  t.same(rowsOf(set), [
    ['x-User_ID', 'kept'],
    ['X-User', 'guest'],
    ['XxUser', 'kept'],
  ])
  const removed = request({ fields: spellings })
  ask(chain({ removeRequestFields: ['x_user'] }), removed)
  t.same(rowsOf(removed), [
    ['x-User_ID', 'kept'],
    ['XxUser', 'kept'],
  ])
  t.end()
})

t.test('placeholders stand for what is known of the request; other braces for themselves', (t) => {
  const asked = request({
    host: 'Shop.Example:8080',
    scheme: 'https',
    target: '/a//b?c',
    client: '2001:db8::1',
    id: 'r-9',
  })
  ask(
    chain(
      { rewritePath: { addPrefix: '/v1' } },
      {
        setRequestFields: {
          'X-All': '{client} {host} {path} {scheme} {request-id}',
          'X-Twice': '{host}{host}',
          'X-Json': '{"a":1,"b":{}}',
          'X-Empty': '',
        },
      },
    ),
    asked,
  )
  t.equal(asked.fields.get('X-All'), '2001:db8::1 shop.example /a/b https r-9')
  t.equal(asked.fields.get('X-Twice'), 'shop.exampleshop.example')
  t.equal(asked.fields.get('X-Json'), '{"a":1,"b":{}}')
  t.equal(asked.fields.get('X-Empty'), '')
  t.end()
})

t.test('what a client puts into a placeholder is not read as one', (t) => {
  const asked = request({ id: '{client}', target: '/{host}' })
  ask(chain({ setRequestFields: { A: '{request-id} {path}' } }), asked)
  t.equal(asked.fields.get('A'), '{client} /%7Bhost%7D')
  t.end()
})

t.test('Host can be set', (t) => {
  const asked = request({ fields: CLIENT })
  ask(chain({ setRequestFields: { Host: 'app.internal:8080' } }), asked)
  t.equal(asked.fields.get('Host'), 'app.internal:8080')
  t.equal(rowsOf(asked)[0]?.[0], 'Host')
  t.end()
})

t.test('fields of answers are set, added and removed', (t) => {
  const rows = answered(
    chain(
      { removeResponseFields: ['server', 'X-Powered-By'] },
      { setResponseFields: { 'Strict-Transport-Security': 'max-age=31536000', 'X-Host': '{host}' } },
      { addResponseFields: { Vary: 'Origin' } },
    ),
    [
      ['Server', 'x/1'],
      ['Vary', 'Accept'],
      ['strict-transport-security', 'max-age=0'],
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
    ],
  )
  t.same(rows, [
    ['Vary', 'Accept'],
    ['Strict-Transport-Security', 'max-age=31536000'],
    ['Set-Cookie', 'a=1'],
    ['Set-Cookie', 'b=2'],
    ['X-Host', 'shop.example'],
    ['Vary', 'Origin'],
  ])
  t.end()
})
