/** BALANCING.md, Queue: what waits for a backend with room, in which order, and what is refused. */
import t from 'tap'
import { get, post, startRig } from '../support/engine.ts'
import { eventually } from '../support/eventually.ts'
import { valuesOf } from '../support/message.ts'
import { connect } from '../support/raw.ts'

const rig = await startRig(t)
const { backend } = rig
const bounded = { backends: [{ name: 'one', address: backend.address, maxConnections: 1 }] }
const queues = await startRig(t, {
  queue: {
    ...bounded,
    backends: [{ name: 'one', address: backend.address, maxConnections: 1 }],
    queue: { max: 3, timeout: '20s' },
  },
  short: { ...bounded, queue: { max: 3, timeout: '200ms' } },
  none: { ...bounded, queue: { max: 0 } },
  two: {
    backends: [
      { name: 'one', address: backend.address, maxConnections: 1 },
      { name: 'two', address: rig.backend.address, maxConnections: 2 },
    ],
    queue: { max: 0 },
  },
})

/** Requests that the backend holds until told. */
const held: { target: string; answer: () => void }[] = []
for (const target of ['/a', '/b', '/c', '/d', '/e'])
  backend.on(target, (x) => void held.push({ target, answer: () => x.answer(target) }))

interface Service {
  readonly queued: number
  readonly backends: readonly { readonly active: number }[]
}
const serviceOf = async (name: string): Promise<Service> =>
  (await (await queues.balancer.get(`/api/v1/services/${name}`)).json()) as Service
const queued = async (service: string): Promise<number> => (await serviceOf(service)).queued
const answerNext = async (): Promise<string> => {
  await eventually('a request at the backend', () => held.length > 0)
  const next = held.shift()
  next?.answer()
  return next?.target ?? ''
}

t.test('what finds no room waits, first come first served, and more than may wait is refused at once', async (t) => {
  const clients = []
  for (const [i, target] of ['/a', '/b', '/c', '/d'].entries()) {
    const client = await connect(queues.port('queue'))
    client.send(get(target))
    clients.push(client)
    if (i === 0) await eventually('the first at the backend', () => held.length === 1)
    else await eventually(`${i} waiting`, async () => (await queued('queue')) === i)
  }
  const late = await connect(queues.port('queue'))
  late.send(get('/e'))
  const refused = await late.readResponse()
  t.equal(refused.status, 503)
  t.strictSame(valuesOf(refused.fields, 'retry-after'), ['1'])
  late.destroy()
  for (const [i, target] of ['/a', '/b', '/c', '/d'].entries()) {
    t.equal(await answerNext(), target)
    t.equal(held.length, 0, 'one at a time')
    t.equal((await clients[i]?.readResponse())?.body.toString(), target)
  }
  t.equal(await queued('queue'), 0)
  for (const client of clients) client.destroy()
})

t.test('who waits too long is told so, with a time to come back, and its connection goes on', async (t) => {
  const first = await connect(queues.port('short'))
  first.send(get('/a'))
  await eventually('the first at the backend', () => held.length === 1)
  const client = await connect(queues.port('short'))
  client.send(post('Content-Length: 4\r\n', 'body', '/b'))
  const refused = await client.readResponse()
  t.equal(refused.status, 503)
  t.strictSame(valuesOf(refused.fields, 'retry-after'), ['1'])
  await answerNext()
  t.equal((await first.readResponse()).status, 200)
  client.destroy()
  first.destroy()
  t.equal(held.length, 0, 'nothing of it reached the backend')
})

t.test('a client that goes while it waits gives its place up', async (t) => {
  const first = await connect(queues.port('queue'))
  first.send(get('/a'))
  await eventually('the first at the backend', () => held.length === 1)
  const leaver = await connect(queues.port('queue'))
  leaver.send(get('/b'))
  await eventually('it waits', async () => (await queued('queue')) === 1)
  const next = await connect(queues.port('queue'))
  next.send(get('/c'))
  await eventually('two wait', async () => (await queued('queue')) === 2)
  leaver.reset()
  await eventually('one waits', async () => (await queued('queue')) === 1)
  t.equal(await answerNext(), '/a')
  t.equal(await answerNext(), '/c')
  t.equal((await next.readResponse()).body.toString(), '/c')
  first.destroy()
  next.destroy()
})

t.test('without a queue what finds no room is refused at once; and no backend gets more than it may', async (t) => {
  const clients = []
  for (const target of ['/a', '/b', '/c']) {
    const client = await connect(queues.port('two'))
    client.send(get(target))
    clients.push(client)
  }
  await eventually('three at the backends', () => held.length === 3)
  const late = await connect(queues.port('two'))
  late.send(get('/d'))
  t.equal((await late.readResponse()).status, 503)
  const { backends } = await serviceOf('two')
  t.strictSame(
    backends.map(({ active }) => active),
    [1, 2],
  )
  for (const _ of clients) await answerNext()
  for (const client of clients) t.equal((await client.readResponse()).status, 200)
  for (const client of [...clients, late]) client.destroy()
})

t.test('it is all counted', async (t) => {
  const text = await queues.balancer.metrics()
  t.match(text, /evenkeel_request_errors_total\{service="queue",reason="queue-full"\} 1/)
  t.match(text, /evenkeel_request_errors_total\{service="short",reason="queue-timeout"\} 1/)
  t.match(text, /evenkeel_queue_length\{service="queue"\} 0/)
})
