/** Stopping: what SIGTERM does to flows of each kind, and what the exit code says of it. */
import t from 'tap'
import { type BackendExchange, startBackend, startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { connect } from '../support/raw.ts'
import { fields, type Line, logOf } from './fixtures/support.ts'

const backend = await startBackend(t)
const echo = await startTcpBackend(t)
const services = {
  web: { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] },
  raw: { protocol: 'tcp', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [echo.address] },
}
const config = (timeout = '30s', threads = 1): object => ({
  appliance: { threads, drain: { timeout } },
  virtualServices: services,
})
const request = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`
const drains = (log: Line[]): boolean => log.some(({ msg }) => /^SIG\w+: draining/.test(String(msg)))

t.test('SIGTERM lets what is under way finish, takes nothing new, and ends with 0', async (t) => {
  const held: BackendExchange[] = []
  backend.on('/held', (x) => held.push(x))
  const balancer = await startBalancer(t, config('30s', 2))
  const ports = { web: balancer.port('web'), raw: balancer.port('raw') }
  const [idle, busy, silent] = [await connect(ports.web), await connect(ports.web), await connect(ports.web)]
  const flow = await connect(ports.raw)
  idle.send(request('/'))
  t.equal((await idle.readResponse()).status, 200)
  busy.send(request('/held'))
  flow.send('hello')
  await flow.readBytes(5)
  await eventually('the request at the backend', () => held.length === 1)

  balancer.process.kill('SIGTERM')
  t.equal(await idle.untilClosed(), 'end', 'an idle connection is closed')
  t.equal(await silent.untilClosed(), 'end', 'one that never sent anything too')
  t.equal((await balancer.get('/readyz')).status, 503)
  t.equal((await balancer.get('/livez')).status, 200)
  for (const port of Object.values(ports)) await t.rejects(connect(port), { code: 'ECONNREFUSED' })
  idle.destroy()
  silent.destroy()
  flow.send('again')
  t.equal((await flow.readBytes(5)).toString(), 'again', 'a TCP flow goes on')
  held[0]?.answer('at last')
  const answer = await busy.readResponse()
  t.strictSame(
    [answer.status, answer.body.toString(), ...valuesOf(answer.fields, 'connection')],
    [200, 'at last', 'close'],
  )
  t.equal(await busy.untilClosed(), 'end')
  busy.destroy()
  t.equal(balancer.process.exitCode, null, 'it waits for the TCP flow')
  flow.end()
  t.equal(await flow.untilClosed(), 'end')
  t.strictSame(await within(balancer.exited, 'the end'), { code: 0, signal: null })
  t.equal((await balancer.accessLog()).length, 3, 'each flow has its line')
})

t.test('a head that comes in pieces while it drains is still answered, and the connection closes', async (t) => {
  const balancer = await startBalancer(t, config())
  const client = await connect(balancer.port('web'))
  client.send('GET /piece HTTP/1.1\r\nHo')
  // A round trip on another connection proves that the first piece was read.
  const other = await connect(balancer.port('web'))
  other.send(request('/'))
  await other.readResponse()
  balancer.process.kill('SIGTERM')
  t.equal(await other.untilClosed(), 'end')
  other.destroy()
  client.send('st: a.test\r\n\r\n')
  const answer = await client.readResponse()
  t.strictSame([answer.status, ...valuesOf(answer.fields, 'connection')], [200, 'close'])
  client.destroy()
  t.strictSame(await within(balancer.exited, 'the end'), { code: 0, signal: null })
})

t.test('at the deadline what is left is cut, and the exit code is 4', async (t) => {
  backend.on('/never', () => undefined)
  const balancer = await startBalancer(t, config('500ms'))
  const flow = await connect(balancer.port('raw'))
  flow.send('hello')
  await flow.readBytes(5)
  const slow = await connect(balancer.port('web'))
  slow.send(request('/never'))
  await eventually('the request at the backend', () => backend.heads.some(({ target }) => target === '/never'))
  const begun = performance.now()
  balancer.process.kill('SIGTERM')
  t.strictSame([await flow.untilClosed(), await slow.untilClosed()], ['reset', 'reset'])
  t.ok(performance.now() - begun >= 490)
  t.strictSame(await within(balancer.exited, 'the end'), { code: 4, signal: null })
  t.ok(logOf(balancer).some(({ msg }) => msg === 'drain timeout: 2 connections are cut'))
  const lines = await balancer.accessLog()
  t.strictSame(
    lines.map((line) => fields(line, 'service', 'endedBy', 'reason')).sort(),
    [
      ['raw', 'us', 'cut'],
      ['web', 'us', 'cut'],
    ],
    'each cut flow has its line',
  )
})

t.test('a second signal stops at once', async (t) => {
  for (const [first, second] of [
    ['SIGTERM', 'SIGTERM'],
    ['SIGINT', 'SIGTERM'],
  ] as const) {
    const balancer = await startBalancer(t, config())
    const flow = await connect(balancer.port('raw'))
    flow.send('hello')
    await flow.readBytes(5)
    balancer.process.kill(first)
    await eventually('the drain', () => drains(logOf(balancer)))
    t.equal(flow.ending, undefined)
    balancer.process.kill(second)
    t.strictSame(await within(balancer.exited, 'the end', 3000), { code: 4, signal: null })
    t.equal(await flow.untilClosed(), 'reset')
  }
})

t.test('without a flow it ends at once with 0, whatever the time for drains', async (t) => {
  for (const timeout of ['30s', '0s']) {
    const balancer = await startBalancer(t, config(timeout, 2))
    t.strictSame(await balancer.stop('SIGTERM', 3000), { code: 0, signal: null }, timeout)
  }
})

t.test('a clean stop says nothing of trouble', async (t) => {
  const balancer = await startBalancer(t, config())
  t.equal((await balancer.stop('SIGINT', 3000)).code, 0)
  t.strictSame(
    logOf(balancer).filter(({ level }) => Number(level) > 30),
    [],
  )
})

t.test('no access-log line is lost when it stops right after many requests', async (t) => {
  const balancer = await startBalancer(t, config('30s', 2))
  const clients = await Promise.all(Array.from({ length: 8 }, () => connect(balancer.port('web'))))
  const each = 250
  await Promise.all(
    clients.map(async (client) => {
      for (let i = 0; i < each; i++) {
        client.send(request(`/${i}`))
        await client.readResponse()
      }
      client.destroy()
    }),
  )
  t.equal((await balancer.stop()).code, 0)
  const lines = await balancer.accessLog()
  t.equal(lines.length, 8 * each)
  t.equal(new Set(lines.map(({ id }) => id)).size, 8 * each)
})
