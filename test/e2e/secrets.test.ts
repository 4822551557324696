/** Planted secrets are in nothing that people or programs are shown, and in no thread that has no use for them. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration
import { existsSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../cli/support.ts'
import { refusedPort, startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { faultsOf } from '../support/faults.ts'
import { connect } from '../support/raw.ts'
import { makeCertificate } from './fixtures/support.ts'

const SECRET = 'planted-secret'
const auth = { headers: { Authorization: `Bearer ${SECRET}-token` } }

t.test('no log, answer, metric or command shows a secret', async (t) => {
  const { files, tls } = await makeCertificate()
  const backend = await startBackend(t)
  const refused = await refusedPort()
  const faults = faultsOf(t)
  const health = { interval: '200ms', timeout: '150ms' }
  const redis = { ...health, type: 'redis', redis: { password: `${SECRET}-probe` } }
  const http = { ...health, type: 'http', headers: { Authorization: `Bearer ${SECRET}-field` } }
  const main = { listen: ['127.0.0.1:0'], protocol: 'https', tls, backends: [backend.address] }
  const config = {
    admin: { listen: '127.0.0.1:0', token: '${PLANTED_TOKEN}' },
    virtualServices: {
      main,
      failing: { ...main, protocol: 'tcp', tls: undefined, health: redis, backends: [`127.0.0.1:${refused}`] },
      wrong: { ...main, protocol: 'tcp', tls: undefined, health: redis },
      fields: { ...main, protocol: 'http', tls: undefined, health: http },
    },
  }
  const env = { ...faults.env, PLANTED_TOKEN: `${SECRET}-token`, PLANTED_OTHER: `${SECRET}-env`, EVENKEEL_LOG: 'debug' }
  const balancer = await startBalancer(t, config, { files, env })
  const shown = new Map<string, string>()
  const client = await connect(balancer.port('fields'))
  client.send(
    `GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: Basic ${SECRET}-client\r\nCookie: k=${SECRET}-cookie\r\n\r\n`,
  )
  await client.readResponse()
  client.destroy()
  await eventually('it is in the access log', async () => (await balancer.accessLog()).length > 0)
  await eventually('probes have failed', async () => {
    const text = await (await balancer.get('/api/v1/services', auth)).text()
    return text.includes('"state":"down"')
  })
  const paths = [
    '/metrics',
    '/livez',
    '/readyz?verbose',
    '/api/v1/status',
    '/api/v1/services',
    '/api/v1/services/failing',
  ]
  paths.push('/api/v1/config', '/api/v1/config/history')
  for (const path of paths) shown.set(path, await (await balancer.get(path, auth)).text())
  shown.set('refused', await (await balancer.get('/api/v1/status')).text())
  for (const args of [['query'], ['query', '--json'], ['query', 'wrong/127.0.0.1:1'], ['top'], ['certs', 'list']])
    shown.set(
      args.join(' '),
      JSON.stringify(await run(t, [...args, '--admin', balancer.admin, '--token', `${SECRET}-token`])),
    )
  shown.set('check', JSON.stringify(await run(t, ['check', balancer.file])))
  faults.plant('control', 'throw')
  faults.plant(0, 'throw')
  await eventually('both have thrown', () => balancer.stderr().split('a planted fault').length > 3)
  shown.set('access log', JSON.stringify(await balancer.accessLog()))
  await balancer.stop()
  shown.set('stdout', balancer.stdout())
  shown.set('stderr', balancer.stderr())
  for (const [what, text] of shown) t.notMatch(text, SECRET, what)
  t.ok(shown.get('/metrics')?.includes('evenkeel_'), 'what was looked through is there')
})

t.test('data threads get none of the environment’s secrets, nor the admin token', async (t) => {
  const backend = await startBackend(t)
  const faults = faultsOf(t)
  const main = { listen: ['127.0.0.1:0'], protocol: 'http', health: { type: 'none' }, backends: [backend.address] }
  const env = { ...faults.env, PLANTED_TOKEN: `${SECRET}-token`, PLANTED_OTHER: `${SECRET}-env` }
  await startBalancer(
    t,
    { admin: { listen: '127.0.0.1:0', token: '${PLANTED_TOKEN}' }, virtualServices: { main } },
    { env },
  )
  faults.plant(0, 'tell')
  const dir = decodeURIComponent(/dir=file%3A%2F%2F(.*)$/.exec(faults.env['NODE_OPTIONS'] ?? '')?.[1] ?? tmpdir())
  const file = join(dir, '0.told')
  const told = await eventually('it has told', () => (existsSync(file) && readFileSync(file, 'utf8')) || false)
  t.match(told, '"main"', 'it told what it was started with')
  t.notMatch(told, SECRET)
})
