/** HTTP.md 21 and 22: what is sent again, what never is, and what happens to a request whose client is gone. */
import t from 'tap'
import { refusedPort } from '../support/backend.ts'
import { chunked, get, post, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { connect, roundTrip } from '../support/raw.ts'

const dead = [`127.0.0.1:${await refusedPort()}`, `127.0.0.1:${await refusedPort()}`]
const rig = await startRig(t, { gone: { backends: dead } })
const { backend } = rig
const mixed = await startRig(t, { mixed: { backends: [dead[0], backend.address] } })

t.test('a failed connect goes to another backend, whatever the method and the body', async (t) => {
  for (let i = 0; i < 4; i++)
    for (const [kind, request] of [
      ['get', get(`/retry/get/${i}`)],
      ['post', post('Content-Length: 5\r\n', 'hello', `/retry/post/${i}`)],
      ['chunked', chunked('5\r\nhello\r\n0\r\n\r\n', `/retry/chunked/${i}`)],
    ] as const) {
      const response = await roundTrip(mixed.port('mixed'), request)
      t.equal(response.status, 200, `${kind} ${i}`)
      t.equal(backend.last(`/retry/${kind}/${i}`).reader.bytes.toString(), kind === 'get' ? '' : 'hello')
    }
  const large = Buffer.alloc(2_000_000, 'large')
  for (let i = 0; i < 2; i++) {
    const client = await connect(mixed.port('mixed'))
    client.send(post(`Content-Length: ${large.length}\r\n`, '', `/retry/large/${i}`))
    client.send(large)
    t.equal((await client.readResponse()).status, 200)
    t.ok(backend.last(`/retry/large/${i}`).reader.bytes.equals(large))
    client.destroy()
  }
})

t.test('when every connect fails, the answer says so and the client connection stays in step', async (t) => {
  const client = await rig.connect('gone')
  for (let i = 0; i < 2; i++) {
    client.send(get('/gone'))
    const response = await client.readResponse()
    t.ok([502, 503].includes(response.status), `${response.status}`)
    if (response.fields.some(([name, value]) => name.toLowerCase() === 'connection' && value === 'close')) break
  }
  client.destroy()
})

/** Puts one idle connection into the balancer, which the backend then ends as soon as the next request is on it. */
async function primed(kind: 'end' | 'reset', target: string) {
  t.equal((await roundTrip(rig.port(), get('/prime'))).status, 200)
  const { connection } = backend.last('/prime')
  const counted = { first: 0, later: 0 }
  backend.onHeadOf(target, async (x) => {
    if (x.connection === connection) {
      counted.first++
      if (kind === 'end') x.connection.socket.destroy()
      else x.reset()
      return
    }
    counted.later++
    await eventually('the body', () => x.request.reader.done)
    x.answer('again')
  })
  return { connection, counted }
}

t.test(
  'a request on a reused connection that dies before the first byte is sent once more when it is safe',
  async (t) => {
    for (const kind of ['end', 'reset'] as const)
      for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE']) {
        const target = `/dies/${kind}/${method}`
        const { counted } = await primed(kind, target)
        const response = await roundTrip(rig.port(), `${method} ${target} HTTP/1.1\r\nHost: a.test\r\n\r\n`, { method })
        t.equal(response.status, 200, `${method} after ${kind}`)
        t.strictSame(counted, { first: 1, later: 1 }, 'twice in all')
      }
  },
)

t.test('one whose body is gone is not: the backend may have acted on it', async (t) => {
  for (const kind of ['end', 'reset'] as const)
    for (const [form, request] of [
      ['length', post('Content-Length: 5\r\n', 'hello', '#')],
      ['chunked', chunked('5\r\nhello\r\n0\r\n\r\n', '#')],
    ] as const) {
      const target = `/body/${kind}/${form}`
      const { counted } = await primed(kind, target)
      const response = await roundTrip(rig.port(), request.replace('#', target))
      t.equal(response.status, 502, `${form} after ${kind}`)
      t.strictSame(counted, { first: 1, later: 0 })
    }
})

t.test('a connection that the backend closed while idle is never tried with a request at all', async (t) => {
  t.equal((await roundTrip(rig.port(), get('/prime'))).status, 200)
  const { connection } = backend.last('/prime')
  connection.socket.end()
  await connection.untilClosed()
  t.equal((await roundTrip(rig.port(), post('Content-Length: 5\r\n', 'hello', '/idle-close'))).status, 200)
  t.not(backend.last('/idle-close').connection, connection)
})

t.test('nothing is sent twice after a byte of an answer came', async (t) => {
  for (const part of ['H', 'HTTP/1.1 2', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 103 X\r\n\r\n']) {
    t.equal((await roundTrip(rig.port(), get('/prime'))).status, 200)
    let count = 0
    backend.on('/partial', (x) => {
      count++
      x.connection.socket.write(part, 'latin1', () => x.end())
    })
    t.equal((await roundTrip(rig.port(), get('/partial'))).status, 502, JSON.stringify(part))
    t.equal(count, 1)
  }
})

t.test('a new connection that dies without an answer is a 502 at once', async (t) => {
  const fresh = await startRig(t)
  let count = 0
  fresh.backend.on('/fresh', (x) => {
    count++
    x.reset()
  })
  t.equal((await roundTrip(fresh.port(), get('/fresh'))).status, 502)
  t.equal(count, 1)
})

t.test('a client that goes away stops its request at once', async (t) => {
  const stages = [
    ['before an answer', ''],
    ['in a head', 'HTTP/1.1 200 OK\r\nContent-'],
    ['in a body', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello'],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ] as const
  const leave = async (how: 'destroy' | 'reset', stage: string, answer: string) => {
    const target = `/leave/${how}/${stage.replaceAll(' ', '-')}`
    backend.on(target, (x) => x.write(answer))
    const client = await rig.connect()
    client.send(get(target))
    await eventually('the request', () => backend.requests.some((request) => request.target === target))
    await rig.barrier()
    client[how]()
    t.ok(
      await backend
        .last(target)
        .connection.untilClosed(2000)
        .catch(() => undefined),
      `${how} ${stage}`,
    )
  }
  await Promise.all(
    stages.flatMap(([stage, answer]) => [leave('destroy', stage, answer), leave('reset', stage, answer)]),
  )
})

t.test('a client that goes away in the middle of its body leaves no whole request behind', async (t) => {
  for (const how of ['destroy', 'reset'] as const)
    for (const [form, request] of [
      ['length', post('Content-Length: 100\r\n', 'hello', '#')],
      ['chunked', chunked('5\r\nhello\r\n', '#')],
    ] as const) {
      const target = `/half/${how}/${form}`
      const client = await rig.connect()
      client.send(request.replace('#', target))
      const head = await eventually('the head', () => backend.heads.find((one) => one.target === target))
      client[how]()
      t.ok(await head.connection.untilClosed(2000).catch(() => undefined), `${how} ${form}`)
      t.notOk(backend.requests.some((one) => one.target === target))
    }
})

t.test('clients that left cost the others nothing', async (t) => {
  backend.on('/never', () => undefined)
  const clients = await Promise.all(Array.from({ length: 50 }, () => rig.connect()))
  for (const client of clients) client.send(get('/never'))
  await eventually('all of them', () => backend.requests.filter((one) => one.target === '/never').length === 50)
  for (const client of clients) client.reset()
  for (const one of backend.requests.filter((r) => r.target === '/never')) await one.connection.untilClosed()
  t.equal((await roundTrip(rig.port(), get('/after'))).status, 200)
  t.strictSame(backend.faults, [])
})

t.test('further tries behind new connections that die are bounded together', async (t) => {
  const active = 30
  const backends = ['a', 'b', 'c'].map((name) => ({ name, address: backend.address }))
  const swallow = await startRig(t, { budget: { retries: 1, backends } })
  // All are there before the first is dropped, and every backend drops what it has.
  const waiting: { connection: { socket: { destroy(): unknown } } }[] = []
  backend.on('/swallowed', (x) => {
    waiting.push(x)
    if (waiting.length >= active) for (const each of waiting) each.connection.socket.destroy()
  })
  const clients = await Promise.all(Array.from({ length: active }, () => swallow.connect('budget')))
  for (const client of clients) client.send(get('/swallowed'))
  for (const client of clients) t.equal((await client.readResponse()).status, 502)
  for (const client of clients) client.destroy()
  const text = await swallow.balancer.metrics()
  const count = (name: string) =>
    Number(new RegExp(`^${name}\\{service="budget"[^}]*\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
  const [again, denied] = [count('evenkeel_retries_total'), count('evenkeel_retries_denied_total')]
  const seen = backend.heads.filter(({ target }) => target === '/swallowed').length
  t.equal(seen, active + again, 'each try is counted')
  t.equal(again + denied, active, 'each was tried again or denied')
  t.ok(denied > 0, `${again} tried again, ${denied} denied`)
})
