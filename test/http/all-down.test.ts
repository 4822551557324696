/** BALANCING.md, All down: backups, `fail`, `panic` and `sorry`, while probes fail. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { get } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { connect, roundTrip } from '../support/raw.ts'

const main = await startBackend(t, 'main')
const spare = await startBackend(t, 'spare')

/** What the probes of `main` are told: its own port answers always. */
let healthy = true
const doctor = createServer((_request, response) => {
  response.statusCode = healthy ? 200 : 500
  response.end()
})
await new Promise<void>((listening) => doctor.listen(0, '127.0.0.1', listening))
t.teardown(() => {
  doctor.closeAllConnections()
  doctor.close()
})
const { port } = doctor.address() as AddressInfo

const health = {
  type: 'http',
  port,
  interval: '50ms',
  fastInterval: '50ms',
  downInterval: '50ms',
  timeout: '500ms',
  rise: 1,
  fall: 1,
}
const service = (more: object) => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  health,
  backends: [{ name: 'main', address: main.address }],
  ...more,
})
const balancer = await startBalancer(t, {
  virtualServices: {
    fail: service({}),
    panic: service({ allDown: 'panic' }),
    respond: service({
      allDown: 'sorry',
      sorry: { respond: { status: 503, body: 'back soon', fields: { 'Retry-After': '60' } } },
    }),
    redirect: service({ allDown: 'sorry', sorry: { redirect: 'https://status.example/' } }),
    backend: service({ allDown: 'sorry', sorry: { backend: spare.address } }),
    // Each is probed where it is: of these two, one fails.
    backup: service({
      health: { ...health, port: undefined },
      backends: [
        { name: 'main', address: `127.0.0.1:${port}` },
        { name: 'spare', address: spare.address, backup: true, maxConnections: 5 },
      ],
    }),
    tcp: { ...service({ allDown: 'sorry', sorry: { backend: spare.address } }), protocol: 'tcp' },
  },
})
/** Requests at the spare backend that are no probes. */
const asked = () => spare.requests.filter(({ target }) => target === '/asked').length
const ask = (name: string) => roundTrip(balancer.port(name), get('/asked'))
const upOf = async (name: string) =>
  (
    (await (await balancer.get(`/api/v1/services/${name}`)).json()) as { backends: { name: string; state: string }[] }
  ).backends
    .filter(({ state }) => state === 'up')
    .map(({ name }) => name)
const NAMES = ['fail', 'panic', 'respond', 'redirect', 'backend', 'backup', 'tcp']
const turn = async (to: boolean) => {
  healthy = to
  for (const name of NAMES) await eventually(name, async () => (await upOf(name)).includes('main') === to)
}

t.test('while the backend is well it gets every request', async (t) => {
  await turn(true)
  for (const name of NAMES) {
    const before = main.requests.length
    const spared = asked()
    t.equal((await ask(name)).status, 200, name)
    t.equal(main.requests.length, name === 'backup' ? before : before + 1, name)
    t.equal(asked(), spared)
  }
})

t.test('when it fails, each service does what it is told', async (t) => {
  await turn(false)
  const failed = await ask('fail')
  t.equal(failed.status, 503)
  t.equal((await ask('panic')).status, 200, 'used all the same')
  const sorry = await ask('respond')
  t.equal(sorry.status, 503)
  t.equal(sorry.body.toString(), 'back soon')
  t.strictSame(valuesOf(sorry.fields, 'retry-after'), ['60'])
  const moved = await ask('redirect')
  t.equal(moved.status, 302)
  t.strictSame(valuesOf(moved.fields, 'location'), ['https://status.example/'])
  for (const name of ['backend', 'backup', 'tcp']) {
    const before = asked()
    t.equal((await ask(name)).status, 200, name)
    t.equal(asked(), before + 1, name)
  }
})

t.test('a sorry answer leaves the connection in step, and a HEAD gets no body', async (t) => {
  const client = await connect(balancer.port('respond'))
  client.send('HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  const head = await client.readResponse({ method: 'HEAD' })
  t.equal(head.status, 503)
  client.send(get('/'))
  t.equal((await client.readResponse()).body.toString(), 'back soon')
  client.destroy()
})

t.test('when it is well again, it gets them again', async (t) => {
  await turn(true)
  const before = asked()
  for (const name of NAMES) t.equal((await ask(name)).status, 200, name)
  t.equal(asked(), before)
})
