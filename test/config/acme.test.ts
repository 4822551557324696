/** What may be said of certificates that are ordered, what is refused and what is warned of. */
import t from 'tap'
import { loadConfigText, redact } from '../../lib/config/index.ts'

interface Shape {
  readonly acme?: string
  readonly certificate?: string
  readonly http?: string
  readonly https?: string
}

const TERMS = '{ acceptTerms: true }'

const text = ({
  acme = TERMS,
  certificate = '{ acme: [shop.example.com] }',
  http = '0.0.0.0:80',
  https = '0.0.0.0:443',
}: Shape) => `
version: 1
appliance: {${acme === '' ? '' : ` acme: ${acme} `}}
virtualServices:
  web: { listen: ["${http}"], protocol: http, backends: ["10.0.0.1:80"] }
  shop:
    listen: ["${https}"]
    protocol: https
    tls: { certificates: [${certificate}] }
    backends: ["10.0.0.1:80"]
`

const load = (shape: Shape, env: Record<string, string> = {}) =>
  loadConfigText(text(shape), '/etc/evenkeel/a.yaml', { env })

async function told(shape: Shape): Promise<string[]> {
  const result = await load(shape)
  return (result.ok ? result.warnings : result.problems).map(({ path, message }) => `${path}: ${message}`)
}

t.test('names and an agreement are enough', async (t) => {
  const result = await load({})
  t.match(result, { ok: true, warnings: { length: 0 } })
  if (!result.ok) return
  const { acme } = result.config.appliance
  t.match(acme, {
    directory: 'https://acme-v02.api.letsencrypt.org/directory',
    challenge: 'http-01',
    folder: '/etc/evenkeel/state/acme',
  })
  t.match(result.config.virtualServices['shop']?.tls?.certificates, [{ acme: ['shop.example.com'] }])
})

t.test('the key that binds an account is shown to nobody', async (t) => {
  const env = { EAB: 'c2VjcmV0c2VjcmV0c2VjcmV0' }
  const result = await load({ acme: `{ acceptTerms: true, eab: { kid: me, secret: "\${EAB}" } }` }, env)
  t.equal(result.ok && result.config.appliance.acme?.eab?.secret, env.EAB)
  t.notMatch(JSON.stringify(result.ok && redact(result.config)), env.EAB)
})

const REFUSED: readonly (readonly [shape: Shape, message: RegExp])[] = [
  [{ acme: '' }, /certificates\[0\]\.acme: needs appliance\.acme: \{ acceptTerms: true \}/],
  [{ acme: '{ email: a@b.example }' }, /acme\.acceptTerms: .*you have read the authority's terms of service and agree/],
  [{ acme: '{ acceptTerms: false }' }, /acceptTerms: must be true/],
  [
    { acme: '{ acceptTerms: true, directory: zerossl }' },
    /zerossl is neither letsencrypt, letsencrypt-staging nor the https URL/,
  ],
  [{ acme: '{ acceptTerms: true, directory: "http://a.test/dir" }' }, /is neither .* https URL/],
  [{ acme: '{ acceptTerms: true, challenge: dns-01 }' }, /"dns-01" is not one of http-01, tls-alpn-01/],
  [{ acme: '{ acceptTerms: true, email: me }' }, /is not an address such as ops@example\.com/],
  [{ acme: '{ acceptTerms: true, eab: { kid: a, secret: "not base64 at all" } }' }, /is not a key in base64url/],
  [{ certificate: '{ acme: ["*.example.com"] }' }, /has a wildcard, .* name each host/],
  [{ certificate: '{ acme: [localhost] }' }, /"localhost" is not a host name such as shop\.example\.com/],
  [{ certificate: '{ acme: ["10.0.0.1"] }' }, /"10\.0\.0\.1" is not a host name/],
  [{ certificate: '{ acme: [] }' }, /certificates\[0\]\.acme/],
  [{ certificate: '{ acme: [a.test], cert: a.pem }' }, /\.cert: stands beside acme; give one of them/],
  [{ certificate: '{ acme: [a.test], pfx: a.p12 }' }, /\.pfx: stands beside acme/],
  [{ certificate: '{ acme: [a.test], keyType: dsa }' }, /"dsa" is not one of ec, rsa/],
  [{ certificate: '{ cert: a, key: b, keyType: rsa }' }, /keyType: is for acme; a file has its key/],
]
for (const [shape, message] of REFUSED)
  t.test(`refused: ${JSON.stringify(shape)}`, async (t) => {
    t.equal((await load(shape)).ok, false)
    t.match((await told(shape)).join('\n'), message)
  })

const ALPN = '{ acceptTerms: true, challenge: tls-alpn-01 }'
const WARNED: readonly (readonly [shape: Shape, message: RegExp | null])[] = [
  [
    { http: '0.0.0.0:8080' },
    /^appliance\.acme\.challenge: http-01 is asked on port 80, where no service with protocol http listens/,
  ],
  [{ http: '0.0.0.0:70-90' }, null],
  [
    { acme: ALPN, https: '0.0.0.0:8443' },
    /tls-alpn-01 is asked on port 443, where no service with protocol https or tls listens/,
  ],
  [{ acme: ALPN, http: '0.0.0.0:8080' }, null],
  [{ certificate: '{ cert: a, key: b }' }, /^appliance\.acme: has no effect: no certificate is ordered/],
]
for (const [shape, message] of WARNED)
  t.test(`${message === null ? 'not ' : ''}warned of: ${JSON.stringify(shape)}`, async (t) => {
    t.equal((await load(shape)).ok, true)
    const all = await told(shape)
    if (message === null) t.same(all, [])
    else t.match(all[0], message)
  })
