/** Data threads that die while the process stops. */
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'

const backend = await startTcpBackend(t)
const service = { protocol: 'tcp', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }

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
