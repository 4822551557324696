/** Clients of HTTP services on their backends: what they are given, and what becomes of them when a backend goes. */
import t from 'tap'
import type { Backend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { valuesOf } from '../support/message.ts'
import { connect } from '../support/raw.ts'
import { ask, cookieIn, ENGINES, kill, NAMES, nameIn, service, startBackends } from './fixtures/http.ts'

const shared = await startBackends(t)
const own = { native: await startBackends(t), 'http-proxy': await startBackends(t) }
const services = ENGINES.flatMap((engine) => [
  [`header-${engine}`, service(shared, { type: 'header', name: 'X-Session' }, { http: { engine } })],
  [`cookie-${engine}`, service(own[engine], { type: 'cookie' }, { http: { engine } })],
])
const balancer = await startBalancer(t, { virtualServices: Object.fromEntries(services) })

for (const engine of ENGINES) {
  t.test(
    `${engine}: one connection carries the requests of several clients, and each goes to its own backend`,
    async (t) => {
      const client = await connect(balancer.port(`header-${engine}`))
      const homes: string[] = []
      for (let i = 0; i < 6; i++) homes.push(nameIn(await ask(client, `X-Session: s${i}\r\n`)))
      t.same(homes, [...NAMES, ...NAMES])
      for (let i = 5; i >= 0; i--) t.equal(nameIn(await ask(client, `x-session: s${i}\r\n`)), homes[i])
      client.destroy()
    },
  )

  t.test(`${engine}: our cookie is set once, hidden from backends, and no other cookie is touched`, async (t) => {
    const backends = own[engine]
    const port = balancer.port(`cookie-${engine}`)
    const first = await ask(port, 'Cookie: EKID=forged; a="1;2"\r\ncookie: b=\xe4; EKID=x;c\r\n', '/login')
    const value = cookieIn(first)
    t.same(valuesOf(first.fields, 'set-cookie'), [
      `SID=${nameIn(first)}-1; Path=/`,
      `EKID=${value}; Path=/; HttpOnly; SameSite=Lax`,
    ])
    t.same(valuesOf(first.fields, 'cache-control'), ['private'])
    const home = backends.find(({ name }) => name === nameIn(first))
    t.same(valuesOf(home?.last('/login').fields ?? [], 'cookie'), ['a="1;2"', 'b=\xe4;c'])
    const second = await ask(port, `Cookie: EKID=${value}\r\n`)
    t.equal(nameIn(second), nameIn(first))
    t.same(valuesOf(second.fields, 'set-cookie'), [])
    t.same(valuesOf(second.fields, 'cache-control'), [])
    t.same(valuesOf(home?.last('/').fields ?? [], 'cookie'), [], 'an empty field does not go on')
    t.same(valuesOf((await ask(port, 'Cookie: EKID=forged\r\n')).fields, 'set-cookie').length, 1)
  })

  t.test(`${engine}: when the backend of a client dies it is bound anew, and stays there`, async (t) => {
    const backends = await startBackends(t)
    const http = { engine }
    const balancer = await startBalancer(t, {
      virtualServices: {
        header: service(backends, { type: 'header', name: 'X-Session' }, { http }),
        cookie: service(backends, { type: 'cookie' }, { http }),
      },
    })
    for (const name of ['header', 'cookie']) {
      const port = balancer.port(name)
      const first = await ask(port, 'X-Session: s\r\n')
      let fields = `X-Session: s\r\nCookie: EKID=${cookieIn(first)}\r\n`
      const home = backends.find((backend) => backend.name === nameIn(first))
      kill(home)
      const second = await ask(port, fields)
      t.equal(second.status, 200)
      t.not(nameIn(second), nameIn(first))
      if (name === 'cookie') fields = `Cookie: EKID=${cookieIn(second)}\r\n`
      for (let i = 0; i < 6; i++) t.equal(nameIn(await ask(port, fields)), nameIn(second))
      t.match(
        await balancer.metrics(),
        new RegExp(`evenkeel_affinity_total\\{service="${name}",result="broken"\\} 1\\n`),
      )
      if (home !== undefined) backends.splice(backends.indexOf(home), 1)
    }
  })
}

t.test('pools of one service have cookies of their own, and backends see none of them', async (t) => {
  const backends = await startBackends(t)
  const [b1, b2, b3] = backends as [Backend, Backend, Backend]
  const balancer = await startBalancer(t, {
    virtualServices: {
      main: service(
        [b1, b2],
        { type: 'cookie' },
        {
          routes: [{ match: { path: { prefix: '/api' } }, pool: 'api' }],
          pools: { api: { backends: [{ name: b3.name, address: b3.address }] } },
        },
      ),
    },
  })
  const port = balancer.port('main')
  const first = await ask(port)
  const api = await ask(port, `Cookie: EKID=${cookieIn(first)}\r\n`, '/api')
  t.not(cookieIn(api, 'EKID-api'), '')
  t.same(valuesOf(b3.last('/api').fields, 'cookie'), [])
  const both = `Cookie: EKID=${cookieIn(first)}; EKID-api=${cookieIn(api, 'EKID-api')}\r\n`
  for (let i = 0; i < 3; i++) {
    const again = await ask(port, both)
    t.same([nameIn(again), valuesOf(again.fields, 'set-cookie')], [nameIn(first), []])
    t.same(valuesOf((await ask(port, both, '/api')).fields, 'set-cookie'), [])
  }
})
