/** Addresses as text: what is read, what is refused with which sentence, and that text and address go both ways. */
import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { formatAddress, parseAddressRange } from '../../lib/core/index.ts'

const READ: Readonly<Record<string, readonly [host: string, first: number, last: number]>> = {
  '10.0.0.1:80': ['10.0.0.1', 80, 80],
  '0.0.0.0:0': ['0.0.0.0', 0, 0],
  '127.0.0.1:65535': ['127.0.0.1', 65_535, 65_535],
  '127.0.0.1:0080': ['127.0.0.1', 80, 80],
  '[::1]:80': ['::1', 80, 80],
  '[::]:8443': ['::', 8443, 8443],
  '[fe80::1%eth0]:80': ['fe80::1%eth0', 80, 80],
  '[::ffff:10.0.0.1]:80': ['::ffff:10.0.0.1', 80, 80],
  '10.0.0.1:8000-8010': ['10.0.0.1', 8000, 8010],
  '10.0.0.1:8000-8000': ['10.0.0.1', 8000, 8000],
  '[2001:db8::7]:1-65535': ['2001:db8::7', 1, 65_535],
}
for (const [text, [host, first, last]] of Object.entries(READ))
  t.test(`${text} is read`, (t) => {
    t.same(parseAddressRange(text), { host, first, last })
    t.end()
  })

const NO_ADDRESS = / is not an address and port; write 10\.0\.0\.1:80 or \[::1\]:80$/
const REFUSED: Readonly<Record<string, RegExp>> = {
  '': NO_ADDRESS,
  '10.0.0.1': NO_ADDRESS,
  '10.0.0.1:': NO_ADDRESS,
  '80': NO_ADDRESS,
  '::1:80': NO_ADDRESS,
  '::1': NO_ADDRESS,
  '[::1]': NO_ADDRESS,
  '[::1:80': NO_ADDRESS,
  '10.0.0.1:80 ': NO_ADDRESS,
  ' 10.0.0.1:80': /^" 10\.0\.0\.1" is not an IP address/,
  '10.0.0.1:80\n': NO_ADDRESS,
  '10.0.0.1:+80': NO_ADDRESS,
  '10.0.0.1:-80': NO_ADDRESS,
  '10.0.0.1:80-': NO_ADDRESS,
  '10.0.0.1:80-90-100': NO_ADDRESS,
  '10.0.0.1:0x50': NO_ADDRESS,
  '10.0.0.1:8e1': NO_ADDRESS,
  '10.0.0.1:1234567890': NO_ADDRESS,
  'tcp://10.0.0.1:80': NO_ADDRESS,
  ':80': /^"" is not an IP address/,
  '[]:80': /^"" is not an IP address/,
  'localhost:80': /^"localhost" is not an IP address; write/,
  '10.0.0:80': /^"10\.0\.0" is not an IP address/,
  '10.0.0.256:80': /^"10\.0\.0\.256" is not an IP address/,
  '010.0.0.1:80': /^"010\.0\.0\.1" is not an IP address/,
  '[::g]:80': /^"::g" is not an IP address/,
  '*:80': /^"\*" is not an IP address/,
  '[10.0.0.1]:80': /^an IPv4 address stands without brackets: 10\.0\.0\.1:80$/,
  '10.0.0.1:65536': /^port 65536 is above 65535$/,
  '10.0.0.1:80-70000': /^port 70000 is above 65535$/,
  '10.0.0.1:90-80': /^the range 90-80 runs backwards$/,
  '10.0.0.1:0-10': /^a range of ports starts at 1 or above$/,
}
for (const [text, sentence] of Object.entries(REFUSED))
  t.test(`${JSON.stringify(text)} is refused with a sentence`, (t) => {
    t.match(parseAddressRange(text), sentence)
    t.end()
  })

t.test('an IPv6 address stands in brackets before its port', (t) => {
  t.equal(formatAddress('10.0.0.1', 80), '10.0.0.1:80')
  t.equal(formatAddress('::1', 80), '[::1]:80')
  t.end()
})

t.test('what is formatted is read as the same address', (t) => {
  const host = fc.oneof(
    fc.ipV4(),
    fc.ipV6().filter((text) => isIPv6(text)),
  )
  fc.assert(
    fc.property(host, fc.nat(65_535), (host, port) => {
      const read = parseAddressRange(formatAddress(host, port))
      return typeof read === 'object' && read.host === host && read.first === port && read.last === port
    }),
  )
  t.end()
})

t.test('whatever the text, the answer is a range or a sentence', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.:[\]\-a-f]{0,30}$/)), (text) => {
      const read = parseAddressRange(text)
      if (typeof read === 'string') return read.length > 0
      return read.first >= 0 && read.last >= read.first && read.last <= 65_535
    }),
    { numRuns: 1000 },
  )
  t.end()
})
