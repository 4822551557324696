/** THREATS 17 to 20: what a client of HTTP/2 can overdo. The connection ends with GOAWAY; others and the memory stay as they were. */
import t from 'tap'
import { MIB, watchMemory } from '../e2e/fixtures/support.ts'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import {
  block,
  data,
  dial,
  FLAG,
  type FrameClient,
  frame,
  GET,
  headers,
  POST,
  PREFACE,
  setting,
  TYPE,
  uint32,
} from './fixtures/client.ts'

const CALM = 11
const backend = await startBackend(t)
backend.on('/slow', () => new Promise(() => undefined)) // never answers
backend.on('/early', (x) => x.answer('no')) // before the content has come
backend.on('/large', (x) => x.answer('x'.repeat(100_000)))
const service = (http2: object, more: object = {}): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  http: { http2: { cleartext: true, ...http2 } },
  health: { type: 'none' },
  backends: [backend.address],
  ...more,
})
const balancer = await startBalancer(t, {
  virtualServices: {
    main: service({}),
    few: service({ maxStreams: 2 }),
    full: service({}, { backends: [{ address: backend.address, maxConnections: 1 }] }),
    hasty: service({}, { timeouts: { head: '300ms', keepAlive: '300ms', body: '300ms' } }),
  },
})
const port = balancer.port('main')
const SLOW = GET.map(([name, value]) => (name === ':path' ? ([name, '/slow'] as const) : ([name, value] as const)))

const EARLY = POST.map(([name, value]) => (name === ':path' ? ([name, '/early'] as const) : ([name, value] as const)))
const LARGE = GET.map(([name, value]) => (name === ':path' ? ([name, '/large'] as const) : ([name, value] as const)))

/** Sends `make(i)` until the connection ends; answers the code of its GOAWAY. */
async function flood(client: FrameClient, make: (i: number) => Buffer, most = 100_000): Promise<number | undefined> {
  for (let i = 0; i < most && !client.closed; i += 50) {
    client.send(Buffer.concat(Array.from({ length: 50 }, (_, n) => make(i + n))))
    if (client.frames.some(({ type }) => type === TYPE.goaway)) break
    if (client.socket.writableLength > MIB) await new Promise((resolve) => client.socket.once('drain', resolve))
    else await new Promise((resolve) => setImmediate(resolve))
  }
  const goaway = await client.next(({ type }) => type === TYPE.goaway)
  return goaway?.payload.readUInt32BE(4)
}

const FLOODS: Record<string, (i: number) => Buffer> = {
  'rapid reset (CVE-2023-44487)': (i) =>
    Buffer.concat([headers(2 * i + 1, SLOW), frame(TYPE.reset, 0, 2 * i + 1, uint32(8))]),
  'resets that we are made to send (CVE-2025-8671)': (i) =>
    Buffer.concat([headers(2 * i + 1, SLOW), frame(TYPE.window, 0, 2 * i + 1, uint32(0))]),
  'malformed requests': (i) => headers(2 * i + 1, [...GET, ['X', 'y']]),
  'PING (CVE-2019-9512)': () => frame(TYPE.ping, 0, 0, '12345678'),
  'SETTINGS (CVE-2019-9515)': () => frame(TYPE.settings, 0, 0, setting(4, 65_535)),
  'PRIORITY (CVE-2019-9513)': (i) => frame(TYPE.priority, 0, 2 * i + 1, '\0\0\0\0\x01'),
  WINDOW_UPDATE: () => frame(TYPE.window, 0, 0, uint32(1)),
  'windows of one byte (CVE-2019-9511)': (i) =>
    i === 0
      ? Buffer.concat([frame(TYPE.settings, 0, 0, setting(4, 1)), headers(1, LARGE)])
      : frame(TYPE.window, 0, 1, uint32(1)),
  'frames of an unknown type': () => frame(0x20, 0, 0),
  'empty DATA (CVE-2019-9518)': (i) => (i === 0 ? headers(1, POST, FLAG.endHeaders) : data(1, '', 0)),
  'empty DATA behind an answer that did not wait for it': (i) =>
    i === 0 ? headers(1, EARLY, FLAG.endHeaders) : data(1, '', 0),
  'acknowledgements of settings': () => frame(TYPE.settings, FLAG.ack, 0),
  'acknowledgements of pings': () => frame(TYPE.ping, FLAG.ack, 0, '12345678'),
  'padding without content': (i) => (i === 0 ? headers(1, POST, FLAG.endHeaders) : data(1, '\x02\0\0', FLAG.padded)),
  'CONTINUATION (CVE-2024-27983)': (i) => (i === 0 ? headers(1, GET, 0) : frame(TYPE.continuation, 0, 1)),
  'CONTINUATION with fields': (i) =>
    i === 0 ? headers(1, GET, 0) : frame(TYPE.continuation, 0, 1, block([['x', 'y'.repeat(8000)]])),
  'changes of the table size': (i) =>
    frame(TYPE.headers, 5, 2 * i + 1, Buffer.concat([Buffer.alloc(200, 0x20), block(GET)])),
}

for (const [title, make] of Object.entries(FLOODS))
  t.test(title, async (t) => {
    const grown = watchMemory(t, balancer.pid)
    const client = await (await dial(t, port)).open()
    t.equal(await flood(client, make), CALM)
    client.destroy()
    const other = await (await dial(t, port)).open()
    other.send(headers(1, GET))
    t.equal(await other.status(1), 200, 'others are served')
    t.ok(grown() < 64 * MIB, 'memory stays')
  })

/** `count` requests, each with its reset, in one piece. */
const givenUp = (count: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, i) =>
      Buffer.concat([headers(2 * i + 1, SLOW), frame(TYPE.reset, 0, 2 * i + 1, uint32(8))]),
    ),
  )

t.test(
  'fifty requests that come together with their resets end a connection, and cost no backend anything',
  async (t) => {
    const asked = () => backend.requests.filter(({ target }) => target === '/slow').length
    const before = asked()
    const patient = await (await dial(t, port)).open()
    patient.send(givenUp(40))
    t.ok(await patient.fence(), 'forty do not')
    const client = await (await dial(t, port)).open()
    client.send(givenUp(80))
    const goaway = await client.next(({ type }) => type === TYPE.goaway)
    t.equal(goaway?.payload.readUInt32BE(4), CALM)
    const other = await (await dial(t, port)).open()
    other.send(headers(1, GET))
    t.equal(await other.status(1), 200)
    t.equal(asked(), before)
  },
)

t.test('a hundred requests under way may be given up at once', async (t) => {
  const client = await (await dial(t, port)).open()
  const ids = Array.from({ length: 100 }, (_, i) => 2 * i + 1)
  client.send(...ids.map((id) => headers(id, SLOW)))
  t.ok(await client.fence())
  client.send(...ids.map((id) => frame(TYPE.reset, 0, id, uint32(8))))
  t.ok(await client.fence())
})

t.test('what is abbreviated too well gets 431, and the tables still agree (CVE-2026-47774)', async (t) => {
  const client = await (await dial(t, port)).open()
  const entry = Buffer.concat([
    Buffer.from([0x40, 1]),
    Buffer.from('x'),
    Buffer.from([0x7f, 0x81, 0x1e]),
    Buffer.alloc(3968, 'y'),
  ])
  client.send(frame(TYPE.headers, 5, 1, Buffer.concat([block(GET), entry, Buffer.alloc(10_000, 0xbe)])))
  t.equal(await client.status(1), 431)
  client.send(frame(TYPE.headers, 5, 3, Buffer.concat([block(GET), Buffer.from([0xbe])])))
  t.equal(await client.status(3), 200)
  t.match(backend.requests.at(-1)?.head, `\r\nx: ${'y'.repeat(3968)}\r\n`)
})

t.test('crumbs of cookies are counted one by one (CVE-2026-49975)', async (t) => {
  const client = await (await dial(t, port)).open()
  client.send(headers(1, [...GET, ...Array.from({ length: 200 }, () => ['cookie', 'a=b'] as const)]))
  t.equal(await client.status(1), 431)
})

t.test('more streams than allowed are refused, and may be sent again', async (t) => {
  const client = await (await dial(t, balancer.port('few'))).open()
  client.send(headers(1, SLOW), headers(3, SLOW), headers(5, GET))
  const reset = await client.next(({ type }) => type === TYPE.reset)
  t.same([reset?.stream, reset?.payload.readUInt32BE(0)], [5, 7])
  client.send(frame(TYPE.reset, 0, 1, uint32(8)), headers(7, GET))
  t.equal(await client.status(7), 200)
})

t.test('a window of one byte gets an answer byte by byte, and a negative one none', async (t) => {
  backend.on('/ten', (x) => x.answer('0123456789'))
  const client = await (await dial(t, port)).open(setting(4, 1))
  client.send(
    headers(
      1,
      GET.map(([n, v]) => [n, n === ':path' ? '/ten' : v] as const),
    ),
  )
  t.equal(await client.status(1), 200)
  let text = ''
  const piece = async (): Promise<void> => {
    const next = await client.next(({ type, stream }) => type === TYPE.data && stream === 1)
    t.equal(next?.payload.length, 1)
    text += next?.payload.toString() ?? ''
  }
  await piece()
  for (let i = 0; i < 4; i++) {
    client.send(frame(TYPE.window, 0, 1, uint32(1)))
    await piece()
  }
  client.send(frame(TYPE.settings, 0, 0, setting(4, 0)), frame(TYPE.window, 0, 1, uint32(1)))
  await client.fence()
  t.notOk(
    client.frames.some(({ type }) => type === TYPE.data),
    'the window was -1 and is 0',
  )
  client.send(frame(TYPE.window, 0, 1, uint32(5)))
  const rest = await client.next(({ type }) => type === TYPE.data)
  t.equal(text + rest?.payload.toString(), '0123456789')
  t.equal(rest?.flags, FLAG.endStream)
})

t.test('a client that sends more than the window of a stream is told', async (t) => {
  const client = await (await dial(t, balancer.port('full'))).open()
  client.send(headers(1, SLOW), headers(3, POST, FLAG.endHeaders))
  for (let i = 0; i < 5; i++) client.send(data(3, Buffer.alloc(16_000), 0))
  const reset = await client.next(({ type }) => type === TYPE.reset || type === TYPE.goaway)
  t.same([reset?.type, reset?.stream, reset?.payload.readUInt32BE(0)], [TYPE.reset, 3, 3])
  t.ok(await client.fence())
})

t.test('who says nothing, stops in mid-head, or does not take its answer is not waited for', async (t) => {
  const hasty = balancer.port('hasty')
  const silent = await dial(t, hasty)
  const idle = await (await dial(t, hasty)).open()
  t.equal(await silent.next(() => false), undefined, 'no byte')
  t.equal((await idle.next(({ type }) => type === TYPE.goaway))?.payload.readUInt32BE(4), 0, 'no request')
  const half = await (await dial(t, hasty)).open()
  half.send(headers(1, GET, 0))
  t.ok(await half.next(({ type }) => type === TYPE.goaway), 'half a head')
  backend.on('/ten', (x) => x.answer('0123456789'))
  const shut = await (await dial(t, hasty)).open(setting(4, 0))
  shut.send(
    headers(
      1,
      GET.map(([n, v]) => [n, n === ':path' ? '/ten' : v] as const),
    ),
  )
  t.equal(await shut.status(1), 200)
  t.ok(await shut.next(({ type }) => type === TYPE.reset), 'a window that stays shut')
})

t.test('the metrics tell what ended connections', async (t) => {
  const text = await balancer.metrics()
  t.match(text, /evenkeel_http2_connection_errors_total\{service="main",code="enhance-your-calm"\} 1\d/)
  t.match(text, /evenkeel_http2_resets_total\{service="main",by="client"\} \d\d/)
})

t.test('a drain: GOAWAY in two steps, requests on their way are served', async (t) => {
  const own = await startBalancer(t, { virtualServices: { main: service({}) } })
  backend.on('/late', async (x) => {
    await eventually('the release', () => released)
    x.answer('late')
  })
  let released = false
  const client = await (await dial(t, own.port('main'))).open()
  const late = GET.map(([n, v]) => [n, n === ':path' ? '/late' : v] as const)
  client.send(headers(1, late))
  await client.fence()
  const ended = own.stop()
  const first = await client.next(({ type }) => type === TYPE.goaway)
  t.same([first?.payload.readUInt32BE(0), first?.payload.readUInt32BE(4)], [2 ** 31 - 1, 0], 'a warning')
  const ping = await client.next(({ type }) => type === TYPE.ping)
  client.send(headers(3, GET), frame(TYPE.ping, FLAG.ack, 0, ping?.payload))
  const second = await client.next(({ type }) => type === TYPE.goaway)
  t.same([second?.payload.readUInt32BE(0), second?.payload.readUInt32BE(4)], [3, 0], 'the last stream')
  client.send(headers(5, GET))
  released = true
  const answers = new Set<number>()
  for (let i = 0; i < 2; i++) answers.add((await client.next(({ type }) => type === TYPE.headers))?.stream ?? 0)
  t.same([...answers].sort(), [1, 3])
  t.equal(await client.next(({ stream }) => stream === 5), undefined, 'nothing of what came later')
  t.equal((await ended).code, 0)
})

t.test('a service that drains serves those that are bound to it, over HTTP/2 too', async (t) => {
  const own = await startBalancer(t, { virtualServices: { main: service({}, { affinity: { type: 'source-ip' } }) } })
  const first = await (await dial(t, own.port('main'))).open()
  first.send(headers(1, GET))
  t.equal(await first.status(1), 200)
  const answer = await own.get('/api/v1/services/main/drainstop', { method: 'POST' })
  t.ok(answer.ok)
  const second = await dial(t, own.port('main'))
  second.send(PREFACE, frame(TYPE.settings, 0, 0), headers(1, GET))
  t.equal(await second.status(1), 200)
  const goaway = await second.next(({ type }) => type === TYPE.goaway, 5000)
  t.equal(goaway?.payload.readUInt32BE(4), 0)
})
