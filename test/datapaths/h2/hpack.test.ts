/** HPACK: the examples of RFC 7541 Appendix C, and what must hold of any fields. */

import { once } from 'node:events'
import { createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { encodeHuffman, ReferenceDecoder, readHuffman } from '../../../fuzz/reference/hpack.ts'
import { fieldBlock, memory } from '../../../lib/datapaths/h2/field-block.ts'
import { HpackDecoder } from '../../../lib/datapaths/h2/hpack-decoder.ts'
import { encodedAtMost, HpackEncoder } from '../../../lib/datapaths/h2/hpack-encoder.ts'
import { decodedAtMost, decodeHuffman } from '../../../lib/datapaths/h2/huffman.ts'
import { block, dial, frame, GET, TYPE } from '../../h2/fixtures/client.ts'

type Pair = readonly [string, string]

function decode(decoder: HpackDecoder, bytes: Buffer): Pair[] | null {
  fieldBlock.begin(65_536, 1000)
  if (!decoder.decode(bytes, 0, bytes.length, fieldBlock)) return null
  return Array.from({ length: fieldBlock.count }, (_, i) => [
    memory.latin1Slice(fieldBlock.nameStart(i), fieldBlock.nameEnd(i)),
    memory.latin1Slice(fieldBlock.valueStart(i), fieldBlock.valueEnd(i)),
  ])
}

const FIRST: Pair[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'www.example.com'],
]
const THIRD: Pair[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/index.html'],
  [':authority', 'www.example.com'],
  ['custom-key', 'custom-value'],
]
const DATE = 'Mon, 21 Oct 2013 20:13:2'
const answer = (status: string, second: number): Pair[] => [
  [':status', status],
  ['cache-control', 'private'],
  ['date', `${DATE}${second} GMT`],
  ['location', 'https://www.example.com'],
]
const LAST: Pair[] = [
  [':status', '200'],
  ['cache-control', 'private'],
  ['date', `${DATE}2 GMT`],
  ['location', 'https://www.example.com'],
  ['content-encoding', 'gzip'],
  ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
]

/** Blocks of one connection, one after the other. */
const EXAMPLES: Record<string, { table: number; blocks: readonly (readonly [string, readonly Pair[]])[] }> = {
  'C.2': {
    table: 4096,
    blocks: [
      ['400a637573746f6d2d6b65790d637573746f6d2d686561646572', [['custom-key', 'custom-header']]],
      ['040c2f73616d706c652f70617468', [[':path', '/sample/path']]],
      ['100870617373776f726406736563726574', [['password', 'secret']]],
      ['82', [[':method', 'GET']]],
    ],
  },
  'C.3 requests without Huffman coding': {
    table: 4096,
    blocks: [
      ['828684410f7777772e6578616d706c652e636f6d', FIRST],
      ['828684be58086e6f2d6361636865', [...FIRST, ['cache-control', 'no-cache']]],
      ['828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565', THIRD],
    ],
  },
  'C.4 requests with it': {
    table: 4096,
    blocks: [
      ['828684418cf1e3c2e5f23a6ba0ab90f4ff', FIRST],
      ['828684be5886a8eb10649cbf', [...FIRST, ['cache-control', 'no-cache']]],
      ['828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf', THIRD],
    ],
  },
  'C.5 answers in a table of 256 bytes': {
    table: 256,
    blocks: [
      [
        '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d',
        answer('302', 1),
      ],
      ['4803333037c1c0bf', answer('307', 1)],
      [
        '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
        LAST,
      ],
    ],
  },
  'C.6 the same with Huffman coding': {
    table: 256,
    blocks: [
      [
        '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
        answer('302', 1),
      ],
      ['4883640effc1c0bf', answer('307', 1)],
      [
        '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
        LAST,
      ],
    ],
  },
}

for (const [title, { table, blocks }] of Object.entries(EXAMPLES))
  t.test(`RFC 7541 ${title}`, async (t) => {
    const decoder = new HpackDecoder(table)
    for (const [hex, fields] of blocks) t.same(decode(decoder, Buffer.from(hex, 'hex')), fields)
  })

t.test('every byte has the code that another implementation knows', async (t) => {
  const seen: string[] = []
  const server = createServer()
  server.on('stream', (stream, headers) => {
    seen.push(String(headers['x-all']))
    stream.respond({ ':status': 200 })
    stream.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const client = await dial(t, (server.address() as AddressInfo).port)
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    .latin1Slice(0, 256)
    .replace(/[\0-\x20\x7f]/g, '') // what no value has
  const coded = encodeHuffman(all)
  const length = coded.length - 127
  const field = Buffer.concat([
    Buffer.from([0, 5]),
    Buffer.from('x-all'),
    Buffer.from([255, (length & 127) | 128, length >> 7]),
    coded,
  ])
  await client.open()
  client.send(frame(TYPE.headers, 5, 1, Buffer.concat([block(GET), field])))
  t.equal(await client.status(1), 200)
  t.same(seen, [all])
  const out = Buffer.alloc(decodedAtMost(coded.length))
  t.equal(out.latin1Slice(0, decodeHuffman(coded, 0, coded.length, out, 0)), all)
})

t.test('a Huffman string ends with at most seven ones', async (t) => {
  const out = Buffer.alloc(20)
  for (const [hex, right] of [
    ['1f', true],
    ['1fff', false],
    ['18', false],
    ['ffffffff', false],
    ['', true],
  ] as const)
    t.equal(decodeHuffman(Buffer.from(hex, 'hex'), 0, hex.length / 2, out, 0) >= 0, right, hex)
})

t.test('strings decode as a second reader has them, and any bytes as it does', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const input = Buffer.from(bytes)
      const out = Buffer.alloc(decodedAtMost(input.length))
      const end = decodeHuffman(input, 0, input.length, out, 0)
      const wanted = readHuffman(input)
      if ((end < 0 ? null : out.latin1Slice(0, end)) !== wanted) throw new Error(`got ${end}, not ${wanted}`)
    }),
  )
})

t.test('malformed blocks are refused', async (t) => {
  const refused = {
    'index 0': '80',
    'an index beyond the tables': 'be',
    'a name beyond the tables': '7e0161',
    'an integer without an end': '7fffffff',
    'an integer that is too large': 'ffffffffff0f',
    'a string without an end': '000561',
    'a string without a length': '0001',
    'a table larger than allowed': '3fe21f',
    'a change of size behind a field': '8220',
  }
  for (const [title, hex] of Object.entries(refused))
    t.equal(decode(new HpackDecoder(4096), Buffer.from(hex, 'hex')), null, title)
})

t.test('an entry larger than the table empties it', async (t) => {
  const decoder = new HpackDecoder(40)
  t.ok(decode(decoder, Buffer.from('40016101614001620162', 'hex')))
  t.same(decode(decoder, Buffer.from('be', 'hex')), [['b', 'b']])
  t.ok(decode(decoder, Buffer.concat([Buffer.from([0x40, 1, 0x63, 20]), Buffer.alloc(20, 'x')])))
  t.equal(decode(decoder, Buffer.from('be', 'hex')), null)
})

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/)
const value = fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/)
const common = fc.constantFrom<Pair>(
  ['Server', 'x'],
  ['Content-Type', 'text/html'],
  ['Set-Cookie', 'a=b'],
  ['date', 'today'],
  ['x-own', 'y'.repeat(300)],
)

t.test('what is encoded is decoded as it was, whatever comes again and however the table shrinks', async () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          fields: fc.array(fc.oneof(common, fc.tuple(name, value)), { maxLength: 12 }),
          status: fc.constantFrom(200, 204, 418, 503),
          allow: fc.option(fc.constantFrom(0, 40, 100, 300, 4096, 65_536), { nil: undefined, freq: 4 }),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      (answers) => {
        const encoder = new HpackEncoder()
        const decoder = new HpackDecoder(4096)
        const reference = new ReferenceDecoder(4096)
        for (const { fields, status, allow } of answers) {
          if (allow !== undefined) encoder.allow(allow)
          const text = fields.map((pair) => pair.join('')).join('')
          const out = Buffer.alloc(encodedAtMost(text.length, fields.length))
          const lines = Buffer.from(text, 'latin1')
          encoder.begin(out, 0, null)
          encoder.status(status)
          let at = 0
          for (const [n, v] of fields) {
            encoder.field(lines, at, at + n.length, at + n.length, at + n.length + v.length)
            at += n.length + v.length
          }
          const wanted = [[':status', String(status)], ...fields.map(([n, v]) => [n.toLowerCase(), v])]
          const block = out.subarray(0, encoder.at)
          if (JSON.stringify(decode(decoder, block)) !== JSON.stringify(wanted)) throw new Error('decoded otherwise')
          if (JSON.stringify(reference.decode(Buffer.from(block))) !== JSON.stringify(wanted))
            throw new Error('the reference decodes otherwise')
        }
      },
    ),
  )
})

t.test('cookies and credentials are never indexed (RFC 7541 §7.1.3), what comes again is', async (t) => {
  const encoder = new HpackEncoder()
  const out = Buffer.alloc(200)
  const sizes = ['set-cookie', 'www-authenticate', 'x-own'].map((n) => {
    let size = 0
    for (let i = 0; i < 3; i++) {
      encoder.begin(out, 0, null)
      const line = Buffer.from(`${n}value`)
      encoder.field(line, 0, n.length, n.length, line.length)
      size = encoder.at
      if (n !== 'x-own') t.equal((out[0] as number) & 0xf0, 0x10, n)
    }
    return size
  })
  t.equal(sizes[2], 1)
})
