/** gRPC through the balancer: unary calls and streams, deadlines, cancellation, and the errors that we make ourselves. */
import type { EventEmitter } from 'node:events'
import { type ClientDuplexStream, Metadata, type StatusObject, status } from '@grpc/grpc-js'
import t from 'tap'
import { makeCertificate } from '../e2e/fixtures/support.ts'
import { refusedPort } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { clientOf, type Outcome, startGrpc, unary } from './fixtures/calls.ts'

const certificate = await makeCertificate()
const held: ((error: null, answer: Buffer) => void)[] = []
const first = await startGrpc(t, { name: 'first' })
const second = await startGrpc(t, { name: 'second' })
const odd = await startGrpc(t, {
  name: 'odd',
  unary: (call, done) => {
    const asked = call.request.toString()
    if (asked === 'deadline')
      return done(null, Buffer.from(String(Math.round(Number(call.getDeadline()) - Date.now()))))
    if (asked === 'hold') return void held.push(done as never)
    if (asked === 'metadata') {
      const back = new Metadata()
      back.set('x-back', call.metadata.get('x-forth').map(String).join())
      back.set('x-bin-bin', Buffer.from([0, 255, 1]))
      call.sendMetadata(back)
      return done(null, Buffer.from('ok'), back)
    }
    done({ code: Number(asked), details: `no: ä%` })
  },
})
const service = (backends: readonly string[], more: object = {}): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  http: { http2: { cleartext: true } },
  health: { type: 'none' },
  backendProtocol: 'h2c',
  timeouts: { body: '500ms', firstByte: '500ms', tunnel: '10m' },
  backends,
  ...more,
})
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      main: service([first.address, second.address]),
      secure: service([first.address, second.address], { protocol: 'https', tls: certificate.tls, http: {} }),
      odd: service([odd.address]),
      watched: service([odd.address, first.address], {
        outliers: { consecutive: 3, baseTime: '60s' },
      }),
      dead: service([`127.0.0.1:${await refusedPort()}`]),
      full: service([{ address: odd.address, maxConnections: 1 } as never], { queue: { max: 0 } }),
      idle: service([first.address], { timeouts: { tunnel: '700ms' } }),
    },
  },
  { files: certificate.files },
)
const client = clientOf(t, balancer.port('main'))
const oddClient = clientOf(t, balancer.port('odd'))

const endOf = (call: EventEmitter): Promise<StatusObject> => {
  call.on('error', () => undefined)
  call.on('data', () => undefined)
  return within(new Promise<StatusObject>((resolve) => call.on('status', resolve)), 'a status')
}
const said = (call: ClientDuplexStream<Buffer, Buffer>): string[] => {
  const messages: string[] = []
  call.on('data', (message: Buffer) => messages.push(message.toString()))
  return messages
}

for (const name of ['main', 'secure'])
  t.test(`${name}: unary calls of one connection are spread over the backends`, async (t) => {
    const client = clientOf(t, balancer.port(name), name === 'secure' ? certificate.ca : undefined)
    const answers = await Promise.all(Array.from({ length: 100 }, () => unary(client)))
    t.same(new Set(answers.map(({ code }) => code)), new Set([0]))
    for (const backend of ['first', 'second']) t.equal(answers.filter(({ answer }) => answer === backend).length, 50)
  })

t.test('the status behind an answer with content stands in the access log too', async (t) => {
  const line = await eventually('the line', async () =>
    (await balancer.accessLog()).find((l) => l['service'] === 'main' && l['grpcStatus'] !== undefined),
  )
  t.match(line, { grpcStatus: 0, status: 200 })
})

t.test('an upload of many messages arrives whole', async (t) => {
  const outcome = new Promise<Outcome>((resolve) => {
    const call = client.upload(new Metadata(), (error, answer) =>
      resolve({ code: error?.code ?? 0, answer: String(answer), details: '' }),
    )
    for (let i = 0; i < 100; i++) call.write(Buffer.alloc(20_000))
    call.end()
  })
  t.match(await within(outcome, 'the answer'), { code: 0, answer: '2000000' })
})

t.test('a download of many messages comes in order, with its status behind it', async (t) => {
  const call = client.download(Buffer.from('2000'))
  const messages: string[] = []
  call.on('data', (message: Buffer) => messages.push(message.toString()))
  t.equal((await endOf(call)).code, status.OK)
  t.same(
    messages.map((message) => Number(message.split(' ')[1])),
    Array.from({ length: 2000 }, (_, i) => i),
  )
})

t.test('a chat goes both ways at once, and may be silent for longer than any limit of requests', async (t) => {
  const call = client.chat()
  const messages = said(call)
  const ended = endOf(call)
  call.write(Buffer.from('one'))
  await eventually('an echo', () => messages.length === 1)
  // Twice timeouts.body and timeouts.firstByte, which is what is promised: time has to pass.
  await new Promise((resolve) => setTimeout(resolve, 1200))
  call.write(Buffer.from('two'))
  await eventually('another', () => messages.length === 2)
  call.end()
  t.equal((await ended).code, status.OK)
})

t.test('a call that nobody says anything on for timeouts.tunnel ends with UNAVAILABLE', async (t) => {
  const client = clientOf(t, balancer.port('idle'))
  const call = client.chat()
  const messages = said(call)
  const ended = endOf(call)
  call.write(Buffer.from('one'))
  await eventually('an echo', () => messages.length === 1)
  t.equal((await ended).code, status.UNAVAILABLE)
})

t.test('metadata go both ways, in front and behind', async (t) => {
  const metadata = new Metadata()
  metadata.set('x-forth', 'there')
  let front: Metadata | undefined
  let behind: Metadata | undefined
  const call = oddClient.unary(Buffer.from('metadata'), metadata, {}, () => undefined)
  call.on('metadata', (given) => (front = given))
  call.on('status', ({ metadata }) => (behind = metadata))
  await eventually('the status', () => behind)
  t.same(front?.get('x-back'), ['there'])
  t.same(behind?.get('x-back'), ['there'])
  t.same(behind?.get('x-bin-bin'), [Buffer.from([0, 255, 1])])
})

t.test('the status of a backend comes through, with its message, and stands in the access log', async (t) => {
  const outcome = await unary(oddClient, '7')
  t.same([outcome.code, outcome.details], [7, 'no: ä%'])
  const line = await eventually('the line', async () =>
    (await balancer.accessLog()).find((l) => l['service'] === 'odd' && l['grpcStatus'] === 7),
  )
  t.match(line, { status: 200, version: '2.0', target: '/test.Calls/Unary', reason: '' })
})

t.test('a deadline reaches the backend, and ends the call at the client', async (t) => {
  const { answer } = await unary(oddClient, 'deadline', { ms: 3000 })
  t.ok(Number(answer) > 1500 && Number(answer) <= 3000, `${answer} ms were left`)
  const before = odd.cancelled
  t.equal((await unary(oddClient, 'hold', { ms: 300 })).code, status.DEADLINE_EXCEEDED)
  await eventually('the backend hears of it', () => odd.cancelled > before)
})

t.test('a call that its client cancels is cancelled at the backend', async (t) => {
  const before = first.cancelled + second.cancelled
  const call = client.chat()
  const messages = said(call)
  const ended = endOf(call)
  call.write(Buffer.from('x'))
  await eventually('an echo', () => messages.length === 1)
  call.cancel()
  t.equal((await ended).code, status.CANCELLED)
  await eventually('the backend hears of it', () => first.cancelled + second.cancelled > before)
})

t.test('a backend that dies ends its streams with UNAVAILABLE, and calls go to the other one', async (t) => {
  const mortal = await startGrpc(t, { name: 'mortal' })
  const balancer = await startBalancer(t, {
    virtualServices: { main: service([mortal.address, first.address], { balance: 'least-connections' }) },
  })
  const client = clientOf(t, balancer.port('main'))
  const chats = Array.from({ length: 4 }, () => client.chat())
  const heard = chats.map(said)
  const ends = chats.map(endOf)
  for (const chat of chats) chat.write(Buffer.from('x'))
  await eventually('all echoes', () => heard.every(({ length }) => length > 0))
  mortal.server.forceShutdown()
  const codes: number[] = []
  for (const end of ends) void end.then(({ code }) => codes.push(code))
  await eventually('the end of two', () => codes.length === 2)
  t.same(codes, [status.UNAVAILABLE, status.UNAVAILABLE])
  for (let i = 0; i < 10; i++) t.match(await unary(client), { code: 0, answer: 'first' })
  for (const chat of chats) chat.end()
})

t.test(
  'what we answer ourselves is a gRPC status: no backend that can be reached, and none that is free',
  async (t) => {
    const dead = await unary(clientOf(t, balancer.port('dead')))
    t.equal(dead.code, status.UNAVAILABLE)
    t.match(dead.details, /no backend could be reached \(request id \w+\)/)
    held.length = 0
    const full = clientOf(t, balancer.port('full'))
    const one = unary(full, 'hold')
    await eventually('it is held', () => held.length > 0)
    const busy = await unary(full, 'hold')
    t.equal(busy.code, status.UNAVAILABLE)
    t.match(busy.details, /every backend is busy/)
    for (const done of held.splice(0)) done(null, Buffer.from('freed'))
    t.match(await one, { code: 0, answer: 'freed' })
  },
)

t.test('a backend that says UNAVAILABLE again and again is ejected, one that says another status is not', async (t) => {
  const client = clientOf(t, balancer.port('watched'))
  const ask = (): Promise<Outcome> => unary(client, '14')
  // Statuses of other kinds, of whichever backend: nobody is ejected for them.
  for (let i = 0; i < 20; i++) await unary(client, '3')
  const codes: number[] = []
  for (let i = 0; i < 6; i++) codes.push((await ask()).code)
  t.equal(codes.filter((code) => code === 14).length, 3, 'each second call failed')
  await eventually('it is ejected', async () => {
    const answers = [await ask(), await ask()]
    return answers.every(({ answer }) => answer === 'first')
  })
})
