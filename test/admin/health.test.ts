/** /livez and /readyz: whether the process runs, and whether it takes new flows. */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { refusedPort } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { askRaw, setUp, untilAll } from './support.ts'

t.test('ready as soon as it has started, with the services on request', async (t) => {
  const { balancer } = await setUp(t)
  await untilAll(balancer, 'web', 'up')
  await untilAll(balancer, 'echo', 'up')
  t.match(await askRaw(balancer.admin, '/livez'), { status: 200, body: 'ok\n' })
  t.match(await askRaw(balancer.admin, '/readyz'), { status: 200, body: /^ok\n$/ })
  const verbose = await askRaw(balancer.admin, '/readyz?verbose')
  t.equal(verbose.body, 'ok\nweb: 2 of 2 backends up\necho: 1 of 1 backends up\n')
})

t.test('a service without a backend is named, and the appliance is ready all the same', async (t) => {
  const balancer = await startBalancer(t, {
    virtualServices: {
      web: { listen: ['127.0.0.1:0'], protocol: 'http', backends: [`127.0.0.1:${await refusedPort()}`] },
    },
  })
  await untilAll(balancer, 'web', 'down')
  t.match(await askRaw(balancer.admin, '/readyz?verbose'), { status: 200, body: 'ok\nweb: no backend is up\n' })
})

t.test('services are named to those with the token only', async (t) => {
  const { balancer } = await setUp(t, { admin: { listen: '127.0.0.1:0', token: 'secret' } })
  t.equal((await askRaw(balancer.admin, '/readyz?verbose')).body, 'ok\n')
  const headers = { authorization: 'Bearer secret' }
  t.match((await askRaw(balancer.admin, '/readyz?verbose', { headers })).body, 'web: ')
})

t.test('while it drains it lives but is not ready, and says so in its status', async (t) => {
  const { balancer } = await setUp(t)
  await untilAll(balancer, 'echo', 'up')
  const flow = connect(balancer.port('echo'), '127.0.0.1')
  flow.write('hello')
  await once(flow, 'data')
  balancer.process.kill('SIGTERM')
  const draining = await eventually('the drain', async () => {
    const answer = await askRaw(balancer.admin, '/readyz')
    return answer.status === 503 && answer
  })
  t.equal(draining.body, 'draining\n')
  t.equal((await askRaw(balancer.admin, '/livez')).status, 200)
  t.equal((await balancer.status())['draining'], true)
  flow.end()
  t.equal((await within(balancer.exited, 'the end of the drain')).code, 0)
})

t.test('a data thread that dies while the balancer drains does not keep it from ending', async (t) => {
  const { balancer } = await setUp(t, { appliance: { threads: 2 } })
  await untilAll(balancer, 'echo', 'up')
  const flow = connect(balancer.port('echo'), '127.0.0.1').on('error', () => {})
  flow.write('hello')
  await once(flow, 'data')
  balancer.process.kill('SIGTERM')
  await eventually('the drain', async () => (await askRaw(balancer.admin, '/readyz')).status === 503)
  for (const thread of [0, 1]) await askRaw(balancer.admin, `/api/v1/threads/${thread}/restart`, { method: 'POST' })
  t.equal((await within(balancer.exited, 'the end of the process')).code, 0)
})
