/** HTTP.md 14: Expect, and the interim answers. */
import t from 'tap'
import { get, post, type RefusedRow, refuses, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t, { limited: { http: { maxBody: '1KiB' } }, versions: {} })
const { backend } = rig
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const expecting = (target: string, fields = 'Content-Length: 5\r\n') =>
  post(`${fields}Expect: 100-continue\r\n`, '', target)

t.test(
  'Expect reaches the backend, its 100 the client, then the body the backend and the answer the client',
  async (t) => {
    for (const [kind, fields, body] of [
      ['length', 'Content-Length: 5\r\n', 'hello'],
      ['chunked', 'Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n'],
    ] as const) {
      const target = `/continue/${kind}`
      backend.onHeadOf(target, async (x) => {
        x.write(CONTINUE)
        await eventually('the body', () => x.request.reader.done)
        x.answer('done')
      })
      const client = await rig.connect()
      client.send(expecting(target, fields))
      t.equal((await client.readResponse({ interim: true })).status, 100)
      t.equal(client.pending.length, 0)
      client.send(body)
      const response = await client.readResponse()
      t.equal(response.body.toString(), 'done')
      t.strictSame(response.interim, [], 'one 100 is enough')
      t.strictSame(valuesOf(backend.last(target).fields, 'expect'), ['100-continue'])
      t.equal(backend.last(target).reader.bytes.toString(), 'hello')
      client.destroy()
    }
  },
)

t.test('a final answer instead of 100 is relayed, and the body that never came is not awaited', async (t) => {
  for (const status of ['417 Expectation Failed', '401 Unauthorized', '403 Forbidden', '200 OK', '302 Found']) {
    const target = `/final/${status.slice(0, 3)}`
    backend.onHeadOf(target, (x) => x.answer('no', '', status))
    const client = await rig.connect()
    client.send(expecting(target))
    const response = await client.readResponse()
    t.equal(response.startLine, `HTTP/1.1 ${status}`)
    t.equal(response.body.toString(), 'no')
    t.strictSame(response.interim, [])
    client.destroy()
  }
})

t.test(
  'what the client sends after a final answer instead of 100 is never taken for a request by the backend',
  async (t) => {
    backend.onHeadOf('/desync', (x) => x.answer('no', '', '417 Expectation Failed'))
    const smuggled = get('/smuggled')
    const client = await rig.connect()
    client.send(expecting('/desync', `Content-Length: ${smuggled.length}\r\n`))
    t.equal((await client.readResponse()).status, 417)
    client.send(smuggled)
    client.send(get('/after'))
    await client.readUntilClose(1000).catch(() => undefined)
    client.destroy()
    t.equal((await roundTrip(rig.port(), get('/fresh'))).status, 200)
    t.notOk(backend.heads.some((head) => head.target === '/smuggled'))
    t.strictSame(backend.faults, [])
  },
)

t.test('without a 100 within a second the body goes on', async (t) => {
  const client = await rig.connect()
  client.send(`${expecting('/silent')}hello`)
  const response = await client.readResponse({ deadline: 3000 })
  t.equal(response.status, 200)
  t.equal(backend.last('/silent').reader.bytes.toString(), 'hello')
  client.destroy()
})

t.test('a client that waits for a 100 is told to go on when the backend is silent for a second', async (t) => {
  backend.onHeadOf('/mute', async (x) => {
    await eventually('the body', () => x.request.reader.done)
    x.write(CONTINUE) // late: the client was told
    x.answer('done')
  })
  const client = await rig.connect()
  const sent = performance.now()
  client.send(expecting('/mute'))
  t.equal((await client.readResponse({ interim: true, deadline: 3000 })).status, 100)
  const waited = performance.now() - sent
  t.ok(waited > 700 && waited < 1500, `after ${waited} ms`)
  client.send('hello')
  const response = await client.readResponse()
  t.equal(response.body.toString(), 'done')
  t.strictSame(response.interim, [], 'one 100 is enough')
  t.equal(backend.last('/mute').reader.bytes.toString(), 'hello')
  client.destroy()
})

t.test('no 100 of ours comes behind a body, nor in an answer', async (t) => {
  let answer: () => void = () => undefined
  backend.on('/body', (x) => {
    answer = () => x.answer('done')
  })
  backend.onHeadOf('/half', (x) => {
    x.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf')
    answer = () => x.write('half')
  })
  for (const bytes of [
    `${expecting('/body')}hello`,
    expecting('/half'),
    post('Expect: 100-continue\r\n', '', '/body'),
  ]) {
    const seen = backend.heads.length
    const client = await rig.connect()
    client.send(bytes)
    await backend.waitForHeads(seen + 1)
    const slow = await rig.connect()
    slow.send(expecting('/timed')) // its 100 comes when ours would have come
    t.equal((await slow.readResponse({ interim: true, deadline: 3000 })).status, 100)
    slow.destroy()
    answer()
    t.strictSame((await client.readResponse()).interim, [])
    client.destroy()
  }
})

t.test('where a backend has last answered in HTTP/1.0 we send the 100 at once', async (t) => {
  backend.on('/version/0', (x) => x.end('HTTP/1.0 200 OK\r\n\r\nold'))
  backend.on('/version/1', (x) => x.answer('new'))
  backend.onHeadOf('/late', async (x) => {
    await eventually('the body', () => x.request.reader.done)
    x.answer('done')
  })
  const timed = async (): Promise<number> => {
    const client = await rig.connect('versions')
    const sent = performance.now()
    client.send(expecting('/late'))
    t.equal((await client.readResponse({ interim: true, deadline: 3000 })).status, 100)
    const waited = performance.now() - sent
    client.send('hello')
    const response = await client.readResponse()
    t.equal(response.body.toString(), 'done')
    t.strictSame(response.interim, [])
    client.destroy()
    return waited
  }
  await roundTrip(rig.port('versions'), get('/version/0'))
  t.ok((await timed()) < 500, 'at once')
  await roundTrip(rig.port('versions'), get('/version/1'))
  t.ok((await timed()) > 700, 'its answer was HTTP/1.1 again')
})

t.test('two expectations are one list, and no list of them is known: 417', async (t) => {
  const row = (lines: string): RefusedRow => ({
    title: JSON.stringify(lines),
    bytes: post(lines, 'hello'),
    status: 417,
  })
  await refuses(t, rig, [
    row('Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n'),
    row('Expect: 100-continue\r\nContent-Length: 5\r\nexpect: 100-Continue\r\n'),
  ])
})

t.test('any other expectation is answered 417', async (t) => {
  const values = [
    '200-ok',
    '100',
    '100-continuex',
    'x100-continue',
    '100-continue, x',
    'x, 100-continue',
    '100-continue;q=1',
    '100 continue',
    '"100-continue"',
    '100-continue=y',
    '\xa0100-continue',
  ]
  const rows: RefusedRow[] = values.map((value) => ({
    title: value,
    bytes: post(`Content-Length: 5\r\nExpect: ${value}\r\n`, 'hello'),
    status: 417,
  }))
  rows.push({
    title: 'a good and a bad one',
    bytes: post('Content-Length: 5\r\nExpect: 100-continue\r\nExpect: x\r\n', 'hello'),
    status: [400, 417],
  })
  await refuses(t, rig, rows)
})

t.test('what is refused anyway is refused before any 100', async (t) => {
  const rows = [
    [413, post('Content-Length: 9999\r\nExpect: 100-continue\r\n', '')],
    [400, post('Content-Length: 5\r\nContent-Length: 5\r\nExpect: 100-continue\r\n', '')],
    [400, 'POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'],
    [405, 'TRACE / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'],
  ] as const
  const seen = backend.heads.length
  for (const [status, bytes] of rows) {
    const response = await roundTrip(rig.port('limited'), bytes)
    t.equal(response.status, status)
    t.strictSame(response.interim, [])
  }
  await rig.barrier()
  t.equal(backend.heads.length, seen)
})

t.test('HTTP/1.0 has no 100: an old client gets none', async (t) => {
  backend.onHeadOf('/old', async (x) => {
    x.write(CONTINUE)
    await eventually('the body', () => x.request.reader.done)
    x.answer('done')
  })
  const request = `${expecting('/old').replace('HTTP/1.1', 'HTTP/1.0')}hello`
  const response = await roundTrip(rig.port(), request)
  t.equal(response.body.toString(), 'done')
  t.strictSame(response.interim, [])
})

t.test('102 and 103 are relayed with their fields, in order, before the answer', async (t) => {
  backend.on('/hints', (x) => {
    x.write('HTTP/1.1 102 Processing\r\n\r\n')
    x.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Gone\r\nX-Gone: 1\r\n\r\n')
    x.write('HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n')
    x.answer('done')
  })
  const response = await roundTrip(rig.port(), get('/hints'))
  t.equal(response.body.toString(), 'done')
  t.strictSame(
    response.interim.map((one) => [
      one.status,
      valuesOf(one.fields, 'link').join(),
      valuesOf(one.fields, 'x-gone').join(),
    ]),
    [
      [102, '', ''],
      [103, '</a.css>; rel=preload', ''],
      [103, '</b.css>; rel=preload', ''],
    ],
  )
  const old = await roundTrip(rig.port(), 'GET /hints HTTP/1.0\r\n\r\n')
  t.equal(old.body.toString(), 'done')
  t.strictSame(old.interim, [], 'not to HTTP/1.0')
})

t.test('a 100 that nobody asked for stays here', async (t) => {
  backend.on('/unasked', (x) => {
    x.write(`${CONTINUE}${CONTINUE}`)
    x.answer('done')
  })
  for (const request of [get('/unasked'), post('Content-Length: 5\r\n', 'hello', '/unasked')]) {
    const response = await roundTrip(rig.port(), request)
    t.equal(response.body.toString(), 'done')
    t.strictSame(response.interim, [])
  }
})
