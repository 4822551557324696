/** Addresses as words: what is the same client, and what is not. */
import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { maskOf, readAddress } from '../../lib/affinity/address.ts'

const words = new Int32Array(4)
const textOf = (text: string): string =>
  `${readAddress(text, words)} ${[...words].map((n) => (n >>> 0).toString(16)).join(':')}`

t.test('an address is the same however it is written', (t) => {
  const rows: readonly (readonly string[])[] = [
    ['4 0:0:0:c0000201', '192.0.2.1', '::ffff:192.0.2.1', '::FFFF:c000:201', '0:0:0:0:0:ffff:192.0.2.1'],
    ['6 20010db8:0:0:1', '2001:db8::1', '2001:DB8:0:0::1', '2001:0db8:0000:0000:0000:0000:0000:0001'],
    ['6 0:0:0:1', '::1', '0:0:0:0:0:0:0:1'],
    ['6 0:0:0:0', '::'],
    ['6 fe800000:0:0:1', 'fe80::1%eth0', 'fe80::1'],
    ['6 10002:3:4:50006', '1:2:0:3:0:4:5:6', '1:2::3:0:4:5:6'],
    ['6 10000:0:0:0', '1::'],
    ['6 64ff9b:0:0:c0000201', '64:ff9b::192.0.2.1'],
    ['4 0:0:0:ffffffff', '255.255.255.255'],
  ]
  for (const [wanted, ...texts] of rows) for (const text of texts) t.equal(textOf(text), wanted, text)
  t.end()
})

t.test('what is no address has no family, and never throws', (t) => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '1..2.3',
    '.1.2.3',
    '1.2.3.',
    'a.b.c.d',
    '::::',
    ':',
    '1:2',
    'unknown',
  ])
    t.equal(readAddress(text, words), 0, text)
  fc.assert(
    fc.property(fc.oneof(fc.string({ maxLength: 50 }), fc.stringMatching(/^[0-9a-f:.]{0,45}$/)), (text) => {
      const family = readAddress(text, words)
      return family === 0 ? isIP(text) === 0 : true
    }),
  )
  t.end()
})

t.test('two addresses agree in their first bits exactly if they are in one network', (t) => {
  const sameNetwork = (a: string, b: string, bits: number, size: 4 | 6): boolean => {
    const list = new BlockList()
    list.addSubnet(a, bits, size === 4 ? 'ipv4' : 'ipv6')
    return list.check(b, size === 4 ? 'ipv4' : 'ipv6')
  }
  const masked = (text: string, bits: number): string => {
    const family = readAddress(text, words)
    const from = family === 4 ? 3 : 0
    return [...words].map((word, i) => (i < from ? 0 : word & maskOf(bits, i - from))).join()
  }
  const pair = fc.tuple(fc.ipV4(), fc.ipV4(), fc.integer({ min: 1, max: 32 }))
  fc.assert(fc.property(pair, ([a, b, bits]) => (masked(a, bits) === masked(b, bits)) === sameNetwork(a, b, bits, 4)))
  const near = fc.tuple(fc.nat(0xffff), fc.nat(0xffff), fc.integer({ min: 1, max: 128 }))
  fc.assert(
    fc.property(near, ([x, y, bits]) => {
      const [a, b] = [`2001:db8:${x.toString(16)}::${y.toString(16)}`, `2001:db8:${y.toString(16)}::${x.toString(16)}`]
      return (masked(a, bits) === masked(b, bits)) === sameNetwork(a, b, bits, 6)
    }),
  )
  t.end()
})
