/** RFC 7541 on the wire: header blocks byte by byte, and the tables that both sides must agree on. */
import t from 'tap'
import { encodeHuffman } from '../../fuzz/reference/hpack.ts'
import { fieldBlock } from '../../lib/datapaths/h2/field-block.ts'
import { HpackDecoder } from '../../lib/datapaths/h2/hpack-decoder.ts'
import { startBackend } from '../support/backend.ts'
import { block, data, FLAG, type FrameClient, frame, GET, headers, POST, setting, TYPE } from './fixtures/client.ts'
import { CODE, startFronts, verdict, type Wanted, wentOn, whole } from './fixtures/fronts.ts'

const backend = await startBackend(t)
const { fronts, balancer } = await startFronts(t, backend, { maxStreams: 2 })
const [clear] = fronts
if (clear === undefined) throw new Error('there is no front')

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const joined = (...pieces: readonly (Buffer | string)[]): Buffer =>
  Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? hex(piece) : piece)))
/** A request of this block. */
const request = (stream: number, ...pieces: readonly (Buffer | string)[]): Buffer =>
  frame(TYPE.headers, FLAG.endHeaders | FLAG.endStream, stream, joined(...pieces))
const coded = (value: string): Buffer => {
  const bytes = encodeHuffman(value)
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes])
}
const plain = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])

const fields = block(GET)
const broken: Wanted = { goaway: CODE.compression }
const fine: Wanted = { status: 200 }

type Row = readonly [title: string, wanted: Wanted, ...pieces: (Buffer | string)[]]
const SECTIONS: Record<string, readonly Row[]> = {
  '2.3.3 indices': [
    ['the last one of the static table, and none behind it', broken, fields, 'bd be'],
    ['a name behind the tables', broken, fields, '7e 01 61'],
    ['a name behind the tables, without indexing', broken, fields, '0f 2f 01 61'],
    ['an index of 2^28', broken, fields, 'ff 81 ff ff 7f'],
  ],
  '4.2, 6.3 the size of the table': [
    ['a change at the beginning', fine, '20', fields],
    ['down and up again', fine, '20 3f e1 1f', fields],
    ['larger than we announced', broken, '3f e2 1f', fields],
    ['far larger', broken, '3f e1 ff ff 7f', fields],
    ['behind a field', broken, '82 20 86 84 01 01 61'],
    ['at the end', broken, fields, '20'],
    ['without its end', broken, '3f'],
  ],
  '5.1 integers': [
    ['zeros behind the value', fine, fields, '00 01 78 7f 80 00', Buffer.alloc(127, 'y')],
    ['more than four bytes', broken, fields, '00 01 78 7f 80 80 80 80 00'],
    ['without an end', broken, fields, 'ff 80'],
  ],
  '5.2 strings': [
    ['longer than their block', broken, fields, '00 01 78 05 61'],
    ['a name without a value', broken, fields, '00 01 78'],
    ['a literal of nothing', broken, fields, '00'],
    ['Huffman codes padded with ones', fine, fields, '00 01 78 81 1f'],
    ['with more than seven', broken, fields, '00 01 78 82 1f ff'],
    ['with zeros', broken, fields, '00 01 78 81 18'],
    ['with the end of the string', broken, fields, '00 01 78 84 ff ff ff ff'],
    ['and with a letter in front of it', broken, fields, '00 01 78 85 1f ff ff ff ff'],
    ['padding that is a whole byte', broken, fields, '00 01 78 81 ff'],
    ['coded and empty', fine, fields, '00 01 78 80'],
  ],
  '6.1 indexed fields': [
    ['index 0', broken, fields, '80'],
    ['all of the request from the static table', fine, '82 86 84', block([[':authority', 'a.test']])],
  ],
}

for (const front of fronts)
  for (const [section, rows] of Object.entries(SECTIONS))
    t.test(`${front.name}: ${section}`, async (t) => {
      for (const [title, wanted, ...pieces] of rows) {
        const client = await (await front.dial(t)).open()
        client.send(request(1, ...pieces))
        t.same(await verdict(client, wanted), whole(wanted), title)
        t.ok(await wentOn(client, wanted), `${title}: and afterwards`)
        client.destroy()
      }
    })

/** What the backend got of the field `x`. */
const got = (): string | undefined => backend.requests.at(-1)?.fields.find(([name]) => name === 'x')?.[1]

async function ask(client: FrameClient, stream: number, ...pieces: readonly (Buffer | string)[]): Promise<string> {
  client.send(request(stream, fields, ...pieces))
  return (await client.status(stream)) === 200 ? String(got()) : 'refused'
}

t.test('6.2 literals of every kind arrive, and only those with indexing stay', async (t) => {
  for (const [title, first, stays] of [
    ['with indexing', '40', true],
    ['without indexing', '00', false],
    ['never indexed', '10', false],
  ] as const)
    for (const [letters, write] of [
      ['plain', plain],
      ['coded', coded],
    ] as const) {
      const client = await (await clear.dial(t)).open()
      t.equal(await ask(client, 1, first, write('x'), write('value')), 'value', `${title}, ${letters}`)
      client.send(request(3, fields, 'be'))
      const wanted: Wanted = stays ? { status: 200 } : broken
      t.same(await verdict(client, wanted, 3), wanted, `${title}: index 62 afterwards`)
      if (stays) t.equal(got(), 'value')
    }
})

t.test('2.3.2 the oldest entries leave, one that is too large empties the table', async (t) => {
  const client = await (await clear.dial(t)).open()
  t.equal(await ask(client, 1, '40', plain('x'), plain('one')), 'one')
  t.equal(await ask(client, 3, '7e', plain('two')), 'two', 'a name of the table')
  t.equal(await ask(client, 5, 'bf'), 'one', 'the older one')
  client.send(request(7, '3f 07', fields, 'be'))
  t.equal(await client.status(7), 200)
  t.equal(got(), 'two', 'the newest has room in 38 bytes')
  client.send(request(9, '3f 07', fields, 'bf'))
  t.same(await verdict(client, broken), broken, 'the oldest has left')

  const other = await (await clear.dial(t)).open()
  t.equal(await ask(other, 1, '40', plain('x'), plain('one')), 'one')
  t.equal(await ask(other, 3, '7e 7f e1 1f', Buffer.alloc(4192, 'y')), 'y'.repeat(4192), 'larger than the table')
  other.send(request(5, fields, 'be'))
  t.same(await verdict(other, broken), broken, 'nothing is left')
})

t.test('4.1 tables agree whatever becomes of a block: malformed, refused, too late, too large', async (t) => {
  const entry = (value: string): Buffer => joined('40', plain('x'), plain(value))
  const client = await (await clear.dial(t)).open()
  client.send(request(1, block([['X', 'y']]), fields, entry('malformed')))
  await client.next(({ type }) => type === TYPE.reset)
  t.equal(await ask(client, 3, 'be'), 'malformed')
  client.send(
    headers(5, POST, FLAG.endHeaders),
    headers(7, POST, FLAG.endHeaders),
    request(9, fields, entry('refused')),
  )
  await client.next(({ type, stream }) => type === TYPE.reset && stream === 9)
  client.send(frame(TYPE.headers, 5, 9, entry('late')), data(5, ''), data(7, ''))
  await client.status(7)
  await client.fence()
  t.equal(await ask(client, 11, 'be'), 'late')
  t.equal(await ask(client, 13, 'bf'), 'refused')
  client.send(request(15, block(Array.from({ length: 200 }, (_, i) => [`a${i}`, 'b'])), entry('large')))
  t.equal(await client.status(15), 431)
  t.equal(await ask(client, 17, 'be'), 'large')
})

t.test('6.5.2 a client that allows no table gets answers without one, and is told so', async (t) => {
  const client = await (await clear.dial(t)).open(setting(1, 0))
  for (const stream of [1, 3]) {
    client.send(headers(stream, GET))
    const head = await client.next(({ type }) => type === TYPE.headers)
    const bytes = head?.payload ?? Buffer.alloc(0)
    t.equal(bytes[0] === 0x20, stream === 1, 'the first block begins with the change')
    fieldBlock.begin(65_536, 100)
    t.ok(new HpackDecoder(0).decode(bytes, 0, bytes.length, fieldBlock))
  }
  client.send(
    frame(TYPE.settings, 0, 0, setting(1, 100)),
    frame(TYPE.settings, 0, 0, setting(1, 4096)),
    headers(5, GET),
  )
  const head = await client.next(({ type }) => type === TYPE.headers)
  t.equal(head?.payload.subarray(0, 5).toString('hex'), '3f453fe11f', 'up again')
  client.send(frame(TYPE.settings, 0, 0, setting(1, 0)), frame(TYPE.settings, 0, 0, setting(1, 4096)), headers(7, GET))
  const last = await client.next(({ type }) => type === TYPE.headers)
  t.equal(last?.payload.subarray(0, 4).toString('hex'), '203fe11f', 'the least size in between is told too')
})

t.test('4.3.1 a smaller table of ours holds from its acknowledgement on, and the client says so first', async (t) => {
  const { fronts } = await startFronts(t, backend, { headerTable: 0 })
  for (const { name, dial } of fronts) {
    const early = await dial(t)
    early.send(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(TYPE.settings, 0, 0))
    early.send(request(1, fields, '40', plain('x'), plain('early')), request(3, fields, 'be'))
    t.equal(await early.status(3), 200, `${name}: a client that does not know yet may use 4 KiB`)
    early.send(frame(TYPE.settings, FLAG.ack, 0), request(5, '20', fields))
    t.equal(await early.status(5), 200)
    early.send(request(7, '20', fields, 'be'))
    t.same(await verdict(early, broken), broken, `${name}: and has none afterwards`)

    const silent = await (await dial(t)).open()
    silent.send(request(1, fields))
    t.same(await verdict(silent, broken), broken, `${name}: who does not tell has not understood`)
    const larger = await (await dial(t)).open()
    larger.send(request(1, '3f e1 1f', fields))
    t.same(await verdict(larger, broken), broken, `${name}: nor who takes more`)
  }
})

t.test('a larger table of ours is there for who asks for it', async (t) => {
  const { fronts } = await startFronts(t, backend, { headerTable: '16KiB' })
  for (const { name, dial } of fronts) {
    const client = await (await dial(t)).open()
    client.send(request(1, '3f e1 7f', fields))
    t.equal(await client.status(1), 200, name)
    client.send(request(3, '3f e2 7f', fields))
    t.same(await verdict(client, broken), broken, `${name}: and no more`)
  }
})

t.test('the balancer has lived through all of it', async (t) => {
  t.equal((await balancer.get('/livez')).status, 200)
  t.same(backend.faults, [])
})
