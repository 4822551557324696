/** Server-sent events: what happens is told as it happens, and nobody who does not read costs memory. */
import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { EventHub } from '../../lib/admin/events.ts'
import type { StateEvent } from '../../lib/admin/index.ts'
import type { StateChange } from '../../lib/service/index.ts'
import { startBackend, type Teardown } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { QUICK } from './support.ts'

interface Event {
  readonly id: string
  readonly event: string
  readonly data: unknown
}

/** A stream, and the events that it brought so far. */
async function listen(t: Teardown, url: string): Promise<{ response: IncomingMessage; events: Event[] }> {
  const request = get(url, { agent: false })
  t.teardown(() => request.destroy())
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const events: Event[] = []
  let text = ''
  response.setEncoding('utf8').on('error', () => {})
  response.on('data', (piece: string) => {
    const blocks = (text + piece).split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => line.split(': ', 2) as [string, string]))
      if (!fields.has('event')) continue
      const [id = '', event = ''] = [fields.get('id'), fields.get('event')]
      events.push({ id, event, data: JSON.parse(block.slice(block.indexOf('data: ') + 6)) })
    }
  })
  return { response, events }
}

t.test('each change of a state is told with its cause, to everyone who listens', async (t) => {
  const backend = await startBackend(t)
  backend.on('/up', (x) => x.answer('no', '', '503 Unavailable'))
  const balancer = await startBalancer(t, {
    virtualServices: {
      web: {
        listen: ['127.0.0.1:0'],
        protocol: 'http',
        health: { ...QUICK, type: 'http', path: '/up', interval: '100ms', downInterval: '100ms' },
        backends: [{ name: 'b', address: backend.address }],
      },
    },
  })
  await eventually('down', async () => (await (await balancer.get('/api/v1/services/web')).text()).includes('"down"'))
  const streams = await Promise.all([1, 2].map(() => listen(t, `http://${balancer.admin}/api/v1/events`)))
  for (const { response } of streams) t.equal(response.headers['content-type'], 'text/event-stream')
  backend.on('/up', (x) => x.answer('yes'))
  for (const { events } of streams) {
    const first = await eventually('an event', () => events[0])
    t.equal(first.event, 'state')
    t.match(first.data, { service: 'web', backend: 'b', from: 'down', to: 'up', cause: 'probe' })
    t.ok(Date.parse((first.data as StateEvent).at) > 0)
  }
  const { code } = await balancer.stop()
  t.equal(code, 0, 'listeners keep nobody from stopping')
  for (const { response } of streams) await eventually('the end of the stream', () => response.closed)
})

t.test('a listener that does not read loses events, is told how many, and then gets the next', async (t) => {
  let tell: (change: StateChange) => void = () => {}
  let unsubscribed = false
  const hub = new EventHub({
    onChange: (listener) => {
      tell = listener
      return () => {
        unsubscribed = true
      }
    },
    onOperation: () => () => {},
  })
  const server = createServer((_request, response) => hub.listen(response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { response, events } = await listen(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  response.pause()
  const before = process.memoryUsage().rss
  const change = (n: number): StateChange => ({
    ...{ service: 's', backend: 'b', from: 'up', to: 'down', cause: 'probe', at: n },
    why: 'x'.repeat(n % 2 === 0 ? 2000 : 1), // a short one would still find room where a long one did not
  })
  const total = 50_000
  for (let n = 0; n < total; n++) {
    tell(change(n))
    if (n % 100 === 0) await new Promise((done) => setImmediate(done))
  }
  t.ok(process.memoryUsage().rss - before < 40 * 1024 * 1024, 'most of the 50 MB are nowhere')
  response.resume()
  const lost = await eventually('the confession', () => events.find(({ event }) => event === 'lost'))
  const told = events.length - 1
  t.same(
    events.slice(0, told).map(({ id }) => id),
    Array.from({ length: told }, (_, i) => String(i + 1)),
    'the gap is one, and at the end',
  )
  t.equal(told + (lost.data as { events: number }).events, total)
  tell(change(total))
  const last = await eventually('the next event', () => events.at(-1)?.event === 'state' && events.at(-1))
  t.equal(last.id, String(total + 1))
  hub.close()
  t.equal(unsubscribed, true)
  await eventually('the end of the stream', () => response.closed)
})

t.test('the 65th listener is refused', async (t) => {
  const balancer = await startBalancer(t, { virtualServices: {} })
  const url = `http://${balancer.admin}/api/v1/events`
  const streams = await Promise.all(Array.from({ length: 64 }, () => listen(t, url)))
  t.equal((await balancer.get('/api/v1/events')).status, 503)
  streams[0]?.response.destroy()
  await eventually('room', async () => {
    const { response } = await listen(t, url)
    return response.statusCode === 200
  })
})
