/** Claims of ports, before the data threads bind them. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { claimPort } from '../../lib/service/index.ts'
import { within } from '../support/eventually.ts'

t.test('a client that connects while a port is claimed does not hold up the start', async (t) => {
  const claim = await claimPort('service a', '127.0.0.1', 0)
  const client = connect(claim.port, '127.0.0.1')
  t.teardown(() => client.destroy())
  // Its reset may be there as soon as the connection is.
  const reset = new Promise((resolve) => client.once('error', resolve))
  await within(reset, 'the reset of a connection to nobody')
  await within(claim.release(), 'the release of the port')
  const again = await claimPort('service a', '127.0.0.1', claim.port)
  await again.release()
})

t.test('a port that somebody listens on is told as such', async (t) => {
  const claim = await claimPort('service a', '127.0.0.1', 0)
  t.teardown(() => claim.release())
  await t.rejects(claimPort('service b', '127.0.0.1', claim.port), {
    code: 'LISTEN_FAILED',
    message: `service b can't listen on 127.0.0.1:${claim.port}: the port is in use by another process`,
  })
})

t.test(
  "a port that the kernel chose is nobody else's until the data threads have bound it beside the claim",
  async (t) => {
    const claim = await claimPort('service a', '127.0.0.1', 0)
    const other = createServer()
    other.listen({ host: '127.0.0.1', port: claim.port })
    const [error] = (await once(other, 'error')) as [NodeJS.ErrnoException]
    t.equal(error.code, 'EADDRINUSE')
    const thread = createServer()
    thread.listen({ host: '127.0.0.1', port: claim.port, reusePort: true })
    await once(thread, 'listening')
    t.teardown(() => thread.close())
    await claim.release()
    const client = connect(claim.port, '127.0.0.1')
    await within(once(client, 'connect'), 'a connection to the data thread')
    client.destroy()
  },
)
