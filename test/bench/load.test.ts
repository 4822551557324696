/** Reading what wrk measured. */
import t from 'tap'
import { parseH2load, parseLoad, problemsOf } from '../../bench/load.ts'

const OUTPUT = `Running 1s test @ http://127.0.0.1:39411/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.94ms  120.00us   2.00ms   90.00%
Requests/sec:  64531.00
{"requests":64531,"micros":1000000,"bytes":80000000,"p50Micros":940,"p99Micros":1450,"errors":{"connect":0,"read":0,"write":0,"timeout":0,"status":0}}
`

t.test('the line of figures is found behind what wrk itself prints', async (t) => {
  const load = parseLoad(OUTPUT)
  t.match(load, { requests: 64_531, seconds: 1, p50Ms: 0.94, p99Ms: 1.45 })
  t.strictSame(problemsOf(load), [])
})

t.test('output without figures, or with some missing, is an error', async (t) => {
  t.throws(() => parseLoad('unable to connect to 127.0.0.1:1 Connection refused\n'), /printed no figures.*refused/)
  t.throws(() => parseLoad(OUTPUT.replace('"p99Micros"', '"p98Micros"')), /did not tell p99Micros/)
  t.throws(() => parseLoad(OUTPUT.replace('"timeout":0', '"timeout":"0"')), /did not tell timeout/)
})

t.test('each kind of error makes a run invalid and is named', async (t) => {
  for (const [kind, expected] of [
    ['connect', '3 failed connects'],
    ['read', '3 read errors'],
    ['write', '3 write errors'],
    ['timeout', '3 time-outs'],
    ['status', '3 answers with an error status'],
  ] as const) {
    t.strictSame(problemsOf(parseLoad(OUTPUT.replace(`"${kind}":0`, `"${kind}":3`))), [expected])
  }
})

t.test('a run without a single request is invalid', async (t) => {
  t.strictSame(problemsOf(parseLoad(OUTPUT.replace('"requests":64531', '"requests":0'))), ['no request completed'])
})

const H2LOAD = `finished in 2.00s, 3.50 req/s, 12.34KB/s
requests: 7 total, 9 started, 7 done, 5 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 5 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 24.68KB (25274) total, 345B (345) headers (space savings 90.00%), 20.00KB (20480) data
`

t.test("h2load's report is read, and its times from its log", async (t) => {
  const load = parseH2load(H2LOAD, '1700000000000000\t200\t900\n1700000000001000\t200\t1100\n')
  t.match(load, { requests: 5, seconds: 2, bytes: 25_274, p50Ms: 1 })
  t.strictSame(problemsOf(load), ['1 read errors', '1 answers with an error status'])
  t.throws(() => parseH2load('unable to connect\n', ''), /h2load did not tell .*unable to connect/)
})
