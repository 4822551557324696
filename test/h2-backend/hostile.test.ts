/** Backends that break HTTP/2, by raw frames: the client gets a 502 or a reset in time, never another's bytes, and the next request is served. */
import t, { type Test } from 'tap'
import {
  block,
  data,
  type Fields,
  FLAG,
  type FrameClient,
  frame,
  setting,
  TYPE,
  uint32,
} from '../h2/fixtures/client.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { startFrames } from './fixtures/servers.ts'

const server = await startFrames(t)
const other = await startFrames(t)
const service = (more: object = {}): object => ({
  protocol: 'http',
  listen: ['127.0.0.1:0'],
  health: { type: 'none' },
  backendProtocol: 'h2c',
  retries: 0,
  timeouts: { connect: '400ms', firstByte: '3s', backendIdle: '1m' },
  http: { backendHttp2: { streamWindow: 65_535 } },
  backends: [server.address],
  ...more,
})
const balancer = await startBalancer(t, {
  virtualServices: {
    main: service(),
    retrying: service({ retries: 2, backends: [other.address] }),
  },
})
const urlOf = (name: string): string => `http://127.0.0.1:${balancer.port(name)}`
const ok: Fields = [[':status', '200']]
const answer = (id: number, fields: Fields, flags: number = FLAG.endHeaders | FLAG.endStream): Buffer =>
  frame(TYPE.headers, flags, id, block(fields))
const BEGUN = FLAG.endHeaders
const reset = (id: number, code: number): Buffer => frame(TYPE.reset, 0, id, uint32(code))
const goaway = (last: number, code = 0): Buffer => frame(TYPE.goaway, 0, 0, Buffer.concat([uint32(last), uint32(code)]))

const ask = async (path = '/'): Promise<{ status: number; text: string }> => {
  const response = await fetch(`${urlOf('main')}${path}`, { method: 'POST', signal: AbortSignal.timeout(5000) })
  return { status: response.status, text: await response.text() }
}

/** A client's next request is answered rightly, over whatever connection. */
async function served(t: Test): Promise<void> {
  const asked = ask('/after')
  const { peer, id, fields } = await server.next()
  t.equal(fields[':path'], '/after')
  peer.send(answer(id, ok, BEGUN), data(id, 'mine'))
  t.same(await asked, { status: 200, text: 'mine' })
}

const bomb = block([[':status', '200'], ...Array.from({ length: 80 }, (_, i) => [`x-${i}`, 'y'.repeat(1000)] as const)])
const BREACHES: readonly (readonly [what: string, send: (peer: FrameClient, id: number) => void])[] = [
  ['a frame that is too large', (peer, id) => peer.send(frame(TYPE.data, 0, id, '', 20_000))],
  ['no frame at all', (peer) => peer.send(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'))],
  [
    'HPACK that is none',
    (peer, id) => peer.send(frame(TYPE.headers, 5, id, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))),
  ],
  [
    'endless CONTINUATION',
    (peer, id) => {
      peer.send(frame(TYPE.headers, 0, id, block(ok)))
      for (let i = 0; i < 2000; i++) peer.send(frame(TYPE.continuation, 0, id, block([['x', 'y']])))
    },
  ],
  [
    'a header block that is too large',
    (peer, id) => {
      peer.send(frame(TYPE.headers, 0, id, bomb.subarray(0, 16_000)))
      for (let at = 16_000; at < bomb.length; at += 16_000)
        peer.send(frame(TYPE.continuation, at + 16_000 >= bomb.length ? 4 : 0, id, bomb.subarray(at, at + 16_000)))
    },
  ],
  ['a push', (peer, id) => peer.send(frame(TYPE.push, 4, id, Buffer.concat([uint32(2), block(ok)])))],
  ['an answer on an idle stream', (peer, id) => peer.send(answer(id + 2, ok))],
  ['an answer on a stream of its own', (peer) => peer.send(answer(2, ok))],
  ['content before its head', (peer, id) => peer.send(data(id, 'early'))],
  ['content on an idle stream', (peer, id) => peer.send(data(id + 2, 'early'))],
  ['no status', (peer, id) => peer.send(answer(id, [['server', 'x']]))],
  ['a status of letters', (peer, id) => peer.send(answer(id, [[':status', '1e2']]))],
  ['a field in capital letters', (peer, id) => peer.send(answer(id, [...ok, ['Server', 'x']]))],
  ['a field with a line end', (peer, id) => peer.send(answer(id, [...ok, ['x', 'a\r\nset-cookie: b']]))],
  ['a field of the connection', (peer, id) => peer.send(answer(id, [...ok, ['transfer-encoding', 'chunked']]))],
  ['a second status', (peer, id) => peer.send(answer(id, [...ok, [':status', '201']]))],
  [
    'two lengths',
    (peer, id) => peer.send(answer(id, [...ok, ['content-length', '1'], ['content-length', '2']], BEGUN)),
  ],
  ['a length and no content', (peer, id) => peer.send(answer(id, [...ok, ['content-length', '5']]))],
  ['101', (peer, id) => peer.send(answer(id, [[':status', '101']], BEGUN))],
  ['an interim answer that ends', (peer, id) => peer.send(answer(id, [[':status', '103']]))],
  [
    'endless interim answers',
    (peer, id) => {
      for (let i = 0; i < 100; i++) peer.send(answer(id, [[':status', '103']], BEGUN))
    },
  ],
  ['a window of nothing', (peer, id) => peer.send(frame(TYPE.window, 0, id, uint32(0)))],
  ['a window beyond 2^31', (peer) => peer.send(frame(TYPE.window, 0, 0, uint32(2 ** 31 - 1)))],
  ['a setting that can not be', (peer) => peer.send(frame(TYPE.settings, 0, 0, setting(4, 2 ** 31)))],
  ['a reset', (peer, id) => peer.send(reset(id, 2))],
  [
    'a flood of SETTINGS',
    (peer) => {
      for (let i = 0; i < 15_000; i++) peer.send(frame(TYPE.settings, 0, 0, setting(4, 65_535)))
    },
  ],
  ['the end of the connection', (peer) => peer.destroy()],
]

for (const [what, send] of BREACHES)
  t.test(`${what}: 502 in time`, async (t) => {
    const asked = ask()
    const { peer, id } = await server.next()
    send(peer, id)
    t.equal((await within(asked, 'the answer', 2000)).status, 502)
    await served(t)
  })

/** Each is sent behind the head of an answer and a part of its content. */
const CUTS: readonly (readonly [what: string, send: (peer: FrameClient, id: number) => void])[] = [
  ['a reset', (peer, id) => peer.send(reset(id, 8))],
  ['less than its length', (peer, id) => peer.send(data(id, 'x'))],
  ['more than its length', (peer, id) => peer.send(data(id, 'x'.repeat(2000)))],
  [
    'more than its window',
    (peer, id) => {
      for (let i = 0; i < 5; i++) peer.send(data(id, Buffer.alloc(16_000), 0))
    },
  ],
  ['another head', (peer, id) => peer.send(answer(id, ok, BEGUN))],
  ['the end of the connection', (peer) => peer.destroy()],
]
for (const [what, send] of CUTS)
  t.test(`an answer that ends with ${what} never looks whole`, async (t) => {
    const client = await connect(balancer.port('main'))
    if (what === 'more than its window') client.socket.pause()
    client.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
    const { peer, id } = await server.next()
    const length = what.includes('length') ? [['content-length', '1000'] as const] : []
    peer.send(answer(id, [...ok, ...length], BEGUN), data(id, 'a part', 0))
    if (what === 'more than its window') {
      // All of it is read and nothing goes on: so much is more than anybody may send.
      await eventually('the part', () => client.socket.bytesRead >= 0)
      for (let i = 0; i < 400; i++) send(peer, id)
    } else {
      await eventually('the part', () => client.pending.includes('a part'))
      send(peer, id)
    }
    client.socket.resume()
    t.equal(await within(client.closed, 'the end', 3000), 'reset')
    await served(t)
  })

t.test('one stream that is reset ends no other, and the connection goes on', async (t) => {
  const [first, second] = [ask('/first'), ask('/second')]
  const one = await server.next()
  const two = await server.next()
  const { peer } = one
  t.equal(two.peer, peer)
  peer.send(reset(one.id, 2), answer(two.id, ok, BEGUN), data(two.id, 'whole'))
  const results = await Promise.all([first, second])
  t.same(results.map(({ status }) => status).toSorted(), [200, 502])
  t.notOk(peer.closed)
  peer.send(frame(TYPE.ping, 0, 0, 'whoisthe'))
  const ping = await peer.next(({ type, flags }) => type === TYPE.ping && flags === FLAG.ack)
  t.equal(ping?.payload.toString(), 'whoisthe')
})

t.test('a request that is given up is cancelled at once; what its backend says late harms nobody', async (t) => {
  const client = await connect(balancer.port('main'))
  client.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  const { peer, id } = await server.next()
  client.socket.resetAndDestroy()
  const cancel = await peer.next(({ type, stream }) => type === TYPE.reset && stream === id, 900)
  t.equal(cancel?.payload.readUInt32BE(0), 8, 'CANCEL')
  peer.send(answer(id, ok, BEGUN), data(id, 'not yours'), reset(id, 0))
  await served(t)
})

t.test('a request that the backend refused or did not look at goes out again, whatever its method', async (t) => {
  const post = (body: string): Promise<string> =>
    fetch(urlOf('retrying'), { method: 'POST', body }).then((response) => response.text())
  const first = post('one')
  const one = await other.next()
  const { peer } = one
  await peer.next(({ type, flags }) => type === TYPE.data && flags === FLAG.endStream)
  peer.send(reset(one.id, 7))
  const again = await other.next()
  t.equal((await peer.next(({ type }) => type === TYPE.data))?.payload.toString(), 'one')
  const [second, third] = [post('two'), post('three')]
  for (const { peer: same } of [again, await other.next(), await other.next()]) t.equal(same, peer)
  peer.send(goaway(again.id))
  for (let i = 0; i < 2; i++) {
    const { peer: next, id } = await other.next()
    t.not(next, peer)
    const body = (await next.next(({ type, stream }) => type === TYPE.data && stream === id))?.payload.toString()
    next.send(answer(id, ok, BEGUN), data(id, `got ${body}`))
  }
  t.same(await Promise.all([second, third]), ['got two', 'got three'])
  peer.send(answer(again.id, ok, BEGUN), data(again.id, 'finished'))
  t.equal(await first, 'finished', 'what was looked at is finished where it was')
  await eventually('the old connection ends', () => peer.closed)
})

t.test('a backend that says nothing in the beginning is given up in time', async (t) => {
  const mute = await startFrames(t, null)
  const balancer = await startBalancer(t, { virtualServices: { main: service({ backends: [mute.address] }) } })
  const begun = performance.now()
  const response = await fetch(`http://127.0.0.1:${balancer.port('main')}`)
  t.equal(response.status, 504)
  t.ok(performance.now() - begun < 2000)
})

t.test('a backend that fell silent gets no more requests on that connection until it says something', async (t) => {
  const silent = await startFrames(t)
  const balancer = await startBalancer(t, { virtualServices: { main: service({ backends: [silent.address] }) } })
  const url = `http://127.0.0.1:${balancer.port('main')}`
  const first = fetch(url, { method: 'POST', signal: AbortSignal.timeout(1500) }).catch(() => 'given up')
  const one = await silent.next()
  t.equal(await first, 'given up')
  await one.peer.next(({ type }) => type === TYPE.reset)
  const second = fetch(url).then((response) => response.status)
  const two = await silent.next()
  t.not(two.peer, one.peer, 'over another connection')
  two.peer.send(answer(two.id, ok))
  t.equal(await second, 200)
})

t.test('the body of a request goes as fast as the windows of the backend allow', async (t) => {
  const peer = await (async () => {
    const body = Buffer.alloc(100_000, 'b')
    const asked = fetch(urlOf('main'), { method: 'POST', body }).then((response) => response.status)
    const { peer, id } = await server.next()
    const received = (): number =>
      peer.frames
        .filter(({ type, stream }) => type === TYPE.data && stream === id)
        .reduce((sum, f) => sum + f.payload.length, 0)
    await eventually('a window of it', () => received() === 65_535)
    t.notOk(await eventually('more', () => received() > 65_535, 200).catch(() => false), 'and no more')
    await served(t) // another request is not held up by it; its frames are taken out with all before them
    peer.send(frame(TYPE.settings, 0, 0, setting(4, 70_000)), frame(TYPE.window, 0, 0, uint32(1_000_000)))
    await eventually('what a setting allows', () => received() === 70_000 - 65_535)
    peer.send(frame(TYPE.window, 0, id, uint32(100_000)))
    await eventually('all of it', () => received() === body.length - 65_535)
    peer.send(answer(id, ok))
    t.equal(await asked, 200)
    return peer
  })()
  t.notOk(peer.closed)
})
