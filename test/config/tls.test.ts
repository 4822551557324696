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

const BACKENDS: [lines: string, message: RegExp][] = [
  ['backendTls: { cert: a }', /backendTls\.key: is missing: cert needs it/],
  ['backendTls: { pins: [abc] }', /pins\[0\]: "abc" is not the base64 of a SHA-256/],
  [`backendTls: { insecureSkipVerify: true, pins: ["${'A'.repeat(43)}="] }`, /pins: would not be looked at/],
  ['backendTls: {}, sendProxy: v2', /backendTls: is not available yet beside sendProxy/],
]
for (const [lines, message] of BACKENDS)
  t.test(`refused: ${lines}`, async (t) => {
    const text = lines.split(', sendProxy').join('\n    sendProxy')
    t.match((await toldOf(file(service('a', `    ${text}\n`, undefined, 'http')))).join('\n'), message)
  })

t.test('backends that are not verified, and probes in clear text, are warned of', async (t) => {
  const lines = '    backendTls: { insecureSkipVerify: true }\n    health: { type: http }\n'
  const result = await loadConfigText(file(service('a', lines, undefined, 'http')), 'test.yaml')
  t.match(result, { ok: true, warnings: [{ message: /anybody in the path/ }, { message: /write https/ }] })
})

t.test('probes believe whom flows believe, unless they are told otherwise', async (t) => {
  const of = async (probe: string) => {
    const tls = '    backendTls: { ca: a.pem, serverName: a.test }\n'
    const config = await configFrom(
      file(service('a', `${tls}    health: { type: https${probe} }\n`, undefined, 'http')),
    )
    return config.virtualServices['a']?.health.tls
  }
  t.match(await of(''), { ca: `${process.cwd()}/a.pem`, serverName: 'a.test', insecureSkipVerify: false })
  t.match(await of(', tls: { ca: b.pem, serverName: b.test }'), { ca: `${process.cwd()}/b.pem`, serverName: 'b.test' })
  t.equal((await of(', tls: { insecureSkipVerify: true }'))?.ca, undefined)
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
