/** Whole balancers where the kind of wire matters: on plain sockets only, and TLS clients that get no backend. */
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { refusedPort, startBackend, startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect, roundTrip } from '../support/raw.ts'
import { pattern, sha } from './fixtures/wires.ts'

const NO_PROBE = { type: 'none' }

for (const wires of ['socket', ''])
  t.test(`${wires === '' ? 'on handles' : 'on sockets only'} a balancer serves HTTP and TCP`, async (t) => {
    const http = await startBackend(t)
    const tcp = await startTcpBackend(t)
    const listen = ['127.0.0.1:0']
    const balancer = await startBalancer(
      t,
      {
        virtualServices: {
          web: { protocol: 'http', listen, health: NO_PROBE, backends: [http.address] },
          raw: { protocol: 'tcp', listen, health: NO_PROBE, backends: [tcp.address] },
        },
      },
      { env: { EVENKEEL_WIRES: wires } },
    )
    http.onRequest = (x) => x.answer(x.request.reader.bytes.toString('latin1'))
    const body = pattern(300_000).toString('latin1')
    const head = `POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`
    const response = await roundTrip(balancer.port('web'), head + body)
    t.equal(response.status, 200)
    t.ok(response.body.equals(Buffer.from(body, 'latin1')), 'the body came back')
    t.same(http.faults, [])

    const client = await connect(balancer.port('raw'))
    const bytes = pattern(3_000_000)
    client.send(bytes)
    client.end()
    t.equal(sha(await client.readUntilClose()), sha(bytes))
    t.equal(await client.untilClosed(), 'end')
  })

t.test('a TLS client of a service without a backend is reset, and the balancer lives', async (t) => {
  const leaf = await makeLeaf(await makeAuthority('no backend', 2), ['localhost'], 1)
  const balancer = await startBalancer(
    t,
    {
      virtualServices: {
        raw: {
          protocol: 'tls',
          listen: ['127.0.0.1:0'],
          tls: { certificates: [{ cert: 'cert.pem', key: 'key.pem' }] },
          health: { type: 'tcp', interval: '100ms', fall: 1 },
          backends: [`127.0.0.1:${await refusedPort()}`],
        },
      },
    },
    { files: { 'cert.pem': leaf.cert, 'key.pem': leaf.key } },
  )
  await eventually('the backend to be down', () => / is down/.test(balancer.stderr()))
  for (let i = 0; i < 5; i++) {
    const client = connectTls({ port: balancer.port('raw'), host: '127.0.0.1', rejectUnauthorized: false })
    client.on('error', () => undefined)
    await within(new Promise((resolve) => client.once('close', resolve)), 'the end of the connection')
  }
  t.equal((await balancer.get('/livez')).status, 200)
  t.equal(balancer.process.signalCode, null)
})
