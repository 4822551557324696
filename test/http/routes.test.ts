/** Routes over the wire: which pool a request goes to, on the path that is forwarded, and what happens where none leads. */
import t from 'tap'
import { startBackend } from '../support/backend.ts'
import { get, startRig } from '../support/engine.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const shop = await startBackend(t, 'shop')
const api = await startBackend(t, 'api')
const beta = await startBackend(t, 'beta')
const pools = {
  api: { backends: [{ name: 'api', address: api.address }] },
  beta: { backends: [{ name: 'beta', address: beta.address }] },
}
const routes = [
  { match: { host: 'api.test' }, pool: 'api' },
  { match: { path: '/api', headers: { 'X-Beta': true } }, pool: 'beta' },
  { match: { path: '/api' }, pool: 'api' },
  { match: { host: '*.beta.test', method: 'GET' }, pool: 'beta' },
]
const rig = await startRig(t, {
  routed: { backends: [{ name: 'shop', address: shop.address }], pools, routes },
  only: { backends: [], pools, routes },
  rewritten: {
    backends: [{ name: 'shop', address: shop.address }],
    pools,
    routes,
    filters: [{ rewritePath: { stripPrefix: '/v2' } }],
  },
})

/** Which backend got the request, and as what. */
async function reached(bytes: string, service = 'routed') {
  const seen = [shop, api, beta].map(({ requests }) => requests.length)
  const { status } = await roundTrip(rig.port(service), bytes)
  const got = [shop, api, beta].flatMap((backend, i) =>
    backend.requests.slice(seen[i]).map(({ target }) => `${backend.name} ${target}`),
  )
  return `${status} ${got.join()}`.trim()
}
const on = (host: string, target: string, method = 'GET') =>
  `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`

for (const [title, bytes, wanted] of [
  ['no route', get('/'), '200 shop /'],
  ['a host', on('api.test', '/x'), '200 api /x'],
  ['a host in capitals with a port', on('API.test:8080', '/x'), '200 api /x'],
  ['a host that only begins like it', on('api.test.evil.test', '/x'), '200 shop /x'],
  ['a path', get('/api/users?id=1'), '200 api /api/users?id=1'],
  ['a path that only begins like it', get('/apiary'), '200 shop /apiary'],
  ['the first that matches', get('/api/users', 'X-Beta: 1\r\n'), '200 beta /api/users'],
  ['a name below another', on('a.beta.test', '/'), '200 beta /'],
  ['a name below another, with another method', on('a.beta.test', '/', 'POST'), '200 shop /'],
  ['a path in disguise', get('/%61pi/x'), '200 api /api/x'],
  ['a path behind dots', get('/shop/../api/x'), '200 api /api/x'],
  ['a hidden slash', get('/shop%2f..%2fapi/x'), '400'],
] as const)
  t.test(`${title}: ${wanted}`, async (t) => {
    t.equal(await reached(bytes), wanted)
  })

t.test('routes see the path as the filters have made it', async (t) => {
  t.equal(await reached(get('/v2/api/x'), 'rewritten'), '200 api /api/x')
})

t.test('requests of one connection go where each of them belongs', async (t) => {
  const client = await rig.connect('routed')
  for (const [target, backend] of [
    ['/', shop],
    ['/api', api],
    ['/1', shop],
    ['/api/1', api],
  ] as const) {
    client.send(get(target))
    t.equal((await client.readResponse()).status, 200)
    t.equal(backend.last(target).target, target)
  }
  client.destroy()
})

t.test('where no route leads and there are no other backends, the answer is 404', async (t) => {
  t.equal(await reached(get('/api'), 'only'), '200 api /api')
  const client = await rig.connect('only')
  client.send(get('/elsewhere'))
  const response = await client.readResponse()
  t.equal(response.status, 404)
  t.strictSame(valuesOf(response.fields, 'connection'), [], 'the connection goes on')
  client.send(get('/api'))
  t.equal((await client.readResponse()).status, 200)
  client.destroy()
  t.match(await rig.balancer.metrics(), /evenkeel_request_errors_total\{service="only",reason="no-route"\} 1/)
})

t.test('the backends of all pools are told of, each with its pool', async (t) => {
  const view = (await (await rig.balancer.get('/api/v1/services/routed')).json()) as {
    backends: { name: string; pool: string; state: string }[]
  }
  t.strictSame(
    view.backends.map(({ name, pool, state }) => [name, pool, state]),
    [
      ['shop', '', 'up'],
      ['api', 'api', 'up'],
      ['beta', 'beta', 'up'],
    ],
  )
  t.match(
    await rig.balancer.metrics(),
    /evenkeel_backend_requests_total\{service="routed",backend="beta",code="2xx"\} [1-9]/,
  )
})
