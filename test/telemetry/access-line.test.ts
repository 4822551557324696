/** The lines of the access log: whatever a client sent, a line is one line, and JSON gives back what was put in. */
import fc from 'fast-check'
import t from 'tap'
import { combinedLine, commonLine, jsonLine, LINE_BYTES, textOf } from '../../lib/telemetry/access-line.ts'
import type { FlowRecord } from '../../lib/telemetry/index.ts'
import { LineBuffer } from '../../lib/telemetry/line-buffer.ts'

const RECORD: FlowRecord = {
  startedAt: Date.UTC(2026, 10, 21, 10, 9, 8, 7),
  protocol: 'http',
  service: 'shop',
  backendName: '10.0.0.1:80',
  clientAddress: '2001:db8::1',
  clientPort: 50_000,
  id: 'abc',
  method: 'GET',
  target: '/',
  host: 'a.test',
  version: '1.1',
  referer: '',
  userAgent: '',
  status: 200,
  grpcStatus: -1,
  tries: 1,
  queueMs: 0,
  connectMs: -1,
  firstByteMs: 1.2345,
  totalMs: 12_345_678.9,
  bytesIn: 9,
  bytesOut: 9_007_199_254_740_991,
  endedBy: '',
  reason: '',
  phase: 'done',
}

const rendered = (format: typeof jsonLine, record: FlowRecord): string => {
  const out = new LineBuffer(LINE_BYTES + 6 * textOf(record))
  t.ok(out.fits(LINE_BYTES, textOf(record)))
  format(out, record)
  return out.take().toString('utf8')
}

t.test('a line of JSON says everything of a request', async (t) => {
  const line = rendered(jsonLine, RECORD)
  t.ok(line.endsWith('}\n'))
  const { time, backend, client, ...rest } = JSON.parse(line) as Record<string, unknown>
  t.equal(time, '2026-11-21T10:09:08.007Z')
  t.equal(backend, '10.0.0.1:80')
  t.equal(client, '2001:db8::1')
  t.match(rest, { queueMs: 0, connectMs: null, firstByteMs: 1.235, totalMs: 12_345_678.9, status: 200, phase: 'done' })
  t.equal(rest['bytesOut'], 9_007_199_254_740_991)
})

t.test('a TCP flow has no fields of HTTP, but the name of its TLS handshake where it told one', async (t) => {
  const flow = {
    ...RECORD,
    protocol: 'tcp',
    method: '',
    host: '',
    reason: 'cut',
    endedBy: 'us',
    phase: 'relay',
  } as const
  const line = JSON.parse(rendered(jsonLine, flow)) as Record<string, unknown>
  t.match(line, { reason: 'cut', endedBy: 'us', phase: 'relay' })
  for (const key of ['method', 'host', 'target', 'version', 'userAgent', 'status'])
    t.notOk(Object.hasOwn(line, key), key)
  t.match(JSON.parse(rendered(jsonLine, { ...flow, host: 'a.test' })), { host: 'a.test' })
})

t.test('whatever the text and the numbers, JSON gives them back, on one line', async () => {
  // What heads are read as: one character per byte.
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)),
    maxLength: 60,
  })
  const count = fc.oneof(fc.nat(1200), fc.maxSafeNat())
  fc.assert(
    fc.property(
      text,
      text,
      text,
      count,
      count,
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      (target, host, userAgent, status, bytesIn, totalMs) => {
        const record = { ...RECORD, target, host, userAgent, status, bytesIn, totalMs }
        const line = rendered(jsonLine, record)
        const read = JSON.parse(line) as Record<string, unknown>
        return (
          line.indexOf('\n') === line.length - 1 &&
          read['target'] === target &&
          read['host'] === host &&
          read['userAgent'] === userAgent &&
          read['status'] === status &&
          read['bytesIn'] === bytesIn &&
          Math.abs(Number(read['totalMs']) - totalMs) <= 0.000_51
        )
      },
    ),
    { numRuns: 2000 },
  )
})

t.test('a line that fills its room to the last byte is whole, and so is the next', async (t) => {
  const out = new LineBuffer(4096)
  let lines = ''
  for (let i = 0; i < 100; i++) {
    const record = { ...RECORD, target: `/${'\u00ff'.repeat(i * 7)}` }
    if (!out.fits(LINE_BYTES, textOf(record))) lines += out.take(LINE_BYTES, textOf(record)).toString()
    jsonLine(out, record)
  }
  lines += out.take().toString()
  const targets = lines
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { target: string }).target)
  t.equal(targets.length, 100)
  for (const [i, target] of targets.entries()) t.equal(target.length, 1 + i * 7)
})

t.test('the common formats escape what would break a line or a field', async (t) => {
  const record = { ...RECORD, target: '/a"b\\\n\u00e9', userAgent: 'x"y', referer: '' }
  t.equal(
    rendered(commonLine, record),
    '2001:db8::1 - - [21/Nov/2026:10:09:08 +0000] "GET /a\\"b\\\\\\x0a\\xe9 HTTP/1.1" 200 9007199254740991\n',
  )
  t.ok(rendered(combinedLine, record).endsWith(' "-" "x\\"y"\n'))
})
