/** A reload under gRPC: calls and streams go on, whatever of the connections to backends changes. */
import t from 'tap'
import { become } from '../e2e/fixtures/reloads.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { pause } from '../support/pause.ts'
import { clientOf, startGrpc, unary } from './fixtures/calls.ts'

const first = await startGrpc(t, { name: 'first' })
const second = await startGrpc(t, { name: 'second' })

const config = (addresses: readonly string[], more: object = {}, maxStreams = 100): object => ({
  appliance: { threads: 2 },
  virtualServices: {
    main: {
      protocol: 'http',
      listen: ['127.0.0.1:0'],
      http: { http2: { cleartext: true }, backendHttp2: { maxStreams } },
      health: { type: 'none' },
      backendProtocol: 'h2c',
      backends: addresses,
      ...more,
    },
  },
})
const both = [first.address, second.address]

t.test('no call is lost and no stream ends while the service changes again and again', async (t) => {
  const balancer = await startBalancer(t, config(both))
  const client = clientOf(t, balancer.port('main'))
  const chat = client.chat()
  const echoes: string[] = []
  let ended = ''
  chat.on('data', (message: Buffer) => echoes.push(message.toString()))
  chat.on('error', (error) => (ended = error.message))
  chat.write(Buffer.from('begin'))
  await eventually('an echo', () => echoes.length === 1)

  let over = false
  const codes = new Map<number, number>()
  const work = async (): Promise<void> => {
    while (!over) {
      const { code } = await unary(client)
      codes.set(code, (codes.get(code) ?? 0) + 1)
      await pause()
    }
  }
  const working = [work(), work(), work(), work()]
  for (const [addresses, more, maxStreams] of [
    [both, { timeouts: { backendIdle: '2s' } }, 100],
    [both, {}, 3],
    [both, { balance: 'least-connections' }, 3],
    [[second.address, first.address], {}, 100],
    [both, {}, 100],
  ] as const)
    t.match(await become(balancer, config(addresses, more, maxStreams)), { result: 'applied' })
  over = true
  await Promise.all(working)
  t.same([...codes.keys()], [0], `all of ${codes.get(0)} calls went well`)
  chat.write(Buffer.from('end'))
  await eventually('another echo', () => echoes.length === 2)
  t.equal(ended, '')
  chat.end()
})

t.test('a backend that is taken out keeps its streams until they end, and gets no calls', async (t) => {
  const balancer = await startBalancer(t, config([first.address]))
  const client = clientOf(t, balancer.port('main'))
  const chat = client.chat()
  let echoes = 0
  chat.on('data', () => echoes++)
  chat.on('error', () => undefined)
  chat.write(Buffer.from('x'))
  await eventually('an echo', () => echoes === 1)
  t.match(await become(balancer, config([second.address])), { result: 'applied' })
  for (let i = 0; i < 10; i++) t.match(await unary(client), { code: 0, answer: 'second' })
  chat.write(Buffer.from('x'))
  await eventually('another echo', () => echoes === 2)
  const status = new Promise<{ code: number }>((resolve) => chat.on('status', resolve))
  chat.end()
  t.equal((await status).code, 0)
})

t.test('a service goes from HTTP/1.1 to HTTP/2 with its backends, and back is refused by them', async (t) => {
  const balancer = await startBalancer(t, config(both, { backendProtocol: 'http1' }))
  const client = clientOf(t, balancer.port('main'))
  t.not((await unary(client)).code, 0)
  t.match(await become(balancer, config(both)), { result: 'applied' })
  t.match(await unary(client), { code: 0 })
})
