/** What is known of clients is shared by services and threads, and outlives a thread and the process. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { ask, cookieIn, nameIn, service, startBackends } from './fixtures/http.ts'

t.test('two services of a group send one client to the same backend', async (t) => {
  const backends = await startBackends(t)
  const others = await startBackends(t)
  const affinity = { type: 'source-ip', group: 'shop' }
  const http = { trustedProxies: ['127.0.0.1'] }
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: { one: service(backends, affinity, { http }), two: service(others.reverse(), affinity, { http }) },
  })
  for (let i = 0; i < 12; i++) {
    const fields = `X-Forwarded-For: 192.0.2.${i}\r\n`
    const [a, b] = i % 2 === 0 ? ['one', 'two'] : ['two', 'one']
    const home = nameIn(await ask(balancer.port(a), fields))
    t.equal(nameIn(await ask(balancer.port(b), fields)), home)
  }
  const told = (await (await balancer.get('/api/v1/services/two')).json()) as { affinity: object }
  t.same(told.affinity, { type: 'source-ip', fallback: null, group: 'shop', entries: 12 })
  t.match(await balancer.metrics(), /evenkeel_affinity_entries\{service="one"\} 12\n.*"two"\} 12\n/)
})

const keyOf = (balancer: Balancer): string => join(balancer.dir, 'state', 'affinity.key')

t.test('after a restart a client is still known, and stays on its backend while that drains', async (t) => {
  const backends = await startBackends(t)
  const config = (drained: string) => ({
    virtualServices: {
      main: service(
        backends,
        { type: 'cookie' },
        {
          backends: backends.map(({ name, address }) => ({
            name,
            address,
            ...(name === drained ? { admin: 'drain' } : {}),
          })),
        },
      ),
    },
  })
  const before = await startBalancer(t, config(''))
  t.equal((await stat(keyOf(before))).mode & 0o777, 0o600)
  const key = await readFile(keyOf(before), 'utf8')
  const first = await ask(before.port('main'))
  const home = nameIn(first)
  await before.stop()
  const after = await startBalancer(t, config(home), { files: { 'state/affinity.key': key } })
  const fields = `Cookie: EKID=${cookieIn(first)}\r\n`
  for (let i = 0; i < 4; i++) t.equal(nameIn(await ask(after.port('main'), fields)), home, 'the bound one stays')
  for (let i = 0; i < 6; i++) t.not(nameIn(await ask(after.port('main'))), home, 'new ones go elsewhere')
  t.match(after.stderr(), /affinity.key can be read by others/)
})

t.test('bindings outlive the death of a data thread', async (t) => {
  const backends = await startBackends(t)
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: { main: service(backends, { type: 'header', name: 'X-Session' }) },
  })
  const port = balancer.port('main')
  const homes: string[] = []
  for (let i = 0; i < 12; i++) homes.push(nameIn(await ask(port, `X-Session: s${i}\r\n`)))
  for (const thread of [0, 1]) {
    await balancer.get(`/api/v1/threads/${thread}/restart`, { method: 'POST' })
    await eventually('the thread is back', () => balancer.stderr().includes(`data thread ${thread} is back`))
  }
  for (let i = 0; i < 12; i++) t.equal(nameIn(await ask(port, `X-Session: s${i}\r\n`)), homes[i])
})
