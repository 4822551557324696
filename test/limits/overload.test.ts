/** When descriptors or memory run short new connections are refused, those there are served on, and it ends by itself. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { run } from '../cli/support.ts'
import { logOf, makeCertificate } from '../e2e/fixtures/support.ts'
import { startBackend, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { get } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
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
  for (const service of ['http', 'https', 'tcp'])
    t.equal(await (await clientFrom(t, '127.0.0.1', balancer.port(service))).untilClosed(), 'reset')
  t.equal(await gaugeOf(balancer, 'evenkeel_overload', 'memory'), 1)
  t.equal(tellings(balancer, 'memory').length, 1)
  t.match(tellings(balancer, 'memory')[0], /^memory run short: \d+ MiB of \d+ MiB are in use/)
})

t.test('with 100% it is never looked at', async (t) => {
  const balancer = await start(t, { memory: '100%', descriptors: '100%' })
  t.equal(await served(await clientFrom(t, '127.0.0.1', balancer.port('http'))), 200)
})
