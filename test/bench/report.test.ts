/** The tables of a bench's report. */
import t from 'tap'
import type { Sample } from '../../bench/measure.ts'
import { problemsOfRow, type Report, type Row, ratioOf, renderMarkdown } from '../../bench/report.ts'

const sample = (cpuMicros: number, problems: string[] = []): Sample => ({
  requests: 1000,
  cpuMicros,
  cpuFrom: 'threads',
  busy: 0.98,
  requestsPerSecond: 64_531.4,
  p50Ms: 0.94,
  p99Ms: 1.456,
  problems,
})
const row = (balancer: string, ...samples: Sample[]): Row => ({ balancer, samples })

const reportOf = (...rows: Row[]): Report => ({
  taken: '2026-11-21',
  machine: 'a machine',
  versions: { evenkeel: '0.1.0', haproxy: '2.6.12' },
  rounds: 3,
  seconds: 2,
  scenarios: [
    {
      name: 'http-1k',
      about: 'HTTP, keep-alive',
      ceiling: 85_867,
      rows,
      skipped: [{ balancer: 'nginx', reason: 'it is not installed' }],
    },
  ],
  latency: [],
  memory: undefined,
})

const evenkeel = row('evenkeel', sample(12), sample(14), sample(10))
const haproxy = row('haproxy', sample(16), sample(14), sample(20))

t.test('a row has medians with extremes and the ratio paired by round', async (t) => {
  const text = renderMarkdown(reportOf(evenkeel, haproxy), 'evenkeel')
  t.match(text, '| evenkeel | 12.0 [10.0–14.0] |  | 64,531 | 0.94 | 1.46 | 98 % |')
  t.match(text, '| haproxy | 16.0 [14.0–20.0] | 0.75 [0.50–1.00] | 64,531 | 0.94 | 1.46 | 98 % |')
})

t.test('the report tells versions, rounds, the ceiling and who was left out', async (t) => {
  const text = renderMarkdown(reportOf(evenkeel, haproxy), 'evenkeel')
  t.match(text, 'Taken 2026-11-21 on a machine; evenkeel 0.1.0, haproxy 2.6.12; 3 rounds of 2 s.')
  t.match(text, 'Without a balancer: 85,867 requests/s.')
  t.match(text, 'nginx is left out: it is not installed.')
})

t.test('a row with an error in any round is marked invalid and shows no figures', async (t) => {
  const bad = row('haproxy', sample(16), sample(14, ['3 read errors', '2 time-outs']))
  t.strictSame(problemsOfRow(bad), ['round 2: 3 read errors', 'round 2: 2 time-outs'])
  const text = renderMarkdown(reportOf(evenkeel, bad), 'evenkeel')
  t.match(text, '| **haproxy: INVALID** | round 2: 3 read errors; round 2: 2 time-outs |  |  |  |  |  |')
  t.notMatch(text, '16.0')
})

t.test('an invalid round gives no ratio', async (t) => {
  const bad = row('haproxy', sample(24), sample(1, ['3 read errors']), sample(20))
  t.strictSame(ratioOf(evenkeel, bad), { median: 0.5, low: 0.5, high: 0.5 })
  t.equal(ratioOf(evenkeel, row('haproxy', sample(1, ['1 time-outs']))), undefined)
})

t.test('without the subject there are figures but no ratios', async (t) => {
  t.match(renderMarkdown(reportOf(haproxy), 'evenkeel'), '| haproxy | 16.0 [14.0–20.0] |  | 64,531 |')
})

t.test('latency is told as what is added to that without a balancer, paired by round', async (t) => {
  const rowOf = (balancer: string, ...p50: number[]) => ({
    balancer,
    samples: p50.map((ms) => ({ p50Ms: ms, p99Ms: ms * 2, problems: [] as string[] })),
  })
  const latency = {
    name: 'http-1k',
    about: 'HTTP',
    saturation: { evenkeel: 30_000, haproxy: 20_000 },
    rate: 10_000,
    direct: rowOf('none', 1, 3),
    rows: [
      rowOf('evenkeel', 2, 3.5),
      { balancer: 'nginx', samples: [{ p50Ms: 1, p99Ms: 1, problems: ['1 time-outs'] }] },
    ],
    skipped: [],
  }
  const text = renderMarkdown({ ...reportOf(), scenarios: [], latency: [latency] }, 'evenkeel')
  t.match(text, '10,000 requests/s: half of what the weakest takes at most (evenkeel 30,000, haproxy 20,000)')
  t.match(text, '| without |  |  | 2.00 [1.00–3.00] | 4.00 [2.00–6.00] |')
  t.match(text, '| evenkeel | 0.75 [0.50–1.00] | 1.50 [1.00–2.00] | 2.75 [2.00–3.50] | 5.50 [4.00–7.00] |')
  t.match(text, '| **nginx: INVALID** | round 1: 1 time-outs |  |  |  |')
})

t.test('memory is told in KiB for each connection', async (t) => {
  const memory = {
    connections: 5000,
    held: 'http' as const,
    rows: [{ balancer: 'haproxy', bytes: [1024, 2048, 1536] }],
    skipped: [],
  }
  const text = renderMarkdown({ ...reportOf(), scenarios: [], memory }, 'evenkeel')
  t.match(text, 'at 5,000 idle keep-alive client connections')
  t.match(text, '| haproxy | 1.50 [1.00–2.00] |')
})

t.test('every table has as many cells in each line as in its head', async (t) => {
  const bad = row('haproxy', sample(16, ['1 time-outs']))
  const lines = renderMarkdown(reportOf(evenkeel, bad), 'evenkeel')
    .split('\n')
    .filter((line) => line.startsWith('|'))
  t.equal(lines.length, 4)
  t.strictSame([...new Set(lines.map((line) => line.split('|').length))], [9])
})
