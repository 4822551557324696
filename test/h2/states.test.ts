/** RFC 9113 §5.1: every frame in every state of a stream, beside another stream that goes on whatever becomes of this one. */
import t from 'tap'
import { startBackend } from '../support/backend.ts'
import {
  block,
  data,
  type Fields,
  FLAG,
  type FrameClient,
  frame,
  GET,
  get,
  headers,
  POST,
  TYPE,
  uint32,
} from './fixtures/client.ts'
import { CODE, startFronts, verdict, type Wanted } from './fixtures/fronts.ts'

const { endHeaders, endStream } = FLAG
const SUBJECT = 3

const backend = await startBackend(t)
backend.on('/slow', () => new Promise(() => undefined)) // never answers
backend.onHeadOf('/early', (x) => x.answer('early', '', '403 Forbidden'))
const { fronts } = await startFronts(t, backend)

const ended = (client: FrameClient, stream: number) =>
  client.next((f) => f.stream === stream && f.type !== TYPE.window && (f.flags & endStream) !== 0)
const untilReset = (client: FrameClient) => client.next(({ type, stream }) => type === TYPE.reset && stream === SUBJECT)

/** Brings the subject into a state. */
const STATES: Record<string, (client: FrameClient) => Promise<unknown>> = {
  idle: async () => undefined,
  open: async (client) => client.send(headers(SUBJECT, POST, endHeaders)),
  'half-closed (remote)': async (client) => client.send(headers(SUBJECT, get('/slow'))),
  closed: async (client) => {
    client.send(headers(SUBJECT, GET))
    await client.answer(SUBJECT)
    await ended(client, SUBJECT)
  },
  'reset by the client': async (client) =>
    client.send(headers(SUBJECT, POST, endHeaders), frame(TYPE.reset, 0, SUBJECT, uint32(8))),
  'reset by us': async (client) => {
    client.send(headers(SUBJECT, [...POST, ['X', 'y']], endHeaders))
    await untilReset(client)
  },
  'answered before its end': async (client) => {
    client.send(headers(SUBJECT, [[':method', 'POST'], ...get('/early').slice(1)], endHeaders))
    await client.answer(SUBJECT)
    await ended(client, SUBJECT)
  },
  'left out': async (client) => {
    client.send(headers(SUBJECT + 2, GET))
    await client.answer(SUBJECT + 2)
    await ended(client, SUBJECT + 2)
  },
}

const FRAMES: Record<string, Buffer> = {
  DATA: data(SUBJECT, 'x', 0),
  'DATA with END_STREAM': data(SUBJECT, 'x'),
  HEADERS: headers(SUBJECT, POST, endHeaders),
  'HEADERS with END_STREAM': headers(SUBJECT, GET),
  trailers: headers(SUBJECT, [['a', 'b']]),
  PRIORITY: frame(TYPE.priority, 0, SUBJECT, '\0\0\0\0\x01'),
  RST_STREAM: frame(TYPE.reset, 0, SUBJECT, uint32(8)),
  WINDOW_UPDATE: frame(TYPE.window, 0, SUBJECT, uint32(1)),
  CONTINUATION: frame(TYPE.continuation, endHeaders, SUBJECT, block([['a', 'b']])),
  PUSH_PROMISE: frame(TYPE.push, endHeaders, SUBJECT, uint32(2)),
  'an unknown type': frame(0x16, 0, SUBJECT, 'x'),
}

const ok = 'ignored'
const answer: Wanted = { status: 200 }
const reset = (code: number): Wanted => ({ reset: code, on: SUBJECT })
const ends = (code: number): Wanted => ({ goaway: code })
const wrong = ends(CODE.protocol)
const late = reset(CODE.closed)
const over = ends(CODE.closed)

/** In the order of FRAMES. */
const VERDICTS: Record<string, readonly Wanted[]> = {
  idle: [wrong, wrong, ok, answer, reset(CODE.protocol), ok, wrong, wrong, wrong, wrong, ok],
  open: [ok, answer, reset(CODE.protocol), reset(CODE.protocol), answer, ok, ok, ok, wrong, wrong, ok],
  'half-closed (remote)': [late, late, late, late, late, ok, ok, ok, wrong, wrong, ok],
  closed: [over, over, over, over, over, ok, ok, ok, wrong, wrong, ok],
  'reset by the client': [late, late, late, late, late, ok, ok, ok, wrong, wrong, ok],
  'reset by us': [ok, ok, ok, ok, ok, ok, ok, ok, wrong, wrong, ok],
  'answered before its end': [ok, ok, reset(CODE.protocol), reset(CODE.protocol), ok, ok, ok, ok, wrong, wrong, ok],
  'left out': [over, over, wrong, wrong, wrong, ok, ok, ok, wrong, wrong, ok],
}

for (const { name, dial } of fronts)
  for (const [state, enter] of Object.entries(STATES))
    t.test(`${name}: ${state}`, async (t) => {
      for (const [i, [title, bytes]] of Object.entries(FRAMES).entries()) {
        const client = await (await dial(t)).open()
        client.send(headers(1, POST, endHeaders))
        await enter(client)
        client.send(bytes)
        const wanted = VERDICTS[state]?.[i] ?? 'ignored'
        t.same(await verdict(client, wanted, SUBJECT), wanted, title)
        if (wanted === 'ignored' || !('goaway' in wanted)) {
          t.notOk(client.frames.some(({ type }) => type === TYPE.reset || type === TYPE.goaway))
          client.send(data(1, 'x'))
          t.equal(await client.status(1), 200, `${title}: the other stream goes on`)
        } else t.equal(await client.next(() => false), undefined, `${title}: the connection ends`)
        client.destroy()
      }
    })

t.test('a stream beyond those that are taken is refused, and what follows on it is passed over', async (t) => {
  const few = await startFronts(t, backend, { maxStreams: 2 })
  for (const { name, dial } of few.fronts) {
    const client = await (await dial(t)).open()
    client.send(headers(1, POST, endHeaders), headers(3, get('/slow')), headers(5, POST, endHeaders))
    t.same(await verdict(client, reset(CODE.refused)), { reset: CODE.refused, on: 5 }, name)
    client.send(data(5, 'x', 0), frame(TYPE.window, 0, 5, uint32(1)), headers(5, [['a', 'b']]), data(1, 'x'))
    t.equal(await client.status(1), 200)
    client.send(headers(7, GET))
    t.equal(await client.status(7), 200, 'there is room again')
  }
})

t.test(
  'the rest of a request that has its answer is waited for a while, and then reset without an error',
  async (t) => {
    for (const { name, dial } of fronts) {
      const client = await (await dial(t)).open()
      client.send(headers(SUBJECT, [[':method', 'POST'], ...get('/early').slice(1)], endHeaders))
      t.equal(await client.status(SUBJECT), 403, name)
      client.send(data(SUBJECT, Buffer.alloc(16_000), 0))
      t.equal((await untilReset(client))?.payload.readUInt32BE(0), CODE.none)
      client.send(data(SUBJECT, 'x', 0), headers(SUBJECT, [['a', 'b']]))
      t.ok(await client.fence(), 'what was on its way is passed over')
      t.notOk(client.frames.some(({ type }) => type === TYPE.reset || type === TYPE.goaway))
    }
  },
)

t.test('a stream that has its answer is over, however many before it were left out', async (t) => {
  for (const { name, dial } of fronts)
    for (const [title, bytes] of [
      ['DATA', data(5, 'x')],
      ['HEADERS', headers(5, GET)],
    ] as const) {
      const client = await (await dial(t)).open()
      client.send(headers(5, GET))
      await client.answer(5)
      await ended(client, 5)
      client.send(bytes)
      t.same(await verdict(client, over), over, `${name}: ${title}`)
    }
})

t.test('5.1.1 the largest identifier of all is served, and none comes behind it', async (t) => {
  const largest = 2 ** 31 - 1
  for (const { name, dial } of fronts) {
    const client = await (await dial(t)).open()
    client.send(headers(1, POST, endHeaders), headers(largest, GET))
    t.equal(await client.status(largest), 200, name)
    client.send(data(1, 'x'))
    t.equal(await client.status(1), 200, `${name}: what is open goes on`)
    client.send(headers(largest - 2, GET))
    t.same(await verdict(client, wrong), wrong, name)
  }
})

t.test('the rest of a request that has its answer is still held to the rules', async (t) => {
  const early = (...fields: Fields): Buffer =>
    headers(SUBJECT, [[':method', 'POST'], ...get('/early').slice(1), ...fields], endHeaders)
  const flow = reset(CODE.flow)
  const malformed = reset(CODE.protocol)
  for (const { name, dial } of fronts)
    for (const [title, wanted, head, ...rest] of [
      ['more than its length', malformed, early(['content-length', '1']), data(SUBJECT, 'test')],
      ['in two frames', malformed, early(['content-length', '5']), data(SUBJECT, 'test', 0), data(SUBJECT, 'test')],
      ['less than its length', malformed, early(['content-length', '5']), data(SUBJECT, 'test')],
      ['trailers with a pseudo-field', malformed, early(), headers(SUBJECT, [[':method', 'POST']])],
      ['a window that grows by nothing', malformed, early(), frame(TYPE.window, 0, SUBJECT, uint32(0))],
      ['one that grows too large', flow, early(), frame(TYPE.window, 0, SUBJECT, uint32(2 ** 31 - 1))],
      ['padding that is too long', wrong, early(), data(SUBJECT, '\x06Test', FLAG.padded | endStream)],
    ] as const) {
      const client = await (await dial(t)).open()
      client.send(head)
      t.equal(await client.status(SUBJECT), 403)
      client.send(...rest)
      t.same(await verdict(client, wanted), wanted, `${name}: ${title}`)
    }
})

t.test('more resets than are remembered never end the connection', async (t) => {
  for (const { name, dial } of fronts) {
    const client = await (await dial(t)).open()
    for (let id = 1; id < 300; id += 2) client.send(headers(id, [...POST, ['X', 'y']], endHeaders))
    await client.next(({ type, stream }) => type === TYPE.reset && stream === 299)
    client.send(data(1, Buffer.alloc(1000), 0), headers(3, [['a', 'b']]))
    t.same(await verdict(client, late), { reset: CODE.closed, on: 1 }, name)
    t.same(await verdict(client, late), { reset: CODE.closed, on: 3 }, name)
    t.ok(await client.fence())
  }
})
