/** HTTP.md 8: requests that come before the last answer are answered in order. */
import t from 'tap'
import { verdictOf } from '../support/differences.ts'
import { chunked, get, post, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'

const rig = await startRig(t)
const { backend } = rig
backend.onRequest = (x) => x.answer(x.request.target)

t.test('a hundred requests in one packet are answered in order', async (t) => {
  const targets = Array.from({ length: 100 }, (_, i) => `/many/${i}`)
  const client = await rig.connect()
  client.send(targets.map((target) => get(target)).join(''))
  const bodies: string[] = []
  for (const _ of targets) bodies.push((await client.readResponse()).body.toString())
  client.destroy()
  t.strictSame(bodies, targets)
})

t.test('a slow answer holds the later ones back', async (t) => {
  const held: (() => void)[] = []
  backend.on('/slow', (x) => held.push(() => x.answer('/slow')))
  const client = await rig.connect()
  client.send(get('/slow') + get('/fast'))
  await rig.barrier()
  await rig.barrier()
  t.equal(client.pending.length, 0)
  while (held.length === 0) await rig.barrier()
  held[0]?.()
  t.equal((await client.readResponse()).body.toString(), '/slow')
  t.equal((await client.readResponse()).body.toString(), '/fast')
  client.destroy()
})

t.test('bodies of all framings may stand between them', async (t) => {
  const client = await rig.connect()
  client.send(
    post('Content-Length: 3\r\n', 'abc', '/p/1') +
      get('/p/2') +
      chunked('3\r\nxyz\r\n0\r\n\r\n', '/p/3') +
      post('Content-Length: 0\r\n', '', '/p/4') +
      'HEAD /p/5 HTTP/1.1\r\nHost: a.test\r\n\r\n' +
      get('/p/6'),
  )
  for (const [i, method] of ['POST', 'GET', 'POST', 'POST', 'HEAD', 'GET'].entries()) {
    const response = await client.readResponse({ method })
    t.equal(response.status, 200)
    t.equal(response.body.toString(), method === 'HEAD' ? '' : `/p/${i + 1}`)
  }
  client.destroy()
  t.strictSame(
    [1, 2, 3, 4, 5, 6].map((i) => backend.last(`/p/${i}`).reader.bytes.toString()),
    ['abc', '', 'xyz', '', '', ''],
  )
})

t.test('a bad request after good ones is answered in its turn, and is the last', async (t) => {
  const seen = backend.heads.length
  const client = await rig.connect()
  client.send(`${get('/g/1')}${get('/g/2')}GET / HTTP/1.1\r\nHost : a.test\r\n\r\n${get('/g/3')}`)
  const statuses = [await client.readResponse(), await client.readResponse(), await client.readResponse()]
  t.strictSame(
    statuses.map((r) => r.status),
    [200, 200, 400],
  )
  t.equal((await client.readUntilClose()).length, 0)
  t.strictSame(
    backend.heads.slice(seen).map((r) => r.target),
    ['/g/1', '/g/2'],
  )
})

t.test('rubbish of any length after a request is refused, and kills nobody', async (t) => {
  const good = [get('/r'), post('Content-Length: 5\r\n', 'hello', '/r'), chunked('0\r\n\r\n', '/r')]
  for (const request of good)
    for (const rubbish of [
      '\n',
      '\0',
      ' ',
      '\x7f',
      '\r\n\n',
      'G\n',
      ' / HTTP/1.1\r\n',
      ':'.repeat(100),
      '\xff'.repeat(5000),
    ]) {
      const client = await rig.connect()
      client.send(request + rubbish)
      const title = JSON.stringify((request + rubbish).slice(-80))
      t.equal((await client.readResponse()).status, 200, title)
      if (verdictOf(title) === 'waits') {
        await rig.barrier()
        t.equal(client.pending.length, 0, `${title}: not as the rule says, but as documented`)
        client.destroy()
        continue
      }
      t.equal((await client.readResponse()).status, 400, title)
      t.equal((await client.readUntilClose()).length, 0, title)
    }
  t.notMatch(rig.balancer.stderr(), /died/)
})

t.test('the log of a refused head shows nothing of another request', async (t) => {
  const client = await rig.connect()
  client.send(get('/somebody-elses-target'))
  t.equal((await client.readResponse()).status, 200)
  client.destroy()
  for (const rubbish of ['\n', '\0', ' ', '\xff']) {
    const other = await rig.connect()
    other.send(rubbish)
    t.equal((await other.readResponse()).status, 400)
    other.destroy()
  }
  const rows = await eventually('the log of both', async () => {
    const log = (await rig.balancer.accessLog()).map((row) => JSON.stringify(row))
    const from = log.findIndex((row) => row.includes('/somebody-elses-target'))
    return from >= 0 && log.length >= from + 5 ? log.slice(from) : undefined
  })
  t.equal(rows.filter((row) => /somebody|HTTP\/1|Content-/.test(row)).length, 1, rows.join('\n'))
})

t.test('nothing after a request with Connection: close is answered', async (t) => {
  const seen = backend.heads.length
  const client = await rig.connect()
  client.send(get('/c/1') + get('/c/2', 'Connection: close\r\n') + get('/c/3'))
  t.equal((await client.readResponse()).body.toString(), '/c/1')
  const last = await client.readResponse()
  t.equal(last.body.toString(), '/c/2')
  t.strictSame(
    valuesOf(last.fields, 'connection').map((v) => v.toLowerCase()),
    ['close'],
  )
  t.equal((await client.readUntilClose()).length, 0)
  t.strictSame(
    backend.heads.slice(seen).map((r) => r.target),
    ['/c/1', '/c/2'],
  )
})

t.test('HTTP/1.0 closes after its answer unless it asks to keep the connection', async (t) => {
  const client = await rig.connect()
  client.send('GET /old/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
  const kept = await client.readResponse()
  t.match(valuesOf(kept.fields, 'connection').join(), /keep-alive/i)
  client.send('GET /old/2 HTTP/1.0\r\n\r\n')
  t.equal((await client.readResponse()).body.toString(), '/old/2')
  t.equal((await client.readUntilClose()).length, 0)
})

t.test('a client that reads late gets every answer whole', async (t) => {
  const body = 'b'.repeat(200_000)
  backend.on('/large', (x) => x.answer(body))
  const client = await rig.connect()
  client.socket.pause()
  client.send(get('/large').repeat(20))
  await rig.barrier()
  client.socket.resume()
  for (let i = 0; i < 20; i++) t.equal((await client.readResponse()).body.toString(), body)
  client.destroy()
})

t.test('the backend got every request whole', async (t) => {
  t.strictSame(backend.faults, [])
})
