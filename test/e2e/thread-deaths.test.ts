/** Data threads that die: too often, and while the process stops. */
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { within } from '../support/eventually.ts'

const backend = await startTcpBackend(t)
const service = { protocol: 'tcp', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
const DEATHS = 11 // one more than are borne within ten seconds

t.test('threads that die again and again end the process with exit code 1 and a sentence', async (t) => {
  const balancer = await startBalancer(
    t,
    { appliance: { threads: DEATHS }, virtualServices: { main: service } },
    { deadline: 20_000 },
  )
  const kills = Array.from({ length: DEATHS }, (_, thread) =>
    balancer.get(`/api/v1/threads/${thread}/restart`, { method: 'POST' }).catch(() => null),
  )
  await Promise.all(kills)
  t.strictSame(await within(balancer.exited, 'the end', 10_000), { code: 1, signal: null })
  t.match(balancer.stderr(), /data threads died 11 times within 10 s: .*ended on purpose/)
})

t.test('a stop does not wait for a thread that has just died', async (t) => {
  for (const pause of [0, 20, 100]) {
    const balancer = await startBalancer(t, {
      appliance: { threads: 2 },
      virtualServices: { main: service },
    })
    await balancer.get('/api/v1/threads/0/restart', { method: 'POST' })
    await new Promise((done) => setTimeout(done, pause)) // different moments of the replacement, whichever they are
    t.strictSame(await balancer.stop('SIGTERM', 5000), { code: 0, signal: null })
  }
})
