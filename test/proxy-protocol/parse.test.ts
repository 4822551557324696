/** What is a PROXY header, what it says, and what is none. */
import t from 'tap'
import { crc32c } from '../../lib/datapaths/proxy-protocol/crc32c.ts'
import { type Accepted, parseHeader } from '../../lib/datapaths/proxy-protocol/parse.ts'
import { INET, INET6, LOCAL, PROXY, SIGNATURE, summed, TCP4, TCP6, tlv, UNIX, v2 } from './fixtures/headers.ts'

const parse = (bytes: Buffer | string, accepted: Accepted = 'any') => {
  const buf = Buffer.from(bytes as string, 'latin1')
  return parseHeader(buf, buf.length, accepted)
}
const ends = (remoteAddress: string, remotePort: number, localAddress: string, localPort: number) => ({
  remoteAddress,
  remotePort,
  localAddress,
  localPort,
})
const V4_ENDS = ends('192.0.2.1', 1000, '198.51.100.2', 443)
const V6_ENDS = ends('2001:db8::1', 1000, '2001:db8:0:1::2', 443)

const V1_VALID: Record<string, object | null> = {
  'PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n': V4_ENDS,
  'PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n': ends(
    '255.255.255.255',
    65_535,
    '255.255.255.255',
    65_535,
  ),
  'PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n': ends('0.0.0.0', 0, '0.0.0.0', 0),
  'PROXY TCP6 2001:db8::1 2001:db8:0:1::2 1000 443\r\n': V6_ENDS,
  'PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 2001:DB8:0:1:0:0:0:2 1000 443\r\n': V6_ENDS,
  'PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1000 443\r\n': V4_ENDS,
  'PROXY TCP6 :: ::1 1 2\r\n': ends('::', 1, '::1', 2),
  'PROXY TCP6 1:0:0:2:0:0:0:3 1:2:3:4:5:6:7:0 1 2\r\n': ends('1:0:0:2::3', 1, '1:2:3:4:5:6:7:0', 2),
  'PROXY UNKNOWN\r\n': null,
  'PROXY UNKNOWN \r\n': null,
  'PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n': null,
  [`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`]: null, // 107 bytes
}
for (const [line, wanted] of Object.entries(V1_VALID))
  t.test(`v1: ${JSON.stringify(line)} is a header`, async (t) => {
    t.match(parse(line), { version: 'v1', length: line.length })
    t.strictSame((parse(`${line}GET /`) as { ends: unknown }).ends, wanted)
  })

const V1_INVALID: Record<string, string> = {
  'PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\n': 'the line ends with a bare LF',
  'PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\rX': 'the line has a bare CR',
  'PROXY TCP4  192.0.2.1 198.51.100.2 1000 443\r\n': 'the line has not two addresses and two ports',
  'PROXY TCP4 192.0.2.1 198.51.100.2 1000 443 \r\n': 'the line has not two addresses and two ports',
  'PROXY TCP4 192.0.2.1 198.51.100.2 1000\r\n': 'the line has not two addresses and two ports',
  'PROXY TCP4\t192.0.2.1 198.51.100.2 1000 443\r\n': 'the protocol is not TCP4, TCP6 or UNKNOWN',
  'PROXY TCP4 192.0.2.1 198.51.100.2 01000 443\r\n': 'a port is not a number from 0 to 65535',
  'PROXY TCP4 192.0.2.1 198.51.100.2 1000 65536\r\n': 'a port is not a number from 0 to 65535',
  'PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n': 'a port is not a number from 0 to 65535',
  'PROXY TCP4 192.0.2.1 198.51.100.2 1000 +443\r\n': 'a port is not a number from 0 to 65535',
  'PROXY TCP4 192.0.2.01 198.51.100.2 1000 443\r\n': 'an address is not one of TCP4',
  'PROXY TCP4 192.0.2.256 198.51.100.2 1000 443\r\n': 'an address is not one of TCP4',
  'PROXY TCP4 2001:db8::1 2001:db8::2 1000 443\r\n': 'an address is not one of TCP4',
  'PROXY TCP6 192.0.2.1 198.51.100.2 1000 443\r\n': 'an address is not one of TCP6',
  'PROXY TCP6 fe80::1%eth0 fe80::2 1000 443\r\n': 'an address is not one of TCP6',
  'PROXY TCP6 2001:db8::1::2 2001:db8::2 1000 443\r\n': 'an address is not one of TCP6',
  'PROXY UDP4 192.0.2.1 198.51.100.2 1000 443\r\n': 'the protocol is not TCP4, TCP6 or UNKNOWN',
  'PROXY tcp4 192.0.2.1 198.51.100.2 1000 443\r\n': 'the protocol is not TCP4, TCP6 or UNKNOWN',
  'PROXY UNKNOWNS\r\n': 'the protocol is not TCP4, TCP6 or UNKNOWN',
  'PROXY \r\n': 'the protocol is not TCP4, TCP6 or UNKNOWN',
  'proxy TCP4 192.0.2.1 198.51.100.2 1000 443\r\n': 'there is no PROXY header',
  'PROXYTCP4 192.0.2.1 198.51.100.2 1000 443\r\n': 'there is no PROXY header',
  'POST / HTTP/1.1\r\n': 'there is no PROXY header',
  'GET / HTTP/1.1\r\n': 'there is no PROXY header',
  [`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`]: 'the line is longer than 107 bytes',
  [`PROXY UNKNOWN ${'x'.repeat(1000)}`]: 'the line is longer than 107 bytes',
}
for (const [line, problem] of Object.entries(V1_INVALID))
  t.test(`v1: ${JSON.stringify(line)} is refused`, async (t) => {
    t.equal(parse(line), problem)
  })

const V2_VALID: Record<string, readonly [Buffer, object | null]> = {
  'TCP over IPv4': [v2(PROXY, TCP4, [INET]), V4_ENDS],
  'TCP over IPv6': [v2(PROXY, TCP6, [INET6]), V6_ENDS],
  'an IPv4 address mapped into IPv6': [
    v2(PROXY, TCP6, [
      Buffer.from(`00000000000000000000ffffc0000201${'00000000000000000000ffffc6336402'}03e801bb`, 'hex'),
    ]),
    V4_ENDS,
  ],
  'LOCAL without addresses': [v2(LOCAL, 0x00, []), null],
  'LOCAL with addresses': [v2(LOCAL, TCP4, [INET]), null],
  'LOCAL of a family that there is not': [v2(LOCAL, 0xff, [Buffer.from('anything')]), null],
  'a UNIX socket': [v2(PROXY, 0x31, [UNIX]), null],
  'UNIX datagrams': [v2(PROXY, 0x32, [UNIX]), null],
  'an unspecified family': [v2(PROXY, 0x00, []), null],
  'an unspecified family with bytes behind': [v2(PROXY, 0x00, [Buffer.from('\xff\xff\xff', 'latin1')]), null],
  'an unspecified transport': [v2(PROXY, 0x10, [INET]), null],
  'UDP over IPv4': [v2(PROXY, 0x12, [INET]), null],
  'UDP over IPv6': [v2(PROXY, 0x22, [INET6]), null],
  'a checksum': [summed([INET]), V4_ENDS],
  'a checksum between other TLVs': [summed([INET, tlv(4, 'padding')], [tlv(2, 'a.test')]), V4_ENDS],
  'TLVs that nobody knows': [
    v2(PROXY, TCP4, [INET, tlv(0xe5, 'x'.repeat(300)), tlv(0x30, 'ns'), tlv(0xff, '')]),
    V4_ENDS,
  ],
  'as many bytes as are taken': [v2(PROXY, TCP4, [INET, tlv(4, Buffer.alloc(4096 - 12 - 3))]), V4_ENDS],
}
for (const [title, [bytes, wanted]] of Object.entries(V2_VALID))
  t.test(`v2: ${title} is a header`, async (t) => {
    const header = parse(Buffer.concat([bytes, SIGNATURE]))
    t.match(header, { version: 'v2', length: bytes.length })
    t.strictSame((header as { ends: unknown }).ends, wanted)
  })

const ssl = (sub: Buffer): Buffer => tlv(0x20, Buffer.concat([Buffer.from([7, 0, 0, 0, 0]), sub]))

const V2_INVALID: Record<string, readonly [Buffer, string]> = {
  'version 1': [v2(0x11, TCP4, [INET]), 'the version is 1'],
  'version 3': [v2(0x31, TCP4, [INET]), 'the version is 3'],
  'another command': [v2(0x22, TCP4, [INET]), 'the command is 2'],
  'another family': [v2(PROXY, 0x41, [INET]), 'the family is 0x41'],
  'another transport': [v2(PROXY, 0x13, [INET]), 'the family is 0x13'],
  'addresses of IPv4 that lack a byte': [v2(PROXY, TCP4, [INET.subarray(1)]), 'the addresses are cut short'],
  'addresses of IPv6 that lack a byte': [v2(PROXY, TCP6, [INET6.subarray(1)]), 'the addresses are cut short'],
  'addresses of UNIX sockets that lack a byte': [v2(PROXY, 0x31, [UNIX.subarray(1)]), 'the addresses are cut short'],
  'a length of 0': [v2(PROXY, TCP4, [INET], 0), 'the addresses are cut short'],
  'more bytes than are taken': [v2(PROXY, TCP4, [INET], 4097), 'the header is longer than 4112 bytes'],
  'all bytes that a length can say': [v2(LOCAL, 0, [], 65_535), 'the header is longer than 4112 bytes'],
  'a TLV without a length': [v2(PROXY, TCP4, [INET, Buffer.from([4, 0])]), 'a TLV is cut short'],
  'a TLV of one byte': [v2(PROXY, TCP4, [INET, Buffer.from([4])]), 'a TLV is cut short'],
  'a TLV past the end': [
    v2(PROXY, TCP4, [INET, tlv(2, 'a.test', 7)]),
    "a TLV of type 0x2 reaches past the header's end",
  ],
  'a TLV far past the end': [
    v2(PROXY, TCP4, [INET, tlv(0xe0, '', 65_535)]),
    "a TLV of type 0xe0 reaches past the header's end",
  ],
  'a wrong checksum': [v2(PROXY, TCP4, [INET, tlv(3, 'abcd')]), 'the checksum is wrong'],
  'a checksum of three bytes': [v2(PROXY, TCP4, [INET, tlv(3, 'abc')]), 'the checksum has not four bytes'],
  'a checksum of five bytes': [v2(PROXY, TCP4, [INET, tlv(3, 'abcde')]), 'the checksum has not four bytes'],
  'two checksums': [summed([INET], [tlv(3, Buffer.alloc(4))]), 'there are two checksums'],
  'a wrong checksum of a UNIX socket': [v2(PROXY, 0x31, [UNIX, tlv(3, 'abcd')]), 'the checksum is wrong'],
  'a unique id of 129 bytes': [
    v2(PROXY, TCP4, [INET, tlv(5, Buffer.alloc(129))]),
    'the unique id is longer than 128 bytes',
  ],
  'a TLV about TLS of four bytes': [v2(PROXY, TCP4, [INET, tlv(0x20, '\x01\0\0\0')]), 'the TLV about TLS is cut short'],
  'a TLV in the TLV about TLS that is cut': [
    v2(PROXY, TCP4, [INET, ssl(Buffer.from([0x21, 0]))]),
    'a TLV is cut short',
  ],
  'a TLV in the TLV about TLS that reaches past it': [
    v2(PROXY, TCP4, [INET, ssl(tlv(0x21, 'TLSv1.3', 8)), tlv(4, 'padding')]),
    "a TLV of type 0x21 reaches past the header's end",
  ],
  'another signature': [v2(PROXY, TCP4, [INET]).fill('X', 11, 12), 'there is no PROXY header'],
}
for (const [title, [bytes, problem]] of Object.entries(V2_INVALID))
  t.test(`v2: ${title} is refused`, async (t) => {
    t.equal(parse(bytes), problem)
  })

t.test('one flipped bit anywhere in a header with a checksum is noticed', async (t) => {
  const good = summed([INET, tlv(2, 'a.test')])
  const unnoticed: number[] = []
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bytes = Buffer.from(good)
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    const header = parse(bytes)
    if (header !== null && typeof header !== 'string' && header.ends !== null) unnoticed.push(bit)
  }
  // A header whose checksum is out of sight has none, as most have: cut off by the length, or of a type that it is not.
  const cut = 15 * 8 + 4 // 28 bytes become 12
  const type = (16 + INET.length + 3 + 6) * 8
  t.strictSame(
    unnoticed.filter((bit) => bit !== cut && (bit < type || bit >= type + 8)),
    [],
  )
})

t.test('TLVs are told', async (t) => {
  const tls = [tlv(0x21, 'TLSv1.3'), tlv(0x22, 'client'), tlv(0x23, 'TLS_AES_128_GCM_SHA256'), tlv(0x24, 'SHA256')]
  const bytes = v2(PROXY, TCP4, [INET, tlv(1, 'h2'), tlv(2, 'a.test'), tlv(5, '\x00\xff'), ssl(Buffer.concat(tls))])
  t.match(parse(bytes), {
    alpn: 'h2',
    authority: 'a.test',
    uniqueId: '\x00\xff',
    ssl: { client: 7, verified: true, version: 'TLSv1.3', commonName: 'client', cipher: 'TLS_AES_128_GCM_SHA256' },
  })
})

t.test('a version that is not accepted is refused by its first byte', async (t) => {
  t.equal(parse('P', 'v2'), 'version 1 is not accepted here')
  t.equal(parse('\r', 'v1'), 'version 2 is not accepted here')
  t.equal(parse('P', 'v1'), null)
  t.equal(parse('\r', 'v2'), null)
})

t.test('a header that has not all come is waited for, byte by byte', async (t) => {
  for (const whole of [Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n'), summed([INET])]) {
    for (let size = 0; size < whole.length; size++) t.equal(parse(whole.subarray(0, size)), null, `${size} bytes`)
    t.type(parse(whole), Object)
  }
})

t.test('the checksum is CRC-32C', async (t) => {
  t.equal(crc32c(Buffer.from('123456789'), 0, 9, -4), 0xe306_9283)
  t.equal(crc32c(Buffer.alloc(32), 0, 32, -4), 0x8a91_36aa) // RFC 3720, B.4
  t.equal(
    crc32c(Buffer.alloc(32, 'xyz'), 0, 32, 0),
    crc32c(Buffer.concat([Buffer.alloc(4), Buffer.alloc(32, 'xyz').subarray(4)]), 0, 32, -4),
  )
})
