/** What holds of every PROXY header: by splits, random bytes, and a round trip. */
import { deepStrictEqual, equal, partialDeepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { formatHeader, formatV1, formatV2 } from '../../lib/datapaths/proxy-protocol/format.ts'
import { parseHeader } from '../../lib/datapaths/proxy-protocol/parse.ts'
import { INET, INET6, PROXY, SIGNATURE, summed, TCP4, TCP6, tlv, UNIX, v2 } from './fixtures/headers.ts'

/** What the shortest prefix that decides says. */
function bySplits(bytes: Buffer, sizes: readonly number[]): unknown {
  let end = 0
  for (let i = 0; end < bytes.length; i++) {
    end = Math.min(bytes.length, end + (sizes[i % sizes.length] ?? 1))
    const result = parseHeader(bytes, end, 'any')
    if (result !== null) return result
  }
  return null
}

const tlvs = fc.array(
  fc.tuple(fc.oneof(fc.constantFrom(1, 2, 3, 4, 5, 0x20, 0x21), fc.nat(255)), fc.uint8Array({ maxLength: 140 })),
  { maxLength: 5 },
)
const v2Header = fc
  .tuple(
    fc.oneof({ weight: 8, arbitrary: fc.constantFrom(0x20, PROXY) }, fc.nat(255)),
    fc.oneof({ weight: 8, arbitrary: fc.constantFrom(0, TCP4, TCP6, 0x31, 0x12) }, fc.nat(255)),
    fc.oneof(fc.constantFrom(INET, INET6, UNIX), fc.uint8Array({ maxLength: 250 })),
    tlvs,
    fc.option(fc.nat(65_535), { nil: undefined, freq: 6 }),
  )
  .map(([command, family, addresses, parts, length]) =>
    v2(
      command,
      family,
      [Buffer.from(addresses), ...parts.map(([type, value]) => tlv(type, Buffer.from(value)))],
      length,
    ),
  )
const v1Text = fc
  .tuple(
    fc.constantFrom('PROXY TCP4 ', 'PROXY TCP6 ', 'PROXY UNKNOWN', 'PROXY ', 'PROX'),
    fc.string({ unit: fc.constantFrom('1', '0', '.', ':', ' ', 'f', '\r', '\n', '\0', '%', '\xff'), maxLength: 120 }),
    fc.constantFrom('\r\n', '\n', '\r', ''),
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'))
const anyBytes = fc.oneof(
  v2Header,
  v1Text,
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([SIGNATURE, bytes])),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom(summed([INET]), summed([INET], [tlv(2, 'a.test')])),
)

t.test('in whatever pieces bytes come, the verdict is the same, and nothing is thrown', async (t) => {
  let headers = 0
  fc.assert(
    fc.property(anyBytes, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }), (bytes, sizes) => {
      const whole = parseHeader(bytes, bytes.length, 'any')
      if (whole !== null && typeof whole !== 'string') headers++
      deepStrictEqual(bySplits(bytes, sizes), whole)
    }),
    { numRuns: 2000 },
  )
  t.ok(headers > 100, `${headers} of them were headers`)
})

t.test('what follows a header changes nothing, and is not counted in', async () => {
  fc.assert(
    fc.property(anyBytes, fc.uint8Array({ maxLength: 50 }), (bytes, more) => {
      const header = parseHeader(bytes, bytes.length, 'any')
      if (header === null || typeof header === 'string') return
      const longer = Buffer.concat([bytes.subarray(0, header.length), more])
      deepStrictEqual(parseHeader(longer, longer.length, 'any'), header)
    }),
    { numRuns: 1000 },
  )
})

t.test('no byte behind the end given is read', async () => {
  fc.assert(
    fc.property(anyBytes, fc.uint8Array({ minLength: 20, maxLength: 300 }), (bytes, more) => {
      const longer = Buffer.concat([bytes, more])
      deepStrictEqual(parseHeader(longer, bytes.length, 'any'), parseHeader(bytes, bytes.length, 'any'))
    }),
    { numRuns: 1000 },
  )
})

const port = fc.nat(65_535)
const v6Text = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) =>
  new URL(
    `http://[${Buffer.from(bytes)
      .toString('hex')
      .replace(/(.{4})(?=.)/g, '$1:')}]/`,
  ).hostname.slice(1, -1),
)
const sparseV6 = fc
  .array(fc.constantFrom('0', '0', '1', 'fe80'), { minLength: 8, maxLength: 8 })
  .map((groups) => new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1))
const address = fc.oneof(fc.ipV4(), v6Text, sparseV6)
const client = fc.record({
  remoteAddress: address,
  remotePort: port,
  localAddress: address,
  localPort: port,
  serverName: fc.oneof(fc.constant(''), fc.domain()),
})

t.test('what is written is read back: v1, v2, with and without a checksum', async () => {
  fc.assert(
    fc.property(client, fc.boolean(), (client, sum) => {
      const { serverName, ...ends } = client
      const line = Buffer.from(formatV1(client), 'latin1')
      partialDeepStrictEqual(parseHeader(line, line.length, 'v1'), { version: 'v1', length: line.length, ends })
      const bytes = formatV2(client, sum)
      partialDeepStrictEqual(parseHeader(bytes, bytes.length, 'v2'), {
        version: 'v2',
        length: bytes.length,
        ends,
        authority: serverName,
      })
      equal(bytes.includes(Buffer.from([3, 0, 4])) || !sum, true)
      deepStrictEqual(Buffer.from(formatHeader('v2', client), 'latin1'), formatV2(client, false))
    }),
    { numRuns: 500 },
  )
})

const told = { remotePort: 1, localPort: 2, serverName: '' }

t.test('ends of two families are told as two of IPv6', async (t) => {
  const mixed = { ...told, remoteAddress: '192.0.2.1', localAddress: '2001:db8::2' }
  t.equal(formatV1(mixed), 'PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n')
  t.strictSame(
    formatV2(mixed, false).subarray(12).toString('hex'),
    '2121' + '0024' + '00000000000000000000ffffc0000201' + '20010db8000000000000000000000002' + '0001' + '0002',
  )
})

t.test('the zone of a link-local address is not told', async (t) => {
  t.equal(
    formatV1({ ...told, remoteAddress: 'fe80::1%eth0', localAddress: 'fe80::2%eth0' }),
    'PROXY TCP6 fe80::1 fe80::2 1 2\r\n',
  )
})

t.test('a client whose address is not known is told as unknown', async (t) => {
  const unknown = { ...told, remoteAddress: '', localAddress: '192.0.2.1', serverName: 'a.test' }
  t.equal(formatV1(unknown), 'PROXY UNKNOWN\r\n')
  t.strictSame(formatV2(unknown, false), v2(PROXY, 0, []))
})
