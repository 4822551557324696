/** RFC 9113 §3.4, §5.2, §6.5, §6.8 and §8.1: the life of a connection, with raw frames in clear text and over TLS. */
import t from 'tap'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import {
  data,
  FLAG,
  type FrameClient,
  frame,
  GET,
  get,
  headers,
  POST,
  PREFACE,
  setting,
  TYPE,
  uint32,
} from './fixtures/client.ts'
import { CODE, startFronts, verdict, type Wanted } from './fixtures/fronts.ts'

const { endHeaders, padded } = FLAG
const backend = await startBackend(t)
const { balancer, fronts } = await startFronts(t, backend)
backend.on('/large', (x) => x.answer('x'.repeat(200_000)))

/** DATA of one stream, up to its end or so many bytes. */
async function content(client: FrameClient, stream: number, bytes = Number.POSITIVE_INFINITY): Promise<number> {
  let length = 0
  while (length < bytes) {
    const next = await client.next((f) => f.type === TYPE.data && f.stream === stream)
    if (next === undefined) break
    length += next.payload.length
    if ((next.flags & FLAG.endStream) !== 0) break
  }
  return length
}

const SETTINGS = frame(TYPE.settings, 0, 0)

for (const { name, dial } of fronts) {
  t.test(`${name}: 3.4 our first frame is SETTINGS, and a preface and requests may come in any pieces`, async (t) => {
    const client = await dial(t)
    const bytes = Buffer.concat([
      PREFACE,
      SETTINGS,
      headers(1, POST, endHeaders),
      data(1, '\x02ab\0\0', FLAG.endStream | padded),
    ])
    for (const byte of bytes) {
      client.send(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const first = await client.next(() => true)
    t.equal(first?.type, TYPE.settings)
    t.equal(await client.status(1), 200)
    t.equal(backend.requests.at(-1)?.reader.bytes.toString(), 'ab')
    const one = await dial(t)
    one.send(Buffer.concat([PREFACE, SETTINGS, headers(1, GET)]))
    t.equal(await one.status(1), 200, 'or in one')
  })

  t.test(`${name}: 3.4 the first frame is SETTINGS, and no acknowledgement`, async (t) => {
    const FIRST: Record<string, Buffer> = {
      PING: frame(TYPE.ping, 0, 0, '12345678'),
      HEADERS: headers(1, GET),
      DATA: data(1, 'x'),
      WINDOW_UPDATE: frame(TYPE.window, 0, 0, uint32(1)),
      'an acknowledgement': frame(TYPE.settings, FLAG.ack, 0),
      GOAWAY: frame(TYPE.goaway, 0, 0, Buffer.alloc(8)),
      'an unknown type': frame(0x16, 0, 0),
    }
    for (const [title, bytes] of Object.entries(FIRST)) {
      const client = await dial(t)
      client.send(PREFACE, bytes)
      t.same(await verdict(client, { goaway: 1 }), { goaway: CODE.protocol }, title)
      t.equal(await client.next(() => false), undefined, `${title}: the connection ends`)
    }
  })

  t.test(`${name}: 5.2 no more goes out than the windows of stream and connection take`, async (t) => {
    const client = await (await dial(t)).open(setting(4, 100_000))
    client.send(headers(1, get('/large')), headers(3, get('/large')))
    let sent = 0
    while (sent < 65_535)
      sent += (await client.next(({ type }) => type === TYPE.data))?.payload.length ?? Number.POSITIVE_INFINITY
    t.equal(sent, 65_535, 'the window of the connection')
    await client.fence()
    t.notOk(client.frames.some(({ type }) => type === TYPE.data))
    client.send(frame(TYPE.window, 0, 0, uint32(1_000_000)))
    const left: Record<number, number> = {}
    while (sent < 200_000) {
      const next = await client.next(({ type }) => type === TYPE.data)
      t.ok((next?.payload.length ?? 0) <= 16_384, 'no frame is larger than all take')
      sent += next?.payload.length ?? 0
      left[next?.stream ?? 0] = (left[next?.stream ?? 0] ?? 0) + (next?.payload.length ?? 0)
    }
    t.equal(sent, 200_000, 'and those of both streams')
    client.send(frame(TYPE.window, 0, 1, uint32(100_000)), frame(TYPE.window, 0, 3, uint32(100_000)))
    while (sent < 400_000) sent += (await client.next(({ type }) => type === TYPE.data))?.payload.length ?? 0
    t.equal(sent, 400_000)
  })

  t.test(`${name}: 6.5 every SETTINGS is acknowledged once, its values hold in their order`, async (t) => {
    const client = await (await dial(t)).open()
    client.send(
      frame(
        TYPE.settings,
        0,
        0,
        Buffer.concat([setting(4, 100), setting(0xff, 7), setting(4, 3), setting(5, 2 ** 24 - 1)]),
      ),
      SETTINGS,
      headers(1, get('/large')),
    )
    t.equal(await content(client, 1, 3), 3, 'the last one')
    client.send(frame(TYPE.settings, 0, 0, setting(4, 2)), frame(TYPE.window, 0, 1, uint32(1)))
    await client.fence()
    t.notOk(
      client.frames.some(({ type }) => type === TYPE.data),
      'a window below nothing stays shut',
    )
    client.send(frame(TYPE.settings, 0, 0, setting(4, 12)))
    t.equal(await content(client, 1, 10), 10, 'what opens all windows opens this one')
    const counting = await (await dial(t)).open()
    counting.send(SETTINGS, SETTINGS, SETTINGS)
    counting.send(frame(TYPE.ping, 0, 0, 'fencepng'))
    await eventually('the answer', () => counting.frames.some(({ type }) => type === TYPE.ping))
    t.equal(counting.frames.filter(({ type, flags }) => type === TYPE.settings && flags === FLAG.ack).length, 3)
  })

  t.test(`${name}: 6.7 PING is answered with what it held`, async (t) => {
    const client = await (await dial(t)).open()
    client.send(frame(TYPE.ping, 0, 0, '\0\xffabcdef'))
    const answer = await client.next(({ type }) => type === TYPE.ping)
    t.same([answer?.flags, answer?.stream, answer?.payload.toString('latin1')], [FLAG.ack, 0, '\0\xffabcdef'])
  })

  t.test(`${name}: 6.9 padding counts, and its room comes back`, async (t) => {
    const client = await (await dial(t)).open()
    client.send(headers(1, POST, endHeaders))
    const piece = Buffer.concat([Buffer.from([255]), Buffer.from('x'), Buffer.alloc(255)])
    let window = 65_535
    let whole = 2 ** 20
    for (let i = 0; i < 2000; i++) {
      while (window < piece.length || whole < piece.length) {
        const update = await client.next(({ type }) => type === TYPE.window)
        if (update === undefined) return t.fail('the connection ended')
        if (update.stream === 1) window += update.payload.readUInt32BE(0)
        else whole += update.payload.readUInt32BE(0)
      }
      window -= piece.length
      whole -= piece.length
      client.send(data(1, piece, padded))
    }
    client.send(data(1, ''))
    t.equal(await client.status(1), 200)
    t.equal(backend.requests.at(-1)?.reader.bytes.length, 2000)
  })

  t.test(`${name}: 6.8 a client that says GOAWAY gets its answers, and then the end`, async (t) => {
    const client = await (await dial(t)).open()
    client.send(
      headers(1, POST, endHeaders),
      frame(TYPE.goaway, 0, 0, Buffer.concat([uint32(0), uint32(0xff), uint32(1)])),
    )
    await client.fence()
    client.send(data(1, 'x'))
    t.equal(await client.status(1), 200)
    t.equal(await client.next(() => false), undefined)
    const idle = await (await dial(t)).open()
    idle.send(frame(TYPE.goaway, 0, 0, Buffer.alloc(8)))
    t.equal(await idle.next(() => false), undefined, 'at once where there are none')
  })

  t.test(`${name}: 6.8 the last stream never grows, and those behind it are passed over`, async (t) => {
    const client = await (await dial(t)).open()
    client.send(headers(1, POST, endHeaders), frame(TYPE.goaway, 0, 0, Buffer.alloc(8)))
    const last = async (): Promise<number | undefined> =>
      (await client.next(({ type }) => type === TYPE.goaway))?.payload.readUInt32BE(0)
    t.equal(await last(), 1)
    client.send(
      headers(3, get('/never'), endHeaders),
      data(3, 'x', 0),
      headers(3, [['a', 'b']]),
      headers(5, get('/never')),
    )
    await client.fence()
    t.notOk(client.frames.some(({ type }) => type === TYPE.reset || type === TYPE.goaway))
    client.send(frame(TYPE.ping, 0, 1, '12345678'))
    t.equal(await last(), 1)
    t.notOk(backend.heads.some(({ target }) => target === '/never'))
  })

  t.test(
    `${name}: 5.4.1 who goes on sending behind a connection error still reads why, and then the end`,
    async (t) => {
      const junk = Buffer.concat(Array.from({ length: 3000 }, () => frame(0x16, 0, 0, Buffer.alloc(256))))
      for (const [title, bad] of [
        ['PING on a stream', frame(TYPE.ping, 0, 3, '12345678')],
        ['a block that is malformed', frame(TYPE.headers, 5, 1, Buffer.from([0x80]))],
        ['DATA that is too large', Buffer.concat([headers(1, POST, endHeaders), data(1, Buffer.alloc(16_385))])],
      ] as const) {
        const client = await (await dial(t)).open()
        const endings: string[] = []
        client.socket.on('end', () => endings.push('end'))
        client.socket.on('error', () => endings.push('reset'))
        client.send(bad, junk)
        const goaway = await client.next(({ type }) => type === TYPE.goaway)
        t.ok((goaway?.payload.length ?? 0) > 8, `${title}: GOAWAY with a few words`)
        t.equal(await client.next(() => false), undefined)
        t.same(endings, ['end'], `${title}: no reset`)
      }
    },
  )

  t.test(`${name}: 7 codes that nobody knows mean nothing special`, async (t) => {
    const client = await (await dial(t)).open()
    client.send(headers(1, POST, endHeaders), frame(TYPE.reset, 0, 1, uint32(0xff)), headers(3, GET))
    t.equal(await client.status(3), 200)
  })

  t.test(`${name}: 8.2 answers have small letters, :status first, and nothing of the connection`, async (t) => {
    backend.on('/fields', (x) =>
      x.write(
        'HTTP/1.1 200 OK\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: a\r\n' +
          'Upgrade: h2c\r\nTransfer-Encoding: chunked\r\nX-Other: Mixed Case\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      ),
    )
    const client = await (await dial(t)).open()
    client.send(headers(1, get('/fields')))
    const fields = await client.answer(1)
    t.equal(Object.keys(fields)[0], ':status')
    t.match(fields, { ':status': '200', 'x-other': 'Mixed Case' })
    t.same(
      Object.keys(fields).filter((field) =>
        /[A-Z]|^(connection|keep-alive|proxy-connection|upgrade|transfer-encoding|x-mine)$/.test(field),
      ),
      [],
    )
  })

  t.test(`${name}: 8.1 a field of the connection makes trailers malformed`, async (t) => {
    for (const field of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']) {
      const client = await (await dial(t)).open()
      client.send(headers(1, POST, endHeaders), data(1, 'x', 0), headers(1, [[field, 'x']]))
      const wanted: Wanted = { reset: CODE.protocol, on: 1 }
      t.same(await verdict(client, wanted), wanted, field)
      t.ok(await client.fence())
    }
  })
}

t.test('3.4 what is neither the preface nor of HTTP gets the end of the connection, and no text', async (t) => {
  const [clear] = fronts
  const told = async (...pieces: readonly string[]): Promise<string> => {
    const client = await clear?.dial(t)
    let text = ''
    client?.socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
    for (const piece of pieces) {
      client?.send(Buffer.from(piece))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await client?.next(() => false)
    return text
  }
  const NEITHER = 'INVALID CONNECTION PREFACE\r\n\r\n'
  t.equal(await told(NEITHER), '')
  t.equal(await told(...NEITHER), '', 'in any pieces')
  t.equal(await told('PRI * '.padEnd(24, 'X'), '\r\n\r\n'), '')
  t.match(await told('GET / HTTP/1.x\r\n\r\n'), /^HTTP\/1\.1 400 /, 'what is of HTTP gets its answer')
  t.match(await told('GET /\r\n\r\n'), /^HTTP\/1\.1 400 /)
  const later = await told(`GET / HTTP/1.1\r\nHost: a.test\r\n\r\n`, NEITHER)
  t.match(later, /^HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 400 /, 'and so does a client that has spoken it')
})

t.test('a preface that goes wrong ends the connection, with GOAWAY where nothing else can be meant', async (t) => {
  const [clear, secure] = fronts
  for (const at of [0, 3, 15, 18, 23]) {
    const bytes = Buffer.from(PREFACE)
    bytes[at] = 0x58
    const client = await secure?.dial(t)
    client?.send(bytes, SETTINGS)
    const goaway = await client?.next(({ type }) => type === TYPE.goaway)
    t.equal(goaway?.payload.readUInt32BE(4), CODE.protocol, `byte ${at}`)
    t.equal(await client?.next(() => false), undefined)
    const plain = await clear?.dial(t)
    plain?.send(bytes, SETTINGS)
    t.equal(await plain?.next(() => false), undefined, `byte ${at} in clear text`)
  }
  t.equal((await balancer.get('/livez')).status, 200)
})
