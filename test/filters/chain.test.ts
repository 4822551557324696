/** Chains: the order of filters, their conditions, and what is not there at all. */
import t from 'tap'
import { FILTER_NAMES } from '../../lib/filters/index.ts'
import { answered, ask, chain, request } from './fixtures/exchange.ts'

t.test('a phase that no filter takes part in is null', (t) => {
  t.same(chain(), { onRequest: null, onResponse: null })
  const requests = chain({ setRequestFields: { A: '1' } })
  t.type(requests.onRequest, 'function')
  t.equal(requests.onResponse, null)
  const responses = chain({ setResponseFields: { A: '1' }, when: { path: '/x' } })
  t.equal(responses.onRequest, null)
  t.type(responses.onResponse, 'function')
  t.end()
})

t.test('filters run in their order, answers too', (t) => {
  const asked = request()
  ask(
    chain({ setRequestFields: { A: '1' } }, { setRequestFields: { A: '2' } }, { addRequestFields: { A: '3' } }),
    asked,
  )
  t.same(asked.fields.all('A'), ['2', '3'])
  t.same(answered(chain({ addResponseFields: { A: '1' } }, { addResponseFields: { A: '2' } }), []), [
    ['A', '1'],
    ['A', '2'],
  ])
  t.end()
})

t.test('a filter with a condition is for the requests that meet all of it', (t) => {
  const filters = chain({
    setRequestFields: { A: '1' },
    when: { host: 'shop.example', path: '/a', method: ['GET', 'POST'], from: '192.0.2.0/24' },
  })
  const hit = (asked: object): boolean => {
    const made = request({ target: '/a/b', ...asked })
    ask(filters, made)
    return made.fields.get('A') === '1'
  }
  t.equal(hit({}), true)
  t.equal(hit({ host: 'other.example' }), false)
  t.equal(hit({ target: '/b' }), false)
  t.equal(hit({ method: 'PUT' }), false)
  t.equal(hit({ client: '198.51.100.1' }), false)
  t.end()
})

t.test('on an answer, a condition is asked of the path that the client asked for', (t) => {
  const filters = chain(
    { rewritePath: { stripPrefix: '/api' } },
    { setRequestFields: { Seen: 'api' }, when: { path: '/api' } },
    { setResponseFields: { From: 'api' }, when: { path: '/api' } },
  )
  const asked = request({ target: '/api/x' })
  ask(filters, asked)
  t.equal(asked.fields.get('Seen'), undefined)
  t.same(answered(filters, [], asked), [['From', 'api']])
  t.same(answered(filters, [], { target: '/x' }), [])
  t.end()
})

t.test('a fixed answer has its status, fields and body, and ends the request', (t) => {
  const filters = chain(
    { respond: { status: 503, fields: { 'Retry-After': '60' }, body: 'Grüße\n' }, when: { path: '/down' } },
    { respond: { status: 200, fields: { 'content-type': 'application/json' }, body: '{}' }, when: { path: '/json' } },
    { respond: { status: 204 } },
  )
  const body = Buffer.from('Grüße\n').toString('latin1')
  t.same(ask(filters, request({ target: '/down/x' })), {
    status: 503,
    fields: [
      ['Content-Type', 'text/plain; charset=utf-8'],
      ['Retry-After', '60'],
    ],
    body,
    detail: null,
  })
  t.equal(body.length, 8)
  t.same(ask(filters, request({ target: '/json' }))?.fields, [['content-type', 'application/json']])
  t.same(ask(filters, request({ target: '/x' })), { status: 204, fields: [], body: '', detail: null })
  t.end()
})

t.test('what can not be forwarded after a filter is answered with 400, and no later filter sees it', (t) => {
  const asked = request({ target: '/x../y' })
  const reply = ask(chain({ rewritePath: { regex: '^/x', to: '/' } }, { setRequestFields: { A: '1' } }), asked)
  t.match(reply, { status: 400, detail: 'the path has a dot segment', body: '' })
  t.equal(asked.fields.get('A'), undefined)
  t.equal(asked.path, '/x../y')
  t.end()
})

t.test('every filter of the table can be configured by its name', (t) => {
  const options: Readonly<Record<string, unknown>> = {
    setRequestFields: { A: '1' },
    addRequestFields: { A: '1' },
    removeRequestFields: ['A'],
    setResponseFields: { A: '1' },
    addResponseFields: { A: '1' },
    removeResponseFields: ['A'],
    rewritePath: { stripPrefix: '/a' },
    redirect: { path: '/a' },
    access: {},
    respond: {},
    cookies: {},
    rewriteLocation: {},
  }
  t.same(Object.keys(options).sort(), [...FILTER_NAMES].sort())
  for (const name of FILTER_NAMES) {
    const { onRequest, onResponse } = chain({ [name]: options[name] })
    t.not(onRequest === null, onResponse === null, name)
  }
  t.end()
})
