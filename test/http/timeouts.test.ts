/** The timeouts of HTTP.md: who is too slow is told so, and nobody waits for ever. */
import t from 'tap'
import { chunked, get, post, startRig } from '../support/engine.ts'
import { valuesOf } from '../support/message.ts'
import { roundTrip } from '../support/raw.ts'

const rig = await startRig(t, {
  head: { timeouts: { head: '300ms' } },
  body: { timeouts: { body: '300ms' } },
  first: { timeouts: { firstByte: '300ms' } },
  idle: { timeouts: { keepAlive: '300ms' } },
})
const { backend } = rig
// Every test waits for its own timeout, so they wait side by side.
t.jobs = 20
backend.on('/hang', () => undefined)

/** Sends a byte every 50 ms until the connection is over. */
async function trickle(client: Awaited<ReturnType<typeof rig.connect>>, bytes: string): Promise<void> {
  for (const c of bytes) {
    if (client.ending !== undefined || client.pending.length > 0) return
    client.send(c)
    await new Promise((done) => setTimeout(done, 50))
  }
}

t.test('a head that does not come is answered 408, and the connection closed', { buffered: true }, async (t) => {
  const parts = [
    'G',
    'GET / HTTP/1.1',
    'GET / HTTP/1.1\r\n',
    'GET / HTTP/1.1\r\nHost: a.test\r\n',
    `${get('/').slice(0, -1)}`,
  ]
  const late = async (part: string) => {
    const client = await rig.connect('head')
    const start = performance.now()
    client.send(part)
    const response = await client.readResponse({ deadline: 3000 })
    t.equal(response.status, 408, JSON.stringify(part))
    t.match(valuesOf(response.fields, 'connection').join(), /^close$/i)
    t.ok(performance.now() - start >= 250, 'not before its time')
    t.equal((await client.readUntilClose()).length, 0)
    client.destroy()
  }
  await Promise.all(parts.map(late))
})

t.test('a byte now and then does not prolong it', { buffered: true }, async (t) => {
  const client = await rig.connect('head')
  const start = performance.now()
  const sending = trickle(client, get('/', `X: ${'y'.repeat(200)}\r\n`))
  t.equal((await client.readResponse()).status, 408)
  t.ok(performance.now() - start < 2500)
  await sending
  client.destroy()
})

t.test('a client that says nothing at all is not kept', { buffered: true }, async (t) => {
  const client = await rig.connect('head')
  const bytes = await client.readUntilClose(3000)
  t.match(bytes.toString('latin1'), /^(?:HTTP\/1\.1 408 .*)?$/s)
  client.destroy()
})

t.test('a second request has the same time as the first', { buffered: true }, async (t) => {
  const client = await rig.connect('head')
  client.send(get('/one'))
  t.equal((await client.readResponse()).status, 200)
  client.send('GET /two HT')
  t.equal((await client.readResponse({ deadline: 3000 })).status, 408)
  client.destroy()
})

t.test('a body that stops coming is answered 408, and is never whole at the backend', { buffered: true }, async (t) => {
  const stall = async (form: string, request: string) => {
    const client = await rig.connect('body')
    client.send(request)
    t.equal((await client.readResponse({ deadline: 3000 })).status, 408, form)
    t.equal((await client.readUntilClose()).length, 0)
    const head = backend.heads.findLast((one) => one.target === `/stall/${form}`)
    if (head !== undefined) t.ok(await head.connection.untilClosed())
    t.notOk(backend.requests.some((one) => one.target === `/stall/${form}`))
    client.destroy()
  }
  await Promise.all([
    stall('length', post('Content-Length: 10\r\n', 'hello', '/stall/length')),
    stall('chunked', chunked('5\r\nhello\r\n', '/stall/chunked')),
  ])
})

t.test('a body that keeps coming has no limit on the whole', { buffered: true }, async (t) => {
  const client = await rig.connect('body')
  client.send(post('Content-Length: 12\r\n', '', '/slow'))
  await trickle(client, 'hello world!')
  t.equal((await client.readResponse()).status, 200)
  t.equal(backend.last('/slow').reader.bytes.toString(), 'hello world!')
  client.destroy()
})

t.test('a backend that does not answer is a 504, and its connection is closed', { buffered: true }, async (t) => {
  const client = await rig.connect('first')
  const start = performance.now()
  client.send(get('/hang'))
  const response = await client.readResponse({ deadline: 3000 })
  t.equal(response.status, 504)
  t.ok(performance.now() - start >= 250)
  t.ok(await backend.last('/hang').connection.untilClosed())
  client.destroy()
})

t.test('an interim answer is not the answer', { buffered: true }, async (t) => {
  backend.on('/hints', (x) => x.write('HTTP/1.1 103 X\r\n\r\n'))
  const client = await rig.connect('first')
  client.send(get('/hints'))
  const response = await client.readResponse({ deadline: 3000 }).catch(() => undefined)
  t.equal(response?.status ?? 504, 504, 'a 504, or the connection is over')
  client.destroy()
})

t.test(
  'a backend that stops in mid-body aborts the client, whose answer never looks whole',
  { buffered: true },
  async (t) => {
    const parts = [
      ['length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'],
      ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
      ['until-close', 'HTTP/1.1 200 OK\r\n\r\nhello'],
    ] as const
    const stuck = async (form: string, part: string, version: string) => {
      const target = `/stuck/${form}/${version}`
      backend.on(target, (x) => x.write(part))
      const client = await rig.connect('body')
      client.send(get(target).replace('HTTP/1.1', `HTTP/${version}`))
      const response = await client.readResponse({ deadline: 3000 }).catch(() => undefined)
      t.notOk(response?.status === 200, `${form} to ${version}`)
      t.ok(await client.untilClosed())
      t.ok(await backend.last(target).connection.untilClosed())
      client.destroy()
    }
    await Promise.all(parts.flatMap(([form, part]) => [stuck(form, part, '1.1'), stuck(form, part, '1.0')]))
  },
)

t.test('an idle client connection is closed without a word', { buffered: true }, async (t) => {
  const client = await rig.connect('idle')
  client.send(get('/one'))
  t.equal((await client.readResponse()).status, 200)
  t.equal((await client.readUntilClose(3000)).length, 0)
  t.equal(client.ending, 'end')
  client.destroy()
})

t.test('a request in progress is not idle', { buffered: true }, async (t) => {
  let go: () => void = () => undefined
  backend.on('/long', (x) => {
    go = () => x.answer('long')
  })
  const client = await rig.connect('idle')
  client.send(get('/long'))
  const other = await rig.connect('idle')
  other.send(get('/one'))
  await other.readResponse()
  await other.readUntilClose(3000)
  go()
  t.equal((await client.readResponse()).body.toString(), 'long', 'another one became idle and was closed meanwhile')
  client.destroy()
  other.destroy()
})

t.test('the balancer and the backend are in step afterwards', async (t) => {
  t.equal((await roundTrip(rig.port(), get('/after'))).status, 200)
  t.strictSame(backend.faults, [])
})
