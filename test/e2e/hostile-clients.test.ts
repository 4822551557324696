/** Hostile clients beside a normal one, in seconds: `npm run siege` does the same with thousands. */
import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { MALFORMED } from '../../bench/siege/malformed-requests.ts'
import { startBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { get } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { connect, type RawClient } from '../support/raw.ts'
import { activeOf } from './fixtures/support.ts'

const backend = await startBackend(t)
const base = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' }, backends: [backend.address] }
const balancer = await startBalancer(t, {
  virtualServices: {
    web: { ...base, timeouts: { backendIdle: '1s' } },
    slow: { ...base, timeouts: { head: '1s', backendIdle: '1s' } },
  },
})

const descriptors = ({ pid }: Balancer): number => readdirSync(`/proc/${pid}/fd`).length

/** The sum of a gauge over all backends. */
async function backendActive(): Promise<number> {
  const text = await balancer.metrics()
  return [...text.matchAll(/^evenkeel_backend_active\{[^}]*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0)
}

/** Waits until nothing is left of what a test did. */
async function untilQuiet(before: number): Promise<void> {
  await eventually('no active counts', async () => {
    const counts = [await activeOf(balancer, 'web'), await activeOf(balancer, 'slow'), await backendActive()]
    return counts.every((n) => n === 0)
  })
  await eventually('the descriptors', () => descriptors(balancer) <= before)
}

/** Asks one request after the other on one connection, until `until` settles; answers with how many. */
async function normalClient(t: Test, service: string, until: Promise<unknown>): Promise<number> {
  const client = await connect(balancer.port(service))
  t.teardown(() => client.destroy())
  let going = true
  let n = 0
  const stopped = until.finally(() => {
    going = false
  })
  while (going) {
    client.send(get('/normal'))
    const { status } = await client.readResponse()
    if (status !== 200) t.fail(`answered with ${status}`)
    n++
    await pause()
  }
  client.destroy()
  await stopped
  return n
}

await eventually('metrics', async () => (await backendActive()) === 0)
const quiet = descriptors(balancer) + 1 // the connection that the test asks the admin API over may be one or two

t.test('200 connections that send a head byte by byte end with 408 in their time', async (t) => {
  const slow = await Promise.all(Array.from({ length: 200 }, () => connect(balancer.port('slow'))))
  const began = performance.now()
  const timer = setInterval(() => {
    for (const client of slow) client.send('G')
  }, 200)
  t.teardown(() => clearInterval(timer))
  const answers = Promise.all(slow.map((client) => client.readResponse().then(({ status }) => status)))
  const served = await normalClient(t, 'slow', answers)
  const ms = performance.now() - began
  t.strictSame([...new Set(await answers)], [408])
  t.ok(ms > 700 && ms < 3000, `after ${Math.round(ms)} ms`)
  t.ok(served > 20, `${served} requests were served meanwhile`)
  await Promise.all(slow.map((client) => client.untilClosed()))
  clearInterval(timer)
  for (const client of slow) client.destroy()
  await untilQuiet(quiet)
})

t.test('malformed requests get the status that each deserves, beside normal ones', async (t) => {
  const end = performance.now() + 2000
  const wrong: string[] = []
  let sent = 0
  const work = async (first: number): Promise<void> => {
    for (let i = first; performance.now() < end; i++) {
      const request = MALFORMED[i % MALFORMED.length]
      if (request === undefined) return
      const client = await connect(balancer.port('web'))
      client.send(request.bytes)
      const { status } = await client.readResponse()
      await client.untilClosed()
      client.destroy()
      sent++
      if (status !== request.status) wrong.push(`${request.title}: ${status}`)
    }
  }
  const served = await normalClient(t, 'web', Promise.all(Array.from({ length: 8 }, (_, i) => work(i))))
  t.ok(sent >= MALFORMED.length, `each at least once: ${sent}`)
  t.strictSame(wrong, [])
  t.ok(served > 20, `${served} requests were served meanwhile`)
  t.strictSame(backend.faults, [])
  await untilQuiet(quiet)
})

const ABORTS = 50
const AT_A_TIME = 10

/** Begins exchanges, leaves each by `leave`, and waits at most a second for the backend to see it. */
async function aborts(t: Test, method: string, begin: (client: RawClient, path: string) => Promise<unknown>) {
  const late: string[] = []
  const abort = async (i: number): Promise<void> => {
    const path = `/${method}/${i}`
    const client = await connect(balancer.port('web'))
    await begin(client, path)
    const head = await eventually(path, () => backend.heads.find(({ target }) => target === path))
    if (i % 2 === 0) client.reset()
    else client.destroy()
    await head.connection.untilClosed(1000).catch(() => late.push(path))
  }
  for (let first = 0; first < ABORTS; first += AT_A_TIME)
    await Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => abort(first + i)))
  t.strictSame(late, [])
  await untilQuiet(quiet)
}

t.test('a backend sees within a second that a client left in the middle of an upload', (t) =>
  aborts(t, 'up', async (client, path) => {
    client.send(`POST ${path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(10_000)}`)
  }),
)

t.test('a backend sees within a second that a client left in the middle of a download', (t) =>
  aborts(t, 'down', async (client, path) => {
    backend.onHeadOf(path, ({ connection }) => {
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n')
      const pour = (): void => {
        while (connection.socket.writable && connection.socket.write(Buffer.alloc(65_536)));
      }
      connection.socket.on('drain', pour)
      pour()
    })
    client.send(get(path))
    await client.readBytes(100_000)
  }),
)

t.test('a backend sees within a second that a client left while nothing was coming', (t) =>
  aborts(t, 'silent', async (client, path) => {
    backend.onHeadOf(path, ({ connection }) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun'))
    client.send(get(path))
    await client.readBytes(5)
  }),
)
