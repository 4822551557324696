/** When descriptors or memory run short new connections are refused, those there are served on, and it ends by itself. */
import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { run } from '../cli/support.ts'
import { logOf, makeCertificate } from '../e2e/fixtures/support.ts'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { get } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { faultsOf } from '../support/faults.ts'
import { valuesOf } from '../support/message.ts'
import type { RawClient } from '../support/raw.ts'
import { clientFrom, countOf, gaugeOf } from './fixtures/support.ts'

const { files, tls } = await makeCertificate()

async function start(t: Test, overload: object): Promise<Balancer> {
  const backend = await startBackend(t)
  const echo = await startTcpBackend(t)
  const base = { listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
  const virtualServices = {
    http: { ...base, protocol: 'http' },
    https: { ...base, protocol: 'https', tls },
    tcp: { ...base, protocol: 'tcp', backends: [echo.address] },
  }
  return startBalancer(t, { appliance: { threads: 2, overload }, virtualServices }, { files })
}

async function served(client: RawClient): Promise<number> {
  client.send(get('/'))
  return (await client.readResponse()).status
}

const tellings = (balancer: Balancer, reason: string): string[] =>
  logOf(balancer)
    .filter((line) => line['reason'] === reason)
    .map((line) => String(line['msg']))

const prlimit = existsSync('/usr/bin/prlimit') && existsSync('/proc/self/fd')

t.test('descriptors', { skip: prlimit ? false : 'needs prlimit and /proc' }, async (t) => {
  const balancer = await start(t, { descriptors: '90%' })
  const used = (): number => readdirSync(`/proc/${balancer.pid}/fd`).length
  const inside = [await clientFrom(t, '127.0.0.1', balancer.port('http'))]
  for (const client of inside) t.equal(await served(client), 200)
  t.equal(await gaugeOf(balancer, 'evenkeel_overload', 'descriptors'), 0)
  const most = used() + 60
  execFileSync('prlimit', ['--pid', String(balancer.pid), `--nofile=${most}:${most}`])

  const crowd: RawClient[] = []
  await eventually('it is told', async () => {
    if (used() < most * 0.9 + 3) crowd.push(await clientFrom(t, '127.0.0.1', balancer.port('tcp')))
    return tellings(balancer, 'descriptors').length === 1
  })
  t.match(tellings(balancer, 'descriptors')[0], /^file descriptors run short: \d+ of \d+ are in use; new connections/)
  for (const service of ['http', 'https', 'tcp']) {
    const late = await clientFrom(t, '127.0.0.1', balancer.port(service))
    t.equal(await late.untilClosed(), 'reset', `${service}: a new connection is reset`)
    t.equal(await countOf(balancer, service, 'overload'), 1)
  }
  for (const client of inside) t.equal(await served(client), 200, 'those there are served on')
  t.equal(await gaugeOf(balancer, 'evenkeel_overload', 'descriptors'), 1)
  t.match(await balancer.status(), { overload: ['descriptors'] }, 'the status tells of it')
  const query = await run(t, ['query', '--admin', balancer.admin])
  t.match(query.stdout, /^new connections are refused: descriptors run short\n\nthe appliance: started\n\nSERVICE/)

  for (const client of crowd) client.destroy()
  await eventually('it has recovered', () => tellings(balancer, 'descriptors').length === 2)
  t.match(tellings(balancer, 'descriptors')[1], /^file descriptors suffice again: \d+ of \d+ are in use/)
  t.equal(await served(await clientFrom(t, '127.0.0.1', balancer.port('http'))), 200)
  t.equal(await gaugeOf(balancer, 'evenkeel_overload', 'descriptors'), 0)
  t.equal(tellings(balancer, 'descriptors').length, 2, 'one line for each change')
})

t.test('memory that is short from the start: nobody is let in, and the admin listener answers', async (t) => {
  const balancer = await start(t, { memory: '0.001%' })
  for (const service of ['https', 'tcp'])
    t.equal(await (await clientFrom(t, '127.0.0.1', balancer.port(service))).untilClosed(), 'reset')
  const told = await clientFrom(t, '127.0.0.1', balancer.port('http'))
  const { status, fields } = await told.readResponse()
  t.equal(status, 503, 'who speaks HTTP is told')
  t.strictSame(valuesOf(fields, 'retry-after'), ['2'])
  const ready = await balancer.get('/readyz')
  t.strictSame([ready.status, await ready.text()], [503, 'overloaded: memory\n'])
  t.equal(await gaugeOf(balancer, 'evenkeel_overload', 'memory'), 1)
  t.equal(tellings(balancer, 'memory').length, 1)
  t.match(tellings(balancer, 'memory')[0], /^memory run short: \d+ MiB of \d+ MiB are in use/)
})

t.test('with 100% it is never looked at', async (t) => {
  const balancer = await start(t, { memory: '100%', descriptors: '100%' })
  t.equal(await served(await clientFrom(t, '127.0.0.1', balancer.port('http'))), 200)
})

t.test('connections: above the limit HTTP is told 503, those there are served on, and it ends by itself', async (t) => {
  const balancer = await start(t, { connections: 10 })
  const inside: RawClient[] = []
  for (let i = 0; i < 10; i++) {
    const client = await clientFrom(t, '127.0.0.1', balancer.port('http'))
    t.equal(await served(client), 200)
    inside.push(client)
  }
  await eventually('it is told', () => tellings(balancer, 'connections').length === 1)
  t.equal((await balancer.get('/readyz')).status, 503)
  const late = await clientFrom(t, '127.0.0.1', balancer.port('http'))
  t.equal(await served(late), 503)
  t.equal(await (await clientFrom(t, '127.0.0.1', balancer.port('tcp'))).untilClosed(), 'reset')
  t.equal(await gaugeOf(balancer, 'evenkeel_overload', 'connections'), 1)
  for (const client of inside) t.equal(await served(client), 200)
  for (const client of inside.splice(0, 2)) client.destroy()
  await eventually('it has recovered', () => tellings(balancer, 'connections').length === 2)
  t.equal((await balancer.get('/readyz')).status, 200)
  t.equal(await served(await clientFrom(t, '127.0.0.1', balancer.port('http'))), 200)
})

const wrk = existsSync('/usr/bin/wrk')

t.test(
  'a flood of requests is shed fast, and what was under way ends whole',
  { skip: wrk ? false : 'needs wrk' },
  async (t) => {
    const backend = await startBackend(t)
    backend.onRequest = async (x) => {
      if (x.request.target !== '/slow') return x.answer('fine')
      x.connection.write('HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n')
      for (let i = 0; i < 60; i++) {
        x.connection.write('x')
        await new Promise((next) => setTimeout(next, 100))
      }
    }
    const http = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
    const faults = faultsOf(t)
    const config = { appliance: { threads: 1, overload: { delay: '15ms' } }, virtualServices: { http } }
    const balancer = await startBalancer(t, config, { env: faults.env })
    const slow = await clientFrom(t, '127.0.0.1', balancer.port('http'))
    slow.send(get('/slow'))
    const whole = slow.readResponse({ deadline: 30_000 })
    const kept = await clientFrom(t, '127.0.0.1', balancer.port('http'))
    t.equal(await served(kept), 200)
    const url = `http://127.0.0.1:${balancer.port('http')}/`
    const flood = execFile('wrk', ['-t1', '-c300', '-d4s', '--timeout', '10s', url])
    t.teardown(() => flood.kill())
    const ended = once(flood, 'exit')
    faults.plant(0, 'labour') // however fast the machine is, it can't keep up now
    await eventually('it is told', () => tellings(balancer, 'delay').length >= 1, 20_000)
    const waits: number[] = []
    let readiness = 0
    while (flood.exitCode === null) {
      const from = performance.now()
      const status = await served(kept)
      if (status === 503) waits.push(performance.now() - from)
      else t.equal(status, 200)
      if (readiness !== 503) readiness = (await balancer.get('/readyz')).status
    }
    await ended
    t.ok(waits.length > 0, `${waits.length} requests were shed`)
    const median = waits.sort((a, b) => a - b)[waits.length >> 1] ?? 0
    t.ok(median < 2000, `${waits.length} times 503, median ${median.toFixed(1)} ms`) // ten turns of its event loop
    t.equal(readiness, 503)
    t.match(tellings(balancer, 'delay')[0], /^data thread 0 can't keep up, \d+ ms late: what is new is refused there$/)
    const { status, body } = await whole
    t.strictSame([status, body.length], [200, 60], 'the request under way got its whole answer')
    await eventually('it has recovered', async () => (await balancer.get('/readyz')).status === 200, 10_000)
    t.equal(await served(kept), 200)
    t.ok((await countOf(balancer, 'http', 'overload')) >= waits.length)
  },
)
