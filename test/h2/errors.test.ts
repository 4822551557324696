/** RFC 9113 section by section: what a client must not do, and how it is told. Raw frames. */
import t from 'tap'
import { startBackend } from '../support/backend.ts'
import { block, data, type Fields, FLAG, frame, GET, headers, POST, setting, TYPE, uint32 } from './fixtures/client.ts'
import { CODE, type Front, startFronts, verdict, type Wanted, wentOn, whole } from './fixtures/fronts.ts'

const { endStream, endHeaders, padded, priority } = FLAG

const backend = await startBackend(t)
backend.on('/slow', () => new Promise(() => undefined)) // never answers
const { fronts } = await startFronts(t, backend)

type Row = readonly [title: string, wanted: Wanted, frames: readonly Buffer[], settings?: Buffer]

const more = (...fields: Fields): Fields => [...GET, ...fields]
const without = (name: string): Fields => GET.filter(([n]) => n !== name)
const large = Buffer.alloc(16_385)
const open = headers(1, POST, endHeaders)
const cut = block([...GET, ['x-large', 'x'.repeat(4000)]])

const SECTIONS: Record<string, readonly Row[]> = {
  '4.1 frame format': [
    ['a frame of an unknown type is passed over', 'ignored', [frame(0x16, 0, 0, 'x')]],
    ['and on a stream', { status: 200 }, [frame(0x16, 255, 1, 'x'), headers(1, GET)]],
    ['flags without a meaning are passed over', 'ignored', [frame(TYPE.ping, 0x16, 0, '12345678')]],
    ['the reserved bit is passed over', 'ignored', [frame(TYPE.ping, 0, 0x8000_0000, '12345678')]],
  ],
  '4.2 frame size': [
    ['DATA of the largest size', { status: 200 }, [open, data(1, Buffer.alloc(16_384))]],
    ['DATA above it', { goaway: CODE.size }, [open, data(1, large)]],
    ['HEADERS above it', { goaway: CODE.size }, [frame(TYPE.headers, endHeaders, 1, large)]],
    ['an unknown frame above it', { goaway: CODE.size }, [frame(0x16, 0, 0, large)]],
  ],
  '4.2 frames of a wrong size, told before their payload has come': [
    ['SETTINGS', { goaway: CODE.size }, [frame(TYPE.settings, 0, 0, '\0\x03\0\0\0\x64\0\x02', 9)]],
    ['an acknowledgement', { goaway: CODE.size }, [frame(TYPE.settings, FLAG.ack, 0, '', 6)]],
    ['PING', { goaway: CODE.size }, [frame(TYPE.ping, 0, 0, '', 9)]],
    ['GOAWAY', { goaway: CODE.size }, [frame(TYPE.goaway, 0, 0, '', 7)]],
    ['WINDOW_UPDATE', { goaway: CODE.size }, [frame(TYPE.window, 0, 0, '', 8)]],
    ['RST_STREAM', { goaway: CODE.size }, [open, frame(TYPE.reset, 0, 1, '', 5)]],
  ],
  '4.3 field compression': [
    ['an index beyond the tables', { goaway: CODE.compression }, [frame(TYPE.headers, 5, 1, Buffer.from([0xff, 0]))]],
    ['index 0', { goaway: CODE.compression }, [frame(TYPE.headers, 5, 1, Buffer.from([0x80]))]],
    [
      'PRIORITY within a block',
      { goaway: CODE.protocol },
      [headers(1, GET, endStream), frame(TYPE.priority, 0, 1, '\0\0\0\0\x01')],
    ],
    [
      'HEADERS of another stream within a block',
      { goaway: CODE.protocol },
      [headers(1, GET, endStream), headers(3, GET)],
    ],
    ['an unknown frame within a block', { goaway: CODE.protocol }, [headers(1, GET, endStream), frame(0x16, 0, 1)]],
    ['the same on stream 0', { goaway: CODE.protocol }, [headers(1, GET, endStream), frame(0x16, 0, 0, '12345678')]],
    ['DATA within a block', { goaway: CODE.protocol }, [headers(1, POST, 0), data(1, 'test')]],
  ],
  '5.1 stream states': [
    ['DATA on an idle stream', { goaway: CODE.protocol }, [data(1, 'x')]],
    ['RST_STREAM on an idle stream', { goaway: CODE.protocol }, [frame(TYPE.reset, 0, 1, uint32(8))]],
    ['WINDOW_UPDATE on an idle stream', { goaway: CODE.protocol }, [frame(TYPE.window, 0, 1, uint32(8))]],
    [
      'CONTINUATION on an idle stream',
      { goaway: CODE.protocol },
      [frame(TYPE.continuation, endHeaders, 1, block(GET))],
    ],
    [
      'DATA behind the end',
      { reset: CODE.closed },
      [headers(1, [...GET.slice(0, 2), [':path', '/slow'], [':authority', 'a.test']]), data(1, 'x')],
    ],
    [
      'HEADERS behind the end',
      { reset: CODE.closed },
      [headers(1, [...GET.slice(0, 2), [':path', '/slow'], [':authority', 'a.test']]), headers(1, GET)],
    ],
    ['HEADERS behind a reset', { reset: CODE.closed }, [open, frame(TYPE.reset, 0, 1, uint32(8)), headers(1, GET)]],
    ['DATA behind a reset', { reset: CODE.closed }, [open, frame(TYPE.reset, 0, 1, uint32(8)), data(1, 'x')]],
    [
      'WINDOW_UPDATE and PRIORITY behind a reset',
      'ignored',
      [
        open,
        frame(TYPE.reset, 0, 1, uint32(8)),
        frame(TYPE.window, 0, 1, uint32(8)),
        frame(TYPE.priority, 0, 1, '\0\0\0\0\x01'),
      ],
    ],
  ],
  '5.1.1 stream identifiers': [
    ['an even one', { goaway: CODE.protocol }, [headers(2, GET)]],
    ['a smaller one than before', { goaway: CODE.protocol }, [headers(5, POST, endHeaders), headers(3, GET)]],
  ],
  '5.3 priority': [
    [
      'PRIORITY is passed over, on an idle stream too',
      { status: 200 },
      [frame(TYPE.priority, 0, 3, '\0\0\0\0\x01'), headers(1, GET)],
    ],
    [
      'a stream that depends on itself by HEADERS',
      { reset: CODE.protocol },
      [frame(TYPE.headers, 5 | priority, 1, Buffer.concat([uint32(1), Buffer.from([1]), block(GET)]))],
    ],
    ['and by PRIORITY', { reset: CODE.protocol }, [open, frame(TYPE.priority, 0, 1, '\0\0\0\x01\x01')]],
    [
      'the same on an idle stream, which nobody can reset',
      { goaway: CODE.protocol },
      [frame(TYPE.priority, 0, 1, '\0\0\0\x01\x01')],
    ],
  ],
  '6.1 DATA': [
    ['on stream 0', { goaway: CODE.protocol }, [data(0, 'x')]],
    ['with padding', { status: 200 }, [open, data(1, '\x03abc\0\0\0', endStream | padded)]],
    ['padding as long as the frame', { goaway: CODE.protocol }, [open, data(1, '\x04\0\0\0', endStream | padded)]],
    ['without the length of its padding', { goaway: CODE.size }, [open, data(1, '', endStream | padded)]],
  ],
  '6.2 HEADERS': [
    ['on stream 0', { goaway: CODE.protocol }, [headers(0, GET)]],
    [
      'with padding and priority',
      { status: 200 },
      [
        frame(
          TYPE.headers,
          5 | padded | priority,
          1,
          Buffer.concat([Buffer.from([2]), uint32(0), Buffer.from([1]), block(GET), Buffer.alloc(2)]),
        ),
      ],
    ],
    [
      'padding longer than the frame',
      { goaway: CODE.protocol },
      [frame(TYPE.headers, 5 | padded, 1, Buffer.concat([Buffer.from([255]), block(GET)]))],
    ],
  ],
  '6.3 PRIORITY': [
    ['on stream 0', { goaway: CODE.protocol }, [frame(TYPE.priority, 0, 0, '\0\0\0\0\x01')]],
    ['of another size', { reset: CODE.size }, [open, frame(TYPE.priority, 0, 1, '\0\0\0\x01')]],
    ['of another size on an idle stream', { goaway: CODE.size }, [frame(TYPE.priority, 0, 1, '\0\0\0\x01')]],
    ['exclusive, with any weight', 'ignored', [open, frame(TYPE.priority, 0, 1, '\x80\0\0\x03\xff')]],
  ],
  '6.4 RST_STREAM': [
    ['on stream 0', { goaway: CODE.protocol }, [frame(TYPE.reset, 0, 0, uint32(8))]],
    ['of another size', { goaway: CODE.size }, [open, frame(TYPE.reset, 0, 1, '\0\0\0')]],
  ],
  '6.5 SETTINGS': [
    ['an acknowledgement with content', { goaway: CODE.size }, [frame(TYPE.settings, FLAG.ack, 0, setting(1, 1))]],
    ['on a stream', { goaway: CODE.protocol }, [frame(TYPE.settings, 0, 1)]],
    ['of another size', { goaway: CODE.size }, [frame(TYPE.settings, 0, 0, 'abc')]],
    ['ENABLE_PUSH 2', { goaway: CODE.protocol }, [frame(TYPE.settings, 0, 0, setting(2, 2))]],
    [
      'INITIAL_WINDOW_SIZE above its bound',
      { goaway: CODE.flow },
      [frame(TYPE.settings, 0, 0, setting(4, 0x8000_0000))],
    ],
    ['MAX_FRAME_SIZE below its bound', { goaway: CODE.protocol }, [frame(TYPE.settings, 0, 0, setting(5, 16_383))]],
    ['MAX_FRAME_SIZE above its bound', { goaway: CODE.protocol }, [frame(TYPE.settings, 0, 0, setting(5, 2 ** 24))]],
    ['an unknown one is passed over', 'ignored', [frame(TYPE.settings, 0, 0, setting(255, 1))]],
  ],
  '6.6 PUSH_PROMISE': [
    ['from a client', { goaway: CODE.protocol }, [open, frame(TYPE.push, endHeaders, 1, uint32(2))]],
  ],
  '6.7 PING': [
    ['on a stream', { goaway: CODE.protocol }, [frame(TYPE.ping, 0, 1, '12345678')]],
    ['of another size', { goaway: CODE.size }, [frame(TYPE.ping, 0, 0, '1234567')]],
    ['an answer that nobody asked for is passed over', 'ignored', [frame(TYPE.ping, FLAG.ack, 0, '12345678')]],
  ],
  '6.8 GOAWAY': [
    ['on a stream', { goaway: CODE.protocol }, [frame(TYPE.goaway, 0, 1, Buffer.alloc(8))]],
    ['of another size', { goaway: CODE.size }, [frame(TYPE.goaway, 0, 0, Buffer.alloc(7))]],
  ],
  '6.9 WINDOW_UPDATE': [
    ['by nothing', { goaway: CODE.protocol }, [frame(TYPE.window, 0, 0, uint32(0))]],
    ['by nothing on a stream', { reset: CODE.protocol }, [open, frame(TYPE.window, 0, 1, uint32(0))]],
    ['of another size', { goaway: CODE.size }, [frame(TYPE.window, 0, 0, '\0\0\x01')]],
    ['beyond the largest window', { goaway: CODE.flow }, [frame(TYPE.window, 0, 0, uint32(2 ** 31 - 1))]],
    ['the same on a stream', { reset: CODE.flow }, [open, frame(TYPE.window, 0, 1, uint32(2 ** 31 - 1))]],
    [
      'a window that SETTINGS make too large',
      { goaway: CODE.flow },
      [open, frame(TYPE.window, 0, 1, uint32(2 ** 31 - 70_000)), frame(TYPE.settings, 0, 0, setting(4, 100_000))],
    ],
  ],
  '6.10 CONTINUATION': [
    [
      'a head in three frames',
      { status: 200 },
      [
        frame(TYPE.headers, endStream, 1, block(GET.slice(0, 2))),
        frame(TYPE.continuation, 0, 1, block(GET.slice(2, 3))),
        frame(TYPE.continuation, endHeaders, 1, block(GET.slice(3))),
      ],
    ],
    [
      'a head cut within a field, with a large one',
      { status: 200 },
      [
        frame(TYPE.headers, endStream, 1, cut.subarray(0, 5)),
        frame(TYPE.continuation, 0, 1, cut.subarray(5, 10)),
        frame(TYPE.continuation, 0, 1, cut.subarray(10, 3000)),
        frame(TYPE.continuation, endHeaders, 1, cut.subarray(3000)),
      ],
    ],
    [
      'followed by DATA',
      { goaway: CODE.protocol },
      [headers(1, POST, 0), frame(TYPE.continuation, 0, 1, block([['a', 'b']])), data(1, 'test')],
    ],
    [
      'behind the last one',
      { goaway: CODE.protocol },
      [
        headers(1, GET, endStream),
        frame(TYPE.continuation, endHeaders, 1, block([['a', 'b']])),
        frame(TYPE.continuation, endHeaders, 1, block([['a', 'b']])),
      ],
    ],
    [
      'behind a block that has ended',
      { goaway: CODE.protocol },
      [headers(1, POST, endHeaders), frame(TYPE.continuation, endHeaders, 1, block(GET))],
    ],
    [
      'of another stream',
      { goaway: CODE.protocol },
      [headers(1, GET, endStream), frame(TYPE.continuation, endHeaders, 3, block(GET))],
    ],
    [
      'on stream 0',
      { goaway: CODE.protocol },
      [headers(1, GET, endStream), frame(TYPE.continuation, endHeaders, 0, block(GET))],
    ],
  ],
  '8.1 messages': [
    ['a second HEADERS without an end', { reset: CODE.protocol }, [open, headers(1, [['a', 'b']], endHeaders)]],
    ['trailers', { status: 200 }, [open, data(1, 'x', 0), headers(1, [['a', 'b']])]],
    ['trailers with a pseudo-field', { reset: CODE.protocol }, [open, data(1, 'x', 0), headers(1, [[':path', '/']])]],
    ['trailers with a large letter', { reset: CODE.protocol }, [open, headers(1, [['A', 'b']])]],
    [
      'more content than its length',
      { reset: CODE.protocol },
      [headers(1, [...POST, ['content-length', '1']], endHeaders), data(1, 'xy')],
    ],
    [
      'less content than its length',
      { reset: CODE.protocol },
      [headers(1, [...POST, ['content-length', '3']], endHeaders), data(1, 'x', 0), data(1, 'y')],
    ],
    ['a length without content', { reset: CODE.protocol }, [headers(1, more(['content-length', '1']))]],
    [
      'less content than its length before trailers',
      { reset: CODE.protocol },
      [headers(1, [...POST, ['content-length', '3']], endHeaders), data(1, 'x', 0), headers(1, [['a', 'b']])],
    ],
  ],
  '8.2 fields': [
    ['a large letter in a name', { reset: CODE.protocol }, [headers(1, more(['X-a', 'b']))]],
    ['a space in a name', { reset: CODE.protocol }, [headers(1, more(['x a', 'b']))]],
    ['a colon in a name', { reset: CODE.protocol }, [headers(1, more(['x:a', 'b']))]],
    ['no name', { reset: CODE.protocol }, [headers(1, more(['', 'b']))]],
    ...['b\r\nx: y', 'b\nc', 'b\0c', ' b', 'b ', '\tb', 'b\t'].map(
      (value): Row => [
        `the value ${JSON.stringify(value)}`,
        { reset: CODE.protocol },
        [headers(1, more(['x', value]))],
      ],
    ),
    ['a control character in a value', { status: 400 }, [headers(1, more(['x', 'a\x01b']))]],
    ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map(
      (name): Row => [name, { reset: CODE.protocol }, [headers(1, more([name, 'chunked']))]],
    ),
    ['transfer_encoding', { status: 400 }, [headers(1, more(['transfer_encoding', 'chunked']))]],
    ['TE that is not trailers', { reset: CODE.protocol }, [headers(1, more(['te', 'gzip']))]],
    ['TE with more than that', { reset: CODE.protocol }, [headers(1, more(['te', 'trailers, deflate']))]],
    ['TE that is', { status: 200 }, [headers(1, more(['te', 'trailers']))]],
  ],
  '8.3 pseudo-fields': [
    ['an unknown one', { reset: CODE.protocol }, [headers(1, more([':test', 'a']))]],
    ['one of answers', { reset: CODE.protocol }, [headers(1, more([':status', '200']))]],
    ['one behind a field', { reset: CODE.protocol }, [headers(1, [...without(':path'), ['a', 'b'], [':path', '/']])]],
    ...[':method', ':scheme', ':path'].flatMap((name): Row[] => [
      [`no ${name}`, { reset: CODE.protocol }, [headers(1, without(name))]],
      [`two of ${name}`, { reset: CODE.protocol }, [headers(1, [...GET.filter(([n]) => n === name), ...GET])]],
    ]),
    ['an empty path', { reset: CODE.protocol }, [headers(1, [...without(':path'), [':path', '']])]],
    ['a path that is none', { reset: CODE.protocol }, [headers(1, [...without(':path'), [':path', 'x']])]],
    ['a path with a space', { reset: CODE.protocol }, [headers(1, [...without(':path'), [':path', '/ HTTP/1.1']])]],
    ['a path with a line end', { reset: CODE.protocol }, [headers(1, [...without(':path'), [':path', '/\r\nx: y']])]],
    ['* with GET', { status: 400 }, [headers(1, [...without(':path'), [':path', '*']])]],
    [
      '* with OPTIONS',
      { status: 200 },
      [
        headers(1, [
          [':method', 'OPTIONS'],
          [':scheme', 'http'],
          [':path', '*'],
          [':authority', 'a.test'],
        ]),
      ],
    ],
    ['a method with a line end', { reset: CODE.protocol }, [headers(1, [[':method', 'GET /x\r\n'], ...GET.slice(1)])]],
    ['a scheme of another world', { reset: CODE.protocol }, [headers(1, [...without(':scheme'), [':scheme', 'ftp']])]],
    [
      'an authority with a line end',
      { reset: CODE.protocol },
      [headers(1, [...without(':authority'), [':authority', 'a\r\nb: c']])],
    ],
    [
      'an authority with userinfo',
      { status: 400 },
      [headers(1, [...without(':authority'), [':authority', 'u@a.test']])],
    ],
    ['no authority and no host', { status: 400 }, [headers(1, without(':authority'))]],
    ['no authority but a host', { status: 200 }, [headers(1, [...without(':authority'), ['host', 'a.test']])]],
    ['the same as authority and host', { status: 200 }, [headers(1, more(['host', 'A.test']))]],
    ['another host than the authority', { status: 400 }, [headers(1, more(['host', 'b.test']))]],
    ['two hosts', { status: 400 }, [headers(1, more(['host', 'a.test'], ['host', 'a.test']))]],
    [
      'CONNECT',
      { status: 405 },
      [
        headers(
          1,
          [
            [':method', 'CONNECT'],
            [':authority', 'a.test:80'],
          ],
          endHeaders,
        ),
      ],
    ],
    ['CONNECT with a path', { reset: CODE.protocol }, [headers(1, [[':method', 'CONNECT'], ...GET.slice(1)])]],
    [':protocol without CONNECT', { reset: CODE.protocol }, [headers(1, [[':protocol', 'websocket'], ...GET])]],
    [
      'an extended CONNECT to a protocol that is not served',
      { status: 501 },
      [headers(1, [[':method', 'CONNECT'], [':protocol', 'h2c'], ...GET.slice(1)], endHeaders)],
    ],
    ['TRACE', { status: 405 }, [headers(1, [[':method', 'TRACE'], ...GET.slice(1)])]],
  ],
}

for (const front of fronts)
  for (const [section, rows] of Object.entries(SECTIONS))
    t.test(`${front.name}: ${section}`, async (t) => {
      const other = await (await front.dial(t)).open()
      other.send(open)
      for (const [title, wanted, frames, settings] of rows) {
        const client = await (await front.dial(t)).open(settings)
        client.send(...frames)
        t.same(await verdict(client, wanted), whole(wanted), title)
        t.ok(await wentOn(client, wanted), `${title}: the connection ends, or serves others, as it should`)
        client.destroy()
      }
      other.send(data(1, 'x'))
      t.equal(await other.status(1), 200, 'other connections go on')
    })

const [clear] = fronts as [Front, Front]

t.test('3.4 what does not begin with the preface is HTTP/1.1', async (t) => {
  const client = await clear.dial(t)
  let text = ''
  client.socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
  client.send(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'))
  await client.next(() => false)
  t.match(text, /^HTTP\/1\.1 200 /)
})

t.test('nothing of what was refused has reached the backend', async (t) => {
  const wrong = backend.requests.filter(({ head }) => /x: y|ftp|b: c|chunked\r\nTransfer/i.test(head))
  t.same(
    wrong.map(({ head }) => head),
    [],
  )
})
