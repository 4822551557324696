/** What the options of TLS join to, and what is refused of them. */
import t from 'tap'
import { loadConfigText } from '../../lib/config/index.ts'
import { configFrom, file, service, toldOf } from './support.ts'

const PAIR = 'certificates: [{ cert: c.pem, key: k.pem }]'
const https = (tls: string): string => file(service('a', `    tls: { ${tls} }\n`, undefined, 'https'))

const REFUSED: [tls: string, message: RegExp][] = [
  ['certificates: [{ cert: c.pem }]', /certificates\[0\]\.key: is missing: name the PEM file with the private key/],
  ['certificates: [{ key: k.pem }]', /certificates\[0\]\.cert: is missing: .* or give pfx/],
  ['certificates: [{ pfx: a.p12, cert: c.pem }]', /certificates\[0\]\.cert: is in the pfx already/],
  ['certificates: [{ pfx: a.p12, passphrase: a, passphraseFile: b }]', /passphraseFile: stands beside passphrase/],
  ['certificates: []', /one certificate is needed/],
  [`${PAIR}, ciphers: [AES128-SHA]`, /AES128-SHA has no forward secrecy/],
  [`${PAIR}, ciphers: [ECDHE-NONE]`, /ECDHE-NONE is not a suite that OpenSSL knows/],
  [`${PAIR}, curves: [X25518]`, /X25518 is not a group that this runtime knows/],
  [`${PAIR}, curves: ["X25519:P-256"]`, /is not a group that this runtime knows/],
  [`${PAIR}, clientAuth: require`, /clientCa: is missing: the authorities that sign/],
  [`${PAIR}, clientAuth: request, clientCa: c, clientAllow: [bob]`, /begins with CN=, DNS:, URI: or email:/],
  [`${PAIR}, profile: old`, /"old" is not one of modern, intermediate/],
]
for (const [tls, message] of REFUSED)
  t.test(`refused: ${tls}`, async (t) => {
    t.match((await toldOf(https(tls))).join('\n'), message)
  })

t.test('paths of certificates and keys are relative to the configuration', async (t) => {
  const { virtualServices } = await configFrom(https('certificates: [{ pfx: a.p12, passphraseFile: secret }]'))
  const [row] = virtualServices['a']?.tls?.certificates ?? []
  t.strictSame([row?.pfx, row?.passphraseFile], [`${process.cwd()}/a.p12`, `${process.cwd()}/secret`])
})

t.test('a suite with CBC is allowed and warned of', async (t) => {
  const result = await loadConfigText(https(`${PAIR}, ciphers: [ECDHE-RSA-AES128-SHA256]`), 'test.yaml')
  t.match(result, { ok: true, warnings: [{ message: /encrypts with CBC/ }] })
})

t.test('a passphrase is never shown', async (t) => {
  const told = await toldOf(https('certificates: [{ pfx: 1, passphrase: hunter2 }]'))
  t.notMatch(told.join(), 'hunter2')
})
