/** What the admin API answers about a running balancer. */
import t from 'tap'
import type { BackendView, ServiceView, StatusView } from '../../lib/admin/index.ts'
import { refusedPort } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { askRaw, json, QUICK, serviceOf, setUp, untilAll } from './support.ts'

t.test('status tells version, file, threads and services', async (t) => {
  const { balancer } = await setUp(t, { appliance: { threads: 2 } })
  await untilAll(balancer, 'web', 'up')
  await untilAll(balancer, 'echo', 'up')
  const status = await json<StatusView>(balancer, '/api/v1/status')
  t.match(status.version, /^\d+\.\d+\.\d+/)
  t.equal(status.node, process.versions.node)
  t.equal(status.pid, balancer.pid)
  t.equal(status.file, balancer.file)
  t.equal(Date.parse(status.startedAt) + status.uptimeMs <= Date.now(), true)
  t.equal(status.draining, false)
  t.same(
    status.threads.map(({ thread, restarts }) => [thread, restarts]),
    [
      [0, 0],
      [1, 0],
    ],
  )
  t.same(status.services, [
    { name: 'web', protocol: 'http', up: 2, operations: 'started', backends: 2, active: 0 },
    { name: 'echo', protocol: 'tcp', up: 1, operations: 'started', backends: 1, active: 0 },
  ])
  t.same(status.problems, [])
})

t.test('a service tells its listeners and backends, with what was counted', async (t) => {
  const { balancer, backends } = await setUp(t)
  await untilAll(balancer, 'web', 'up')
  for (let i = 0; i < 4; i++) t.equal((await fetch(`http://127.0.0.1:${balancer.port('web')}/`)).status, 200)
  const view = await serviceOf(balancer, 'web')
  t.match(view, { name: 'web', protocol: 'http', balance: 'round-robin', certificates: [] })
  t.same(view.listen, balancer.addresses('web'))
  t.same(
    view.backends.map(({ name, address, weight, state, cause, health, admin }) => ({
      ...{ name, address, weight, state, cause, health, admin },
    })),
    [
      { name: 'a', address: backends[0], weight: 3, state: 'up', cause: 'probe', health: 'passing', admin: 'ready' },
      {
        name: backends[1],
        address: backends[1],
        weight: 1,
        state: 'up',
        cause: 'probe',
        health: 'passing',
        admin: 'ready',
      },
    ],
  )
  const [a, b] = view.backends
  t.equal((a?.totals.requests['2xx'] ?? 0) + (b?.totals.requests['2xx'] ?? 0), 4)
  t.equal(a?.totals.requests['2xx'], 3, 'by weight')
  t.equal(a?.probe.type, 'tcp')
  t.same(a?.probe.last, a?.probe.results.at(-1))
  t.match(a?.probe.last, { ok: true, reason: null, detail: 'connected' })
  t.equal(a?.drainDeadline, null)
})

t.test('all services are a list of the same', async (t) => {
  const { balancer } = await setUp(t)
  const list = await json<ServiceView[]>(balancer, '/api/v1/services')
  t.same(
    list.map(({ name, backends }) => [name, backends.length]),
    [
      ['web', 2],
      ['echo', 1],
    ],
  )
})

t.test('a balancer without services has an empty list', async (t) => {
  const balancer = await startBalancer(t, { virtualServices: {} })
  t.same(await json(balancer, '/api/v1/services'), [])
})

t.test('a backend is found by its name, encoded or not, IPv6 brackets included', async (t) => {
  const balancer = await startBalancer(t, {
    virtualServices: {
      six: {
        listen: ['127.0.0.1:0'],
        protocol: 'tcp',
        health: { type: 'none' },
        backends: ['[::1]:9', { name: 'x.y_z', address: '[::1]:10' }],
      },
    },
  })
  const at = '/api/v1/services/six/backends/'
  const spellings: [text: string, name: string][] = [
    [encodeURIComponent('[::1]:9'), '[::1]:9'],
    ['%5b::1%5d:9', '[::1]:9'],
    ['[::1]:9', '[::1]:9'],
    ['x.y_z', 'x.y_z'],
  ]
  for (const [text, name] of spellings) {
    const answer = await askRaw(balancer.admin, at + text)
    t.equal(answer.status, 200, name)
    t.equal((JSON.parse(answer.body) as BackendView).name, name)
  }
  const view = await json<BackendView>(balancer, `${at}x.y_z`)
  t.match(view, { state: 'up', cause: 'config', why: 'no probe is configured', probe: { type: 'none', last: null } })
})

t.test('a backend that fails tells since when and why', async (t) => {
  const port = await refusedPort()
  const balancer = await startBalancer(t, {
    virtualServices: {
      web: { listen: ['127.0.0.1:0'], protocol: 'http', health: QUICK, backends: [`127.0.0.1:${port}`] },
    },
  })
  const { backends } = await untilAll(balancer, 'web', 'down')
  const [backend] = backends
  t.match(backend, { health: 'failing', cause: 'probe', probe: { last: { ok: false, reason: 'connect' } } })
  t.match(backend?.why, 'ECONNREFUSED')
  t.ok((backend?.sinceMs ?? -1) >= 0)
  await eventually('ten results', async () => {
    const view = await serviceOf(balancer, 'web')
    return view.backends[0]?.probe.results.length === 10
  })
  const status = await json<StatusView>(balancer, '/api/v1/status')
  t.same(status.problems, [{ service: 'web', message: 'no backend is up' }])
})

t.test('what is not there is 404 with a code, another method 405 with those that do', async (t) => {
  const { balancer } = await setUp(t)
  const cases: [method: string, path: string, status: number, error: string][] = [
    ['GET', '/', 404, 'not-found'],
    ['GET', '/metrics/', 404, 'not-found'],
    ['GET', '/api/v1', 404, 'not-found'],
    ['GET', '/api/v1/services/shop', 404, 'unknown-service'],
    ['GET', '/api/v1/services/__proto__', 404, 'unknown-service'],
    ['GET', '/api/v1/services/web/backends/c', 404, 'unknown-backend'],
    ['GET', '/api/v1/services/%zz', 404, 'not-found'],
    ['POST', '/api/v1/threads/7/restart', 404, 'unknown-thread'],
    ['POST', '/api/v1/threads/-1/restart', 404, 'unknown-thread'],
    ['POST', '/api/v1/status', 405, 'method-not-allowed'],
    ['DELETE', '/livez', 405, 'method-not-allowed'],
    ['GET', '/api/v1/threads/0/restart', 405, 'method-not-allowed'],
  ]
  for (const [method, path, status, error] of cases) {
    const answer = await askRaw(balancer.admin, path, { method })
    t.equal(answer.status, status, `${method} ${path}`)
    const body = JSON.parse(answer.body) as { error: string; message: string }
    t.equal(body.error, error)
    t.not(body.message, '')
    if (status === 405) t.ok(answer.headers['allow'])
  }
})

t.test('HEAD is answered as GET, without a body', async (t) => {
  const { balancer } = await setUp(t)
  for (const path of ['/livez', '/metrics', '/api/v1/status', '/api/v1/services', '/api/v1/events']) {
    const answer = await askRaw(balancer.admin, path, { method: 'HEAD' })
    t.equal(answer.status, 200, path)
    t.equal(answer.body, '')
  }
})

t.test('a data thread that is told to end is replaced, and counted', async (t) => {
  const { balancer } = await setUp(t, { appliance: { threads: 2 } })
  const answer = await askRaw(balancer.admin, '/api/v1/threads/1/restart', { method: 'POST' })
  t.equal(answer.status, 202)
  t.same(JSON.parse(answer.body), { thread: 1, restarting: true })
  await eventually('the restart', async () => {
    const { threads } = await json<StatusView>(balancer, '/api/v1/status')
    return threads[1]?.restarts === 1 && threads[0]?.restarts === 0
  })
  await eventually('service as before', async () => (await fetch(`http://127.0.0.1:${balancer.port('web')}/`)).ok)
})
