/** Clients that are slow or greedy: trickling heads and bodies, early requests, answers that nobody reads (THREATS 14). */
import t, { type Test } from 'tap'
import { linesOf } from '../e2e/fixtures/support.ts'
import { type Backend, startBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { chunked, get, post } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import type { RawClient } from '../support/raw.ts'
import { clientFrom, countOf } from './fixtures/support.ts'

const MIB = 1024 * 1024

interface Rig {
  readonly balancer: Balancer
  readonly backend: Backend
  connect(t: Test, service: string): Promise<RawClient>
}

async function start(t: Test, engine: string): Promise<Rig> {
  const backend = await startBackend(t)
  const base = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
  const http = { engine }
  const timeouts = { body: '3s' }
  const virtualServices = {
    head: { ...base, http, timeouts: { head: '1s' } },
    body: { ...base, http, timeouts, limits: { bodyRate: { rate: '1KiB', grace: '500ms' } } },
    patient: { ...base, http, timeouts, limits: { bodyRate: { rate: 0, grace: '500ms' } } },
  }
  const balancer = await startBalancer(t, { appliance: { threads: 2 }, virtualServices })
  return { balancer, backend, connect: (t, service) => clientFrom(t, '127.0.0.1', balancer.port(service)) }
}

/** Sends a piece every 50 ms until the balancer says something, or for `ms`. */
async function trickle(client: RawClient, piece: string, ms: number): Promise<void> {
  const end = performance.now() + ms
  while (client.ending === undefined && client.pending.length === 0 && performance.now() < end) {
    client.send(piece)
    await new Promise((done) => setTimeout(done, 50))
  }
}

for (const engine of ['native', 'http-proxy'])
  t.test(`${engine} engine`, async (t) => {
    const { balancer, backend, connect } = await start(t, engine)
    t.jobs = 6 // they wait for their times side by side

    t.test(
      'five hundred slow heads end in their time, and a client among them is served at once',
      { buffered: true },
      async (t) => {
        const slow = await Promise.all(Array.from({ length: 500 }, () => connect(t, 'head')))
        const began = performance.now()
        for (const client of slow) client.send('GET / HTTP/1.1\r\nHost: a.test\r\nX: ')
        const sending = Promise.all(slow.map((client) => trickle(client, 'a', 4000)))
        let longest = 0
        let rounds = 0
        const served = async (): Promise<void> => {
          while (slow.some(({ ending }) => ending === undefined) && performance.now() - began < 5000) {
            const at = performance.now()
            const client = await connect(t, 'head')
            client.send(get('/', 'Connection: close\r\n'))
            t.equal((await client.readResponse()).status, 200)
            await client.untilClosed()
            longest = Math.max(longest, performance.now() - at)
            rounds++
          }
        }
        const answers = slow.map((client) => client.readResponse({ deadline: 5000 }).then(({ status }) => status))
        const [statuses] = await Promise.all([Promise.all(answers), sending, served()])
        t.ok(performance.now() - began >= 1000, 'not before their time')
        t.strictSame([...new Set(statuses)], [408])
        t.equal((await countOf(balancer, 'head', 'client-timeout')) + (await countOf(balancer, 'head', 'refused')), 500)
        t.ok(rounds > 5, `${rounds} requests were served meanwhile`)
        t.ok(longest < 900, `the slowest took ${Math.round(longest)} ms`)
      },
    )

    t.test(
      'a body that trickles in is answered 408, though a piece comes now and then',
      { buffered: true },
      async (t) => {
        for (const [form, request, piece] of [
          ['length', post('Content-Length: 100000\r\n', 'x', '/trickle/length'), 'y'],
          ['chunked', chunked('1\r\nx\r\n', '/trickle/chunked'), '1\r\ny\r\n'],
        ] as const) {
          const client = await connect(t, 'body')
          const began = performance.now()
          client.send(request)
          const sending = trickle(client, piece, 4000)
          const answer = await client.readResponse()
          const ms = performance.now() - began
          t.equal(answer.status, 408)
          t.ok(ms >= 500 && ms < 2000, `${form}: after ${Math.round(ms)} ms`)
          t.equal((await client.readUntilClose()).length, 0)
          await sending
          t.ok(await backend.heads.find(({ target }) => target === `/trickle/${form}`)?.connection.untilClosed())
          t.notOk(
            backend.requests.some(({ target }) => target === `/trickle/${form}`),
            'the backend never got it whole',
          )
        }
        const lines = await linesOf(
          balancer,
          'slow bodies',
          ({ service, status }) => service === 'body' && status === 408,
          2,
        )
        for (const line of lines) t.match(line, { reason: 'limit-body-rate', endedBy: 'client' })
        t.equal(await countOf(balancer, 'body', 'limit-body-rate'), 2)
      },
    )

    t.test('a body that comes fast enough has all the time that it needs', { buffered: true }, async (t) => {
      const client = await connect(t, 'body')
      const piece = 'z'.repeat(200) // 4,000 bytes a second
      client.send(chunked('', '/enough'))
      for (let i = 0; i < 30; i++) {
        client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`)
        await new Promise((done) => setTimeout(done, 50))
      }
      client.send('0\r\n\r\n')
      t.equal((await client.readResponse()).status, 200)
      t.equal(backend.last('/enough').reader.bytes.length, 6000)
    })

    t.test('with a rate of 0 a body may trickle', { buffered: true }, async (t) => {
      const client = await connect(t, 'patient')
      client.send(post('Content-Length: 25\r\n', '', '/patient'))
      await trickle(client, 'x', 1200)
      client.send('x'.repeat(25))
      t.equal((await client.readResponse()).status, 200)
    })

    t.test('time in which the backend takes nothing is not held against the client', { buffered: true }, async (t) => {
      const size = 32 * MIB
      backend.onHeadOf('/stuck', ({ connection }) => connection.socket.pause())
      const client = await connect(t, 'body')
      client.send(post(`Content-Length: ${size}\r\n`, '', '/stuck'))
      client.send(Buffer.alloc(size - 1))
      await backend.waitForHeads(1)
      const head = await eventually('the head', () => backend.heads.find(({ target }) => target === '/stuck'))
      await new Promise((done) => setTimeout(done, 1500)) // three times the grace
      t.equal(client.pending.length, 0, 'no answer yet')
      head.connection.socket.resume()
      await eventually('all but the last byte', () => head.reader.bytes.length === size - 1, 8000)
      client.send('!')
      await eventually('all of it', () => head.reader.done)
      head.connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      t.equal((await client.readResponse()).status, 200)
    })

    t.test('an exchange whose answer has begun may take its time', { buffered: true }, async (t) => {
      backend.onHeadOf('/talk', ({ connection }) => {
        connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n')
      })
      const client = await connect(t, 'body')
      client.send(chunked('1\r\na\r\n', '/talk'))
      await client.readBytes(60)
      const began = performance.now()
      while (performance.now() - began < 1500) {
        client.send('1\r\nb\r\n')
        await new Promise((done) => setTimeout(done, 100))
      }
      t.equal(client.ending, undefined)
      client.send('0\r\n\r\n')
      const head = backend.heads.find(({ target }) => target === '/talk')
      await eventually('the end of the request', () => head?.reader.done)
      t.ok((head?.reader.bytes.length ?? 0) > 10)
    })
  })
