/** /metrics of a running balancer, read by a strict parser. */

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { type ParsedFamily, parseExposition, sampleOf } from '../telemetry/exposition-format.ts'
import { askRaw, setUp, untilAll } from './support.ts'

t.test('a scrape counts what was served, and stays valid', async (t) => {
  const { balancer } = await setUp(t, { appliance: { threads: 2 } })
  await untilAll(balancer, 'web', 'up')
  for (let i = 0; i < 8; i++) await (await fetch(`http://127.0.0.1:${balancer.port('web')}/${i}`)).text()
  t.equal((await askRaw(balancer.addresses('web')[0] ?? '', '/', { headers: { Expect: 'nonsense' } })).status, 417)
  const echo = connect(balancer.port('echo'), '127.0.0.1')
  echo.end('hello')
  await once(echo.resume(), 'close')
  const of = { service: 'web' }
  const seen = await eventually('all counted', async () => {
    const families = parseExposition(await balancer.metrics())
    const flows = sampleOf(families, 'evenkeel_requests_total', { service: 'echo', code: 'none' })
    return flows === 1 && families
  })
  t.equal(sampleOf(seen, 'evenkeel_requests_total', { ...of, code: '2xx' }), 8)
  t.equal(sampleOf(seen, 'evenkeel_backend_requests_total', { ...of, code: '2xx' }), 8)
  t.equal(sampleOf(seen, 'evenkeel_backend_requests_total', { ...of, code: '5xx' }), 0)
  t.equal(sampleOf(seen, 'evenkeel_request_duration_seconds_count', of), sampleOf(seen, 'evenkeel_requests_total', of))
  t.equal(sampleOf(seen, 'evenkeel_backend_response_seconds_count', of), 8)
  t.equal(sampleOf(seen, 'evenkeel_bytes_total', { service: 'echo', direction: 'in' }), 5)
  t.equal(sampleOf(seen, 'evenkeel_bytes_total', { service: 'echo', direction: 'out' }), 5)
  t.equal(sampleOf(seen, 'evenkeel_backend_connect_seconds_count', { service: 'echo' }), 1)
  const listener = balancer.addresses('echo')[0] ?? ''
  t.equal(sampleOf(seen, 'evenkeel_connections_total', { service: 'echo', listener }), 1)
  t.equal(sampleOf(seen, 'evenkeel_client_connections_active', { service: 'echo', listener }), 0)
  t.equal(sampleOf(seen, 'evenkeel_backend_active', of), 0)
  t.equal(sampleOf(seen, 'evenkeel_backend_state', { ...of, state: 'up' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_backend_state'), 3, 'one-hot for each of three backends')
  t.equal(
    sampleOf(seen, 'evenkeel_backend_state_changes_total', { ...of, from: 'unknown', to: 'up', cause: 'probe' }),
    2,
  )
  const probes = sampleOf(seen, 'evenkeel_probe_results_total', { ...of, result: 'pass' }) ?? 0
  t.ok(probes >= 2)
  t.equal(sampleOf(seen, 'evenkeel_probe_duration_seconds_count', of), probes)
  t.equal(sampleOf(seen, 'evenkeel_data_threads'), 2)
  t.same(
    seen.get('evenkeel_thread_utilisation')?.samples.map(({ labels }) => labels['thread']),
    ['control', '0', '1'],
  )
})

t.test('counters survive the end of a data thread', async (t) => {
  const { balancer } = await setUp(t)
  await untilAll(balancer, 'web', 'up')
  for (let i = 0; i < 3; i++) await (await fetch(`http://127.0.0.1:${balancer.port('web')}/`)).text()
  const scrape = async (): Promise<Map<string, ParsedFamily>> => parseExposition(await balancer.metrics())
  t.equal(sampleOf(await scrape(), 'evenkeel_requests_total', { service: 'web', code: '2xx' }), 3)
  await askRaw(balancer.admin, '/api/v1/threads/0/restart', { method: 'POST' })
  const after = await eventually('the restart', async () => {
    const seen = await scrape()
    return sampleOf(seen, 'evenkeel_data_thread_restarts_total', { thread: '0', cause: 'operator' }) === 1 && seen
  })
  t.equal(sampleOf(after, 'evenkeel_requests_total', { service: 'web', code: '2xx' }), 3)
})

t.test('who can read gzip gets gzip', async (t) => {
  const { balancer } = await setUp(t)
  const plain = await askRaw(balancer.admin, '/metrics')
  t.equal(plain.headers['content-encoding'], undefined)
  t.match(plain.headers['content-type'], 'text/plain; version=0.0.4')
  const zipped = await balancer.get('/metrics', { headers: { 'accept-encoding': 'gzip' } })
  t.equal(zipped.headers.get('content-encoding'), 'gzip')
  t.ok(parseExposition(await zipped.text()).has('evenkeel_build_info'))
  const declined = await askRaw(balancer.admin, '/metrics', { headers: { 'accept-encoding': 'gzip;q=0' } })
  t.equal(declined.headers['content-encoding'], undefined)
})
