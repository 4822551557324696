/** Another process comes in the place of a running one: nobody is refused, nothing is cut, and what was known is known. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Agent, request as httpRequest } from 'node:http'
import { createServer, connect as dial } from 'node:net'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import type { StatusView } from '../../lib/admin/index.ts'
import { migrationNote, movesQueued } from '../../lib/core/index.ts'
import { askRaw } from '../admin/support.ts'
import { folder, run } from '../cli/support.ts'
import { startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { connect, type RawClient, roundTrip } from '../support/raw.ts'
import {
  answers,
  answersAt,
  config,
  Estate,
  echoed,
  flow,
  refused,
  request,
  start,
  viewOf,
} from './fixtures/reloads.ts'
import { makeCertificate } from './fixtures/support.ts'
import { end, ended, upgrade } from './fixtures/upgrades.ts'

const estate = await Estate.of(t)
const statusOf = async (balancer: Balancer): Promise<StatusView> => (await balancer.status()) as unknown as StatusView
const health = { type: 'none' }
const listen = ['127.0.0.1:0']

/** Requests one after the other until it is told to stop; each must be answered, whole. */
class Client {
  readonly failures: string[] = []
  done = 0
  #stopped = false
  readonly #ended: Promise<void>

  constructor(port: number, agent: Agent | false, method: 'GET' | 'POST') {
    this.#ended = this.#run(port, agent, method)
  }

  async #run(port: number, agent: Agent | false, method: 'GET' | 'POST'): Promise<void> {
    while (!this.#stopped) {
      const body = `${method} ${this.done}`
      try {
        const answer = await ask(port, agent, method, body)
        if (!answer.startsWith('a ')) this.failures.push(`wrong answer ${answer}`)
      } catch (error) {
        this.failures.push(String(error))
      }
      this.done++
      await pause()
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#ended
  }
}

function ask(port: number, agent: Agent | false, method: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, agent, method, path: '/echo' }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`${response.statusCode}`)),
      )
      response.on('error', reject)
    })
    sent.on('error', reject)
    if (method === 'POST') sent.end(body)
    else sent.end()
  })
}

async function startSocketBackend(t: Test): Promise<string> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
  const address = server.address()
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}

async function says(socket: WebSocket, text: string): Promise<string> {
  const answer = once(socket, 'message')
  socket.send(text)
  return String(((await within(answer, 'an echo')) as [Buffer])[0])
}

t.test('three upgrades under load: no request fails, WebSockets and TCP streams live on', async (t) => {
  const sockets = await startSocketBackend(t)
  const services = {
    web: estate.web(),
    raw: estate.raw(),
    ws: { listen, protocol: 'http', health, backends: [sockets] },
  }
  const balancer = await start(t, services)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const port = balancer.port('web')
  const clients = [
    new Client(port, agent, 'GET'),
    new Client(port, agent, 'POST'),
    new Client(port, false, 'GET'),
    new Client(port, false, 'POST'),
  ]
  const streams = [await flow(balancer.port('raw'))]
  const open: WebSocket[] = []
  const pids = [balancer.pid]
  for (let i = 1; i <= 3; i++) {
    const socket = new WebSocket(`ws://127.0.0.1:${balancer.port('ws')}/`)
    t.teardown(() => socket.terminate())
    await within(once(socket, 'open'), 'an open WebSocket')
    open.push(socket)
    streams.push(await flow(balancer.port('raw')))
    const before = clients.map(({ done }) => done)
    await eventually('every client is served', () => clients.every(({ done }, i) => done > (before[i] ?? 0) + 5))
    const answer = await upgrade(t, balancer)
    t.match(answer, { result: 'done', exit: 0 }, answer.sentence)
    pids.push(answer.pid ?? 0)
    t.equal((await statusOf(balancer)).pid, answer.pid, 'the admin listener is the new one')
    for (const stream of streams) await echoed(stream)
    for (const [n, each] of open.entries()) t.equal(await says(each, `${n} after ${i}`), `${n} after ${i}`)
  }
  const before = clients.map(({ done }) => done)
  await eventually('every client is served', () => clients.every(({ done }, i) => done > (before[i] ?? 0) + 5))
  for (const client of clients) await client.stop()
  for (const { failures, done } of clients) t.strictSame(failures, [], `${done} requests`)
  const last = pids.pop()
  const { predecessor } = await statusOf(balancer)
  t.match(predecessor, { pid: pids.at(-1) }, 'it is told what the one before still has')
  t.ok((predecessor?.flows ?? 0) > 0)
  const shown = await run(t, ['query', '--admin', balancer.admin])
  t.match(shown.stdout, new RegExp(`process ${pids.at(-1)}, in whose place this one is, has \\d+ connections left`))
  t.equal(
    shown.stdout.includes('\nnote: '),
    migrationNote(movesQueued()) !== null,
    'and what the kernel does with queues',
  )
  for (const stream of streams) stream.end()
  for (const socket of open) socket.close()
  agent.destroy()
  for (const pid of pids) await ended(pid)
  await eventually('nothing is left there', async () => (await statusOf(balancer)).predecessor === null)
  t.equal(end(last ?? 0, 0), true)
})

t.test('a stop ends what the process before still has of it, and leaves the rest of that alone', async (t) => {
  const two = [
    { name: 'echo', address: estate.echo.address },
    { name: 'other', address: estate.other.address, weight: 0 },
  ]
  const balancer = await start(t, { raw: estate.raw(), kept: estate.raw(), part: estate.raw({ backends: two }) })
  const first = balancer.pid
  const streamsOf = async (): Promise<Record<'raw' | 'kept' | 'part', RawClient>> => ({
    raw: await flow(balancer.port('raw')),
    kept: await flow(balancer.port('kept')),
    part: await flow(balancer.port('part')),
  })
  const oldest = await streamsOf()
  const { sentence } = await upgrade(t, balancer)
  t.match(sentence, /tcp_migrate_req.*, which does not matter here: the sockets are the same\)/)
  const older = await streamsOf()
  t.match(await upgrade(t, balancer), { result: 'done' })
  const own = await streamsOf()
  const all = [oldest, older, own]
  const stop = async (target: string): Promise<void> => {
    const answer = await balancer.get(`/api/v1${target}/stop`, { method: 'POST' })
    t.equal(answer.status, 200, target)
  }
  await stop('/services/raw')
  for (const { raw } of all) await raw.untilClosed(20_000)
  await stop('/services/part/backends/echo')
  for (const { part } of all) await part.untilClosed(20_000)
  for (const { kept } of all) await echoed(kept)
  await stop('')
  for (const { kept } of all) await kept.untilClosed(20_000)
  await ended(first, 20_000)
  await eventually('nothing is left there', async () => (await statusOf(balancer)).predecessor === null)
})

t.test('what operators did, health, bindings, cookies and weights go along, without a state file too', async (t) => {
  const dead = 'dead'
  const probed = { type: 'tcp', interval: '10s', fastInterval: '10s', downInterval: '10s', fall: 1, startGrace: '0s' }
  const services = {
    web: estate.web({
      affinity: { type: 'header', name: 'X-Client' },
      balance: 'round-robin',
      backends: [
        { name: 'a', address: estate.a.address },
        { name: 'b', address: estate.b.address },
      ],
    }),
    half: estate.web({ health: probed, backends: [{ name: dead, address: '127.0.0.1:1' }, ...backendsOf()] }),
    raw: estate.raw(),
  }
  const balancer = await start(t, services, { appliance: { threads: 2, stateFile: 'off' } })
  const tell = async (path: string, body: object = {}): Promise<number> => {
    const headers = { 'content-type': 'application/json' }
    return (await askRaw(balancer.admin, `/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) }))
      .status
  }
  const answerTo = async (client: string): Promise<string> =>
    (await roundTrip(balancer.port('web'), request(`X-Client: ${client}\r\nConnection: close\r\n`))).body
      .toString()
      .split(' ')[0] ?? ''
  const bound = new Map<string, string>()
  for (let i = 0; i < 40; i++) bound.set(`client ${i}`, await answerTo(`client ${i}`))
  t.equal(new Set(bound.values()).size, 2)
  await eventually('the probe failed', async () => (await viewOf(balancer, 'half')).backends[0]?.state === 'down')
  t.equal(await tell('/services/half/backends/a/weight', { weight: 7 }), 200)
  t.equal(await tell('/services/raw/suspend', { reason: 'new disk' }), 200)
  const { result, sentence } = await upgrade(t, balancer)
  t.equal(result, 'done', sentence)
  for (const [client, backend] of bound) t.equal(await answerTo(client), backend, `${client} stays`)
  const [first, second] = (await viewOf(balancer, 'half')).backends
  t.match(first, { name: dead, state: 'down', health: 'failing', probe: { last: { ok: false } } })
  t.match(second, { name: 'a', state: 'up', weight: 7, operated: { last: { verb: 'weight' } } })
  t.match((await viewOf(balancer, 'raw')).operated, { control: 'suspended', last: { reason: 'new disk' } })
  t.ok(await refused(balancer.port('raw')), 'a service that does not listen does not listen')
  t.equal(await tell('/services/raw/resume'), 200)
  t.equal(await tell('/services/raw/start'), 200)
  ;(await flow(balancer.port('raw'))).end()
})

const backendsOf = (): object[] => [{ name: 'a', address: estate.a.address }]

t.test(
  'the configuration is the new one: more threads, fewer threads, other addresses, and nothing is refused',
  async (t) => {
    const services = { web: estate.web() }
    const balancer = await start(t, services, { appliance: { threads: 1 } })
    const port = balancer.port('web')
    for (const threads of [3, 2, 1]) {
      await balancer.rewrite(config({ ...services, more: estate.web(estate.onB) }, { appliance: { threads } }))
      const { result, sentence } = await upgrade(t, balancer)
      t.equal(result, 'done', sentence)
      t.equal((await statusOf(balancer)).threads.length, threads)
      for (let i = 0; i < 60; i++) t.equal(await answersAt(port), 'a')
      const at = (await viewOf(balancer, 'more')).listen[0] ?? ''
      t.equal(await answersAt(Number(at.split(':').at(-1))), 'b')
    }
    await balancer.rewrite(config({ other: estate.web(estate.onB) }, { appliance: { threads: 1 } }))
    t.equal((await upgrade(t, balancer)).result, 'done')
    await eventually('what is not configured any more does not listen', () => refused(port))
  },
)

t.test('an idle connection may bring one more request, and is told that it was the last', async (t) => {
  const balancer = await start(t, { web: estate.web() })
  const idle = await connect(balancer.port('web'))
  t.equal(await answers(idle), 'a')
  t.equal((await upgrade(t, balancer)).result, 'done')
  await eventually('a while has passed', async () => (await statusOf(balancer)).uptimeMs > 1500)
  t.equal(idle.ending, undefined, 'it is not closed: a request may be on its way')
  idle.send(request())
  const answer = await idle.readResponse()
  t.equal(answer.status, 200)
  t.match(answer.text, /connection: close/i)
  t.equal(await idle.untilClosed(), 'end')
  await ended(balancer.pid)
})

t.test('a TLS handshake under way goes on, and sessions of before are resumed after', async (t) => {
  const certificate = await makeCertificate()
  const echo = await startTcpBackend(t)
  const tls = { listen, protocol: 'tls', tls: certificate.tls, health, backends: [echo.address] }
  const balancer = await startBalancer(t, config({ tls }, { appliance: { threads: 1 } }), { files: certificate.files })
  const port = balancer.port('tls')
  const secure = {
    host: '127.0.0.1',
    port,
    ca: certificate.ca,
    servername: 'localhost',
    maxVersion: 'TLSv1.2' as const,
  }
  const first = tlsConnect(secure)
  await within(once(first, 'secureConnect'), 'a handshake')
  const session = first.getSession()
  const raw = dial(port, '127.0.0.1')
  t.teardown(() => raw.destroy())
  await once(raw, 'connect')
  const hello = await clientHello()
  raw.write(hello.subarray(0, 20))
  const behind = tlsConnect(secure) // accepted by the same thread, and therefore after it
  await within(once(behind, 'secureConnect'), 'a handshake')
  behind.end()
  t.equal((await upgrade(t, balancer)).result, 'done')
  const answered = once(raw, 'data')
  raw.write(hello.subarray(20))
  const [bytes] = (await within(answered, 'the answer to the handshake')) as [Buffer]
  t.equal(bytes[0], 22, 'a handshake message, no alert')
  raw.destroy()
  first.write('still here')
  t.equal(String((await within(once(first, 'data'), 'an echo'))[0]), 'still here')
  first.end()
  const second = tlsConnect({ ...secure, ...(session === undefined ? {} : { session }) })
  await within(once(second, 'secureConnect'), 'a handshake')
  t.equal(second.isSessionReused(), true)
  second.end()
  await ended(balancer.pid)
})

/** The first message of a client that speaks TLS 1.2. */
async function clientHello(): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const client = tlsConnect({ host: '127.0.0.1', port, maxVersion: 'TLSv1.2' })
  client.on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [hello] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  server.close()
  return hello
}

t.test(
  'SIGTERM to the one that serves: it waits for what the one before still has; a second one ends both',
  async (t) => {
    const balancer = await start(t, { raw: estate.raw() }, { appliance: { threads: 1, drain: { timeout: '30s' } } })
    const stream = await flow(balancer.port('raw'))
    const { pid } = await upgrade(t, balancer)
    end(pid ?? 0, 'SIGTERM')
    await eventually('it has stopped listening', () => refused(balancer.port('raw')))
    await echoed(stream)
    t.equal(end(pid ?? 0, 0), true, 'it is there')
    end(pid ?? 0, 'SIGTERM')
    t.equal(await stream.untilClosed(), 'reset')
    await ended(pid ?? 0)
    await ended(balancer.pid)
  },
)

t.test('the state file belongs to the one that serves', async (t) => {
  const dir = await folder(t)
  const stateFile = join(dir, 'state.json')
  const balancer = await start(t, { web: estate.web(), raw: estate.raw() }, { appliance: { threads: 1, stateFile } })
  const stream = await flow(balancer.port('raw'))
  await upgrade(t, balancer)
  const headers = { 'content-type': 'application/json' }
  const path = '/api/v1/services/web/backends/a/weight'
  t.equal((await askRaw(balancer.admin, path, { method: 'POST', headers, body: '{"weight":9}' })).status, 200)
  stream.end()
  await ended(balancer.pid)
  t.match(JSON.parse(await readFile(stateFile, 'utf8')), { backends: { 'web/a': { weight: 9 } } })
})

t.test('the command, over a socket in the file system', async (t) => {
  const dir = await folder(t)
  const admin = `unix:${join(dir, 'admin.sock')}`
  const balancer = await start(t, { web: estate.web() }, { admin: { listen: admin } })
  for (let i = 0; i < 2; i++) {
    const { code, stdout, stderr } = await run(t, ['upgrade', '--json', '--admin', admin])
    t.equal(code, 0, stderr)
    const { pid } = JSON.parse(stdout) as { pid: number }
    t.teardown(() => end(pid, 'SIGKILL'))
    t.match(await run(t, ['query', '--admin', admin]), { code: 0, stdout: /web/ })
    t.equal(await answersAt(balancer.port('web')), 'a')
  }
})

t.test('SIGUSR2 does the same', async (t) => {
  const balancer = await start(t, { web: estate.web() }, { appliance: { threads: 1 } })
  process.kill(balancer.pid, 'SIGUSR2')
  const pid = await eventually(
    'another process serves',
    async () => {
      const status = await statusOf(balancer).catch(() => null) // for a moment nobody has the admin listener
      return status !== null && status.pid !== balancer.pid && status.pid
    },
    15_000,
  )
  t.teardown(() => end(pid, 'SIGKILL'))
  t.equal(await answersAt(balancer.port('web')), 'a')
  await ended(balancer.pid)
})
