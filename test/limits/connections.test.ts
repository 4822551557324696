/** Limits of connections: per service, per listener and per client, over all data threads; who is too many is told or reset. */
import { connect as tlsConnect } from 'node:tls'
import t, { type Test } from 'tap'
import { activeOf, makeCertificate } from '../e2e/fixtures/support.ts'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { get } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import type { RawClient } from '../support/raw.ts'
import { clientFrom, countOf } from './fixtures/support.ts'

const certificate = await makeCertificate()

interface Rig {
  readonly balancer: Balancer
  from(t: Test, address: string, service: string): Promise<RawClient>
}

async function start(t: Test, threads: number): Promise<Rig> {
  const backend = await startBackend(t)
  const echo = await startTcpBackend(t)
  const base = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
  const raw = { ...base, protocol: 'tcp', backends: [echo.address] }
  const { tls, files } = certificate
  const virtualServices = {
    service: { ...base, limits: { connections: 3 } },
    listener: { ...base, listen: ['127.0.0.1:0', '127.0.0.1:0'], limits: { connectionsPerListener: 1 } },
    client: { ...base, limits: { connectionsPerClient: 2 } },
    proxied: { ...base, limits: { connectionsPerClient: 1 }, http: { trustedProxies: ['127.0.0.9'] } },
    proxy: { ...base, http: { engine: 'http-proxy' }, limits: { connectionsPerClient: 2 } },
    tcp: { ...raw, limits: { connections: 2, connectionsPerClient: 1 } },
    tls: { ...raw, protocol: 'tls', tls, limits: { connectionsPerClient: 1 } },
    https: { ...base, protocol: 'https', tls, limits: { connections: 1 } },
    free: { ...base, limits: { connections: 0 } },
  }
  const balancer = await startBalancer(t, { appliance: { threads }, virtualServices }, { files })
  return { balancer, from: (t, address, service) => clientFrom(t, address, balancer.port(service)) }
}

async function served(client: RawClient): Promise<number> {
  client.send(get('/'))
  return (await client.readResponse()).status
}

/** Its answer, which is the last thing that comes. */
async function turnedAway(t: Test, client: RawClient, status: number): Promise<void> {
  client.send(get('/')) // most clients have sent their request by then: that must not destroy the answer
  const answer = await client.readResponse()
  t.equal(answer.status, status)
  t.strictSame(valuesOf(answer.fields, 'connection'), ['close'])
  t.strictSame(valuesOf(answer.fields, 'retry-after'), ['2'])
  t.equal((await client.readUntilClose()).length, 0)
  client.destroy()
}

async function gone(client: RawClient, balancer: Balancer, service: string, left: number): Promise<void> {
  client.destroy()
  await eventually('the end is counted', async () => (await activeOf(balancer, service)) === left)
}

for (const threads of [1, 2])
  t.test(`with ${threads} data threads`, async (t) => {
    const { balancer, from } = await start(t, threads)

    t.test('a service has as many connections as it may, and one more when one has ended', async (t) => {
      const inside = [await from(t, '127.0.0.1', 'service'), await from(t, '127.0.0.2', 'service')]
      const last = await from(t, '127.0.0.3', 'service')
      for (const client of [...inside, last]) t.equal(await served(client), 200)
      for (let i = 0; i < 5; i++) await turnedAway(t, await from(t, `127.0.0.${i + 1}`, 'service'), 503)
      t.equal(await activeOf(balancer, 'service'), 3, 'who is turned away is not counted as being there')
      t.equal(await countOf(balancer, 'service', 'limit-connections'), 5)
      for (const client of [...inside, last]) t.equal(await served(client), 200, 'those inside are served on')
      await gone(last, balancer, 'service', 2)
      t.equal(await served(await from(t, '127.0.0.4', 'service')), 200)
    })

    t.test('a limit per listener leaves the other listeners alone', async (t) => {
      const ports = balancer.addresses('listener').map((address) => Number(address.split(':').at(-1)))
      const [first = 0, second = 0] = ports
      t.equal(await served(await clientFrom(t, '127.0.0.1', first)), 200)
      await turnedAway(t, await clientFrom(t, '127.0.0.1', first), 503)
      t.equal(await served(await clientFrom(t, '127.0.0.1', second)), 200)
      await turnedAway(t, await clientFrom(t, '127.0.0.2', second), 503)
    })

    for (const service of ['client', 'proxy'])
      t.test(`a client has as many as it may, and another client is not concerned: ${service}`, async (t) => {
        const inside = [await from(t, '127.0.0.2', service), await from(t, '127.0.0.2', service)]
        for (const client of inside) t.equal(await served(client), 200)
        for (let i = 0; i < 4; i++) await turnedAway(t, await from(t, '127.0.0.2', service), 429)
        t.equal(await served(await from(t, '127.0.0.3', service)), 200)
        t.equal(await served(await from(t, '127.0.0.3', service)), 200)
        await turnedAway(t, await from(t, '127.0.0.3', service), 429)
        t.equal(await countOf(balancer, service, 'limit-connections'), 5)
        for (const client of inside) await gone(client, balancer, service, inside.indexOf(client) === 0 ? 3 : 2)
        for (let i = 0; i < 2; i++) t.equal(await served(await from(t, '127.0.0.2', service)), 200)
        await turnedAway(t, await from(t, '127.0.0.2', service), 429)
      })

    t.test('a trusted proxy stands for many clients and is not limited', async (t) => {
      for (let i = 0; i < 5; i++) t.equal(await served(await from(t, '127.0.0.9', 'proxied')), 200)
      t.equal(await served(await from(t, '127.0.0.8', 'proxied')), 200)
      await turnedAway(t, await from(t, '127.0.0.8', 'proxied'), 429)
    })

    t.test('without a limit there is none', async (t) => {
      for (let i = 0; i < 20; i++) t.equal(await served(await from(t, '127.0.0.2', 'free')), 200)
    })

    t.test('a tcp connection too many is reset', async (t) => {
      const first = await from(t, '127.0.0.2', 'tcp')
      first.send('ping')
      t.equal((await first.readBytes(4)).toString(), 'ping')
      t.equal(await (await from(t, '127.0.0.2', 'tcp')).untilClosed(), 'reset', 'of one client')
      const second = await from(t, '127.0.0.3', 'tcp')
      second.send('ping')
      t.equal((await second.readBytes(4)).toString(), 'ping')
      t.equal(await (await from(t, '127.0.0.4', 'tcp')).untilClosed(), 'reset', 'of the service')
      t.equal(await countOf(balancer, 'tcp', 'limit-connections'), 2)
    })

    t.test('over TLS it is reset before the handshake, and a handshake under way is a connection', async (t) => {
      for (const service of ['tls', 'https']) {
        const silent = await from(t, '127.0.0.2', service)
        await eventually('it is there', async () => (await activeOf(balancer, service)) === 1)
        const late = await from(t, '127.0.0.2', service)
        t.equal(await late.untilClosed(), 'reset')
        t.equal(late.pending.length, 0)
        t.notMatch(await balancer.metrics(), new RegExp(`handshake_failures_total\\{service="${service}"`))
        await gone(silent, balancer, service, 0)
        const socket = tlsConnect({ port: balancer.port(service), host: '127.0.0.1', ca: certificate.ca })
        t.teardown(() => socket.destroy())
        await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
        t.equal(await activeOf(balancer, service), 1, 'its end is counted once')
        socket.destroy()
        await eventually('all are gone', async () => (await activeOf(balancer, service)) === 0)
      }
    })

    t.test('a crowd at the limit does not keep those inside from being served', async (t) => {
      const client = await from(t, '127.0.0.20', 'client')
      const crowd = await Promise.all(Array.from({ length: 300 }, () => from(t, '127.0.0.21', 'client')))
      t.equal(await served(client), 200)
      let answered = 0
      await Promise.all(
        crowd.map(async (one) => {
          one.end()
          if ((await one.readUntilClose()).toString('latin1').startsWith('HTTP/1.1 429 ')) answered++
        }),
      )
      t.ok(crowd.filter((one) => one.ending === 'reset').length > 0, 'not all of them are told why')
      t.ok(answered > 0, 'some are')
      t.equal(await served(client), 200)
    })

    t.test('what a dead thread held is given back to its clients', async (t) => {
      for (let i = 0; i < 2; i++) t.equal(await served(await from(t, '127.0.0.30', 'client')), 200)
      await turnedAway(t, await from(t, '127.0.0.30', 'client'), 429)
      for (let thread = 0; thread < threads; thread++)
        await balancer.get(`/api/v1/threads/${thread}/restart`, { method: 'POST' })
      await eventually('all threads are back', () => balancer.stderr().split(' is back').length > threads)
      for (let i = 0; i < 2; i++) t.equal(await served(await from(t, '127.0.0.30', 'client')), 200)
      await turnedAway(t, await from(t, '127.0.0.30', 'client'), 429)
    })
    t.notMatch(balancer.stderr(), /ended by|uncaught/)
  })
