/** Which key is sure to serve a client, by what it says of itself. */
import fc from 'fast-check'
import t from 'tap'
import { type Offer, offerIn, serves } from '../../lib/tls/offer.ts'
import { protocolOf } from '../../lib/tls/protocol.ts'
import { helloMessage, sni } from '../sni/fixtures/hello.ts'

const { ciphers } = protocolOf({ profile: 'intermediate' })
const modern: Offer = { versions: [0x0304, 0x0303], suites: [0x1301], groups: [29, 23], signatures: [0x0403, 0x0804] }
const older: Offer = { versions: [], suites: [0xc02b, 0xc02f], groups: [29, 23], signatures: [0x0403, 0x0401] }

const ROWS: readonly (readonly [title: string, offer: Offer, ec: boolean, rsa: boolean])[] = [
  ['TLS 1.3 with all', modern, true, true],
  ['TLS 1.3 without ECDSA', { ...modern, signatures: [0x0804] }, false, true],
  ['TLS 1.3 with ECDSA over another curve', { ...modern, signatures: [0x0503, 0x0804] }, false, true],
  ['TLS 1.3 with PKCS #1 alone, which it has for certificates only', { ...modern, signatures: [0x0401] }, false, false],
  ['TLS 1.3 without a suite of ours', { ...modern, suites: [0x1304] }, false, false],
  ['TLS 1.2 with all', older, true, true],
  ['TLS 1.2 with suites for RSA alone', { ...older, suites: [0xc02f] }, false, true],
  ['TLS 1.2 without the group of the key', { ...older, groups: [29] }, false, true],
  ['TLS 1.2 without a list of signatures', { ...older, signatures: [] }, false, false],
  ['nothing', { versions: [], suites: [], groups: [], signatures: [] }, false, false],
]
for (const [title, offer, ec, rsa] of ROWS)
  t.test(title, async (t) => {
    t.equal(serves('ec prime256v1', ciphers, offer), ec, 'ECDSA')
    t.equal(serves('rsa', ciphers, offer), rsa, 'RSA')
    t.equal(serves('ed25519', ciphers, offer), false, 'a kind that nobody thought of')
  })

t.test('suites that are not ours to speak do not count', async (t) => {
  t.equal(serves('rsa', 'TLS_AES_256_GCM_SHA384', modern), false)
  t.equal(serves('rsa', 'ECDHE-ECDSA-AES128-GCM-SHA256', older), false)
})

t.test('no hello makes it throw', async (t) => {
  const hello = helloMessage([sni('a.test')]).subarray(4)
  t.strictSame(offerIn(hello).versions, [0x0304, 0x0303])
  fc.assert(
    fc.property(fc.nat(hello.length - 1), fc.nat(255), fc.nat(hello.length), (at, byte, end) => {
      const damaged = Buffer.from(hello)
      damaged[at] = byte
      return Array.isArray(offerIn(damaged.subarray(0, end)).suites)
    }),
    { numRuns: 1000 },
  )
})
