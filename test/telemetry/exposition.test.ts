/** What a scrape says, made from a real board and backends of the test's own. */
import t from 'tap'
import { BackendCell, Board, BUCKETS, ListenerCell, ServiceCell } from '../../lib/board/index.ts'
import {
  type BackendSource,
  DurationHistogram,
  Exposition,
  type SeriesSource,
  type ServiceSource,
} from '../../lib/telemetry/index.ts'
import { type ParsedFamily, parseExposition, sampleOf } from './exposition-format.ts'

const STATES = ['unknown', 'up', 'draining', 'down', 'maintenance']
const PROCESS = {
  version: '1.2.3',
  configuredAt: () => 1_700_000_000_500,
  reloads: () => ({ success: 1, failure: 2 }),
  threads: () => [
    { thread: 0, deaths: { error: 0, hang: 0 }, faults: 7, serving: true, delay: 20, turn: 60, held: 7_000_000 },
    { thread: 1, deaths: { error: 1, hang: 2 }, faults: 0, serving: false, delay: 0, turn: 0, held: 0 },
  ],
  mishaps: () => 4,
  utilisation: () => [['control', 0.25] as const, ['0', 0.5] as const],
  orders: () => ({ issued: 3, failed: 1 }),
  overload: () => [['memory', false] as const, ['descriptors', true] as const],
}

function backend(name: string, row: number, more: Partial<BackendSource> = {}): BackendSource {
  const probeDurations = new DurationHistogram()
  return {
    name,
    row,
    state: 'up',
    effectiveWeight: 1,
    load: null,
    changes: new Map(),
    probeCounts: new Map(),
    probeDurations,
    ...more,
  }
}

const service = (more: Partial<ServiceSource> = {}): ServiceSource => ({
  name: 'shop',
  row: 0,
  protocol: 'http',
  listeners: [{ name: '127.0.0.1:80', row: 0 }],
  pools: [{ row: 0 }],
  affinityEntries: null,
  backends: [backend('b1', 0)],
  certificates: [],
  ...more,
})

async function piecesOf(board: SeriesSource['board'], services: readonly ServiceSource[]): Promise<string[]> {
  const exposition = await Exposition.create({ board, states: STATES, services: () => services }, PROCESS)
  const pieces: string[] = []
  for await (const piece of exposition.pieces()) pieces.push(piece)
  return pieces
}

const scrape = async (board: Board, ...services: ServiceSource[]): Promise<Map<string, ParsedFamily>> =>
  parseExposition((await piecesOf(board, services)).join(''))

t.test('everything counted in two threads is in the scrape, summed', async (t) => {
  const board = new Board(2)
  for (const thread of [0, 1]) {
    const cell = new ServiceCell(board, thread, 0)
    cell.request(200, 3)
    cell.request(503, 700)
    cell.error('connect-failed')
    cell.retry('connect-timeout')
    cell.bytes(10, 100)
    cell.handshake('TLSv1.3', true)
    cell.handshake('TLSv1.2', false)
    cell.handshakeFailure('protocol')
    const listener = new ListenerCell(board, thread, 0)
    listener.connection()
    listener.begin()
    const backendCell = new BackendCell(board, thread, 0)
    backendCell.request(200)
    backendCell.connectFailure()
    backendCell.connected(0.4)
    backendCell.responded(70_000)
    backendCell.begin()
  }
  const seen = await scrape(
    board,
    service({ certificates: [{ name: 'a.test', notAfter: 1_800_000_000_000, broken: true }] }),
  )
  const of = { service: 'shop' }
  const onBackend = { service: 'shop', backend: 'b1' }
  t.equal(sampleOf(seen, 'evenkeel_requests_total', { ...of, code: '2xx' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_requests_total', { ...of, code: '5xx' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_request_duration_seconds_count', of), 4)
  t.match(sampleOf(seen, 'evenkeel_request_duration_seconds_sum', of)?.toFixed(3), '1.406')
  t.equal(sampleOf(seen, 'evenkeel_request_duration_seconds_bucket', { ...of, le: '0.0025' }), 0)
  t.equal(sampleOf(seen, 'evenkeel_request_duration_seconds_bucket', { ...of, le: '0.005' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_request_duration_seconds_bucket', { ...of, le: '1' }), 4)
  t.equal(sampleOf(seen, 'evenkeel_request_errors_total', { ...of, reason: 'connect-failed' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_retries_total', { ...of, reason: 'connect-timeout' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_bytes_total', { ...of, direction: 'in' }), 20)
  t.equal(sampleOf(seen, 'evenkeel_bytes_total', { ...of, direction: 'out' }), 200)
  t.equal(sampleOf(seen, 'evenkeel_tls_handshakes_total', { ...of, version: 'TLSv1.3', resumed: 'true' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_tls_handshakes_total', { ...of, version: 'TLSv1.2', resumed: 'false' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_tls_handshake_failures_total', { ...of, reason: 'protocol' }), 2)
  const certificate = { ...of, certificate: '0', name: 'a.test' }
  t.equal(sampleOf(seen, 'evenkeel_tls_certificate_not_after_seconds', certificate), 1_800_000_000)
  t.equal(sampleOf(seen, 'evenkeel_tls_certificate_broken', certificate), 1)
  t.equal(sampleOf(seen, 'evenkeel_connections_total', { ...of, listener: '127.0.0.1:80' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_client_connections_active', { ...of, listener: '127.0.0.1:80' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_backend_requests_total', { ...onBackend, code: '2xx' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_backend_connect_failures_total', onBackend), 2)
  t.equal(sampleOf(seen, 'evenkeel_backend_active', onBackend), 2)
  t.equal(sampleOf(seen, 'evenkeel_backend_connect_seconds_bucket', { ...onBackend, le: '0.0005' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_backend_response_seconds_bucket', { ...onBackend, le: '60' }), 0)
  t.equal(sampleOf(seen, 'evenkeel_backend_response_seconds_bucket', { ...onBackend, le: '+Inf' }), 2)
})

t.test('the state of a backend is one-hot, its changes and probes have their labels', async (t) => {
  const probeDurations = new DurationHistogram()
  for (const seconds of [0.0005, 0.003, 120]) probeDurations.observe(seconds)
  const draining = backend('b1', 0, {
    state: 'draining',
    effectiveWeight: 7,
    load: 42.5,
    changes: new Map([['up draining probe', 2]]),
    probeCounts: new Map([
      ['pass', 5],
      ['timeout', 3],
    ]),
    probeDurations,
  })
  const board = new Board(1)
  new BackendCell(board, 0, 0).begin()
  new BackendCell(board, 0, 1).begin()
  const seen = await scrape(board, service({ backends: [draining, backend('b2', 1)] }))
  const of = { backend: 'b1' }
  for (const state of STATES)
    t.equal(sampleOf(seen, 'evenkeel_backend_state', { ...of, state }), state === 'draining' ? 1 : 0, state)
  t.equal(
    sampleOf(seen, 'evenkeel_backend_state_changes_total', { ...of, from: 'up', to: 'draining', cause: 'probe' }),
    2,
  )
  t.equal(sampleOf(seen, 'evenkeel_backend_weight', of), 7)
  t.equal(sampleOf(seen, 'evenkeel_backend_load', of), 42.5)
  t.equal(sampleOf(seen, 'evenkeel_backend_load', { backend: 'b2' }), undefined, 'unknown is not 0')
  t.equal(sampleOf(seen, 'evenkeel_backend_draining_flows', of), 1)
  t.equal(sampleOf(seen, 'evenkeel_backend_draining_flows', { backend: 'b2' }), 0)
  t.equal(sampleOf(seen, 'evenkeel_probe_results_total', { ...of, result: 'pass', reason: 'none' }), 5)
  t.equal(sampleOf(seen, 'evenkeel_probe_results_total', { ...of, result: 'fail', reason: 'timeout' }), 3)
  t.equal(sampleOf(seen, 'evenkeel_probe_duration_seconds_bucket', { ...of, le: '0.0005' }), 1)
  t.equal(sampleOf(seen, 'evenkeel_probe_duration_seconds_bucket', { ...of, le: '0.005' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_probe_duration_seconds_count', of), 3)
  t.equal(sampleOf(seen, 'evenkeel_probe_duration_seconds_sum', of)?.toFixed(4), '120.0035')
})

t.test('from closed lists only what happened is told, but 2xx and 5xx always', async (t) => {
  const seen = await scrape(new Board(1), service(), service({ name: 'echo', row: 1, protocol: 'tcp', backends: [] }))
  const codes = (name: string): string[] =>
    seen
      .get('evenkeel_requests_total')
      ?.samples.filter(({ labels }) => labels['service'] === name)
      .map(({ labels }) => labels['code'] ?? '') ?? []
  t.same(codes('shop'), ['2xx', '5xx'])
  t.same(codes('echo'), ['none'])
  t.same(
    seen.get('evenkeel_backend_requests_total')?.samples.map(({ labels }) => labels['code']),
    ['2xx', '5xx'],
  )
  for (const name of ['request_errors_total', 'retries_total', 'tls_handshakes_total', 'tls_handshake_failures_total'])
    t.same(seen.get(`evenkeel_${name}`)?.samples, [], name)
  for (const name of ['request_duration_seconds', 'backend_response_seconds', 'probe_duration_seconds'])
    t.same(seen.get(`evenkeel_${name}`)?.samples, [], name)
})

t.test('the process, its threads and its configuration are told', async (t) => {
  const seen = await scrape(new Board(1))
  t.equal(sampleOf(seen, 'evenkeel_build_info', { version: '1.2.3', node: process.versions.node }), 1)
  t.equal(sampleOf(seen, 'evenkeel_config_reloads_total', { result: 'success' }), 1)
  t.equal(sampleOf(seen, 'evenkeel_config_reloads_total', { result: 'failure' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_config_last_reload_success_timestamp_seconds'), 1_700_000_000.5)
  t.equal(sampleOf(seen, 'evenkeel_data_threads'), 2)
  t.equal(sampleOf(seen, 'evenkeel_data_thread_restarts_total', { thread: '1', cause: 'hang' }), 2)
  t.equal(sampleOf(seen, 'evenkeel_data_thread_serving', { thread: '0' }), 1)
  t.equal(sampleOf(seen, 'evenkeel_data_thread_serving', { thread: '1' }), 0)
  t.equal(sampleOf(seen, 'evenkeel_data_thread_longest_turn_seconds', { thread: '0' }), 0.06)
  t.equal(sampleOf(seen, 'evenkeel_data_thread_memory_bytes', { thread: '0' }), 7_000_000)
  t.equal(sampleOf(seen, 'evenkeel_uncaught_errors_total', { thread: '0', ended: 'flow' }), 7)
  t.equal(sampleOf(seen, 'evenkeel_uncaught_errors_total', { thread: '1', ended: 'thread' }), 1)
  t.equal(sampleOf(seen, 'evenkeel_uncaught_errors_total', { thread: 'control', ended: 'nothing' }), 4)
  t.equal(sampleOf(seen, 'evenkeel_thread_utilisation', { thread: 'control' }), 0.25)
  t.equal(sampleOf(seen, 'evenkeel_overload', { reason: 'memory' }), 0)
  t.equal(sampleOf(seen, 'evenkeel_overload', { reason: 'descriptors' }), 1)
  t.ok((sampleOf(seen, 'process_resident_memory_bytes') ?? 0) > 0)
})

t.test('a second scrape tells the same counters, not twice as much', async (t) => {
  const board = new Board(1)
  const source = { board, states: STATES, services: () => [service()] }
  const exposition = await Exposition.create(source, PROCESS)
  const texts: string[] = []
  for (let i = 0; i < 2; i++) {
    let text = ''
    for await (const piece of exposition.pieces()) text += piece
    texts.push(text)
  }
  const [first, second] = texts.map((text) => parseExposition(text))
  for (const name of ['evenkeel_data_thread_restarts_total', 'evenkeel_config_reloads_total'])
    t.equal(sampleOf(second ?? new Map(), name), sampleOf(first ?? new Map(), name), name)
})

t.test('names that need it are escaped', async (t) => {
  const seen = await scrape(new Board(1), service({ backends: [backend('a"b\\c\nd', 0)] }))
  t.equal(sampleOf(seen, 'evenkeel_backend_weight', { backend: 'a"b\\c\nd' }), 1)
})

t.test('ten thousand backends come in pieces that are short to make', async (t) => {
  const board = new Board(1)
  const services = Array.from({ length: 1000 }, (_, s) => {
    const backends = Array.from({ length: 10 }, (_, b) => {
      new BackendCell(board, 0, s * 10 + b).connected(1)
      return backend(`10.0.0.1:${b}`, s * 10 + b)
    })
    return service({ name: `service-${s}`, row: s, listeners: [], backends })
  })
  const pieces = await piecesOf(board, services)
  const longest = Math.max(...pieces.map((piece) => piece.length))
  t.ok(longest < 80 * 1024, `the longest piece has ${longest} characters`)
  t.ok(pieces.every((piece) => piece === '' || piece.endsWith('\n')))
  const whole = pieces.join('')
  t.equal(whole.split('evenkeel_backend_connect_seconds_bucket{').length - 1, 10_000 * (BUCKETS.length + 1))
})
