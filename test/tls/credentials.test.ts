/** Certificate and key files: what is read from them, and the sentence for each way to get them wrong. */
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadCredentials } from '../../lib/tls/index.ts'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { encryptPkcs1, encryptPkcs8, makeFamily, makeWeakLeaf, publicPart, writeAll } from './fixtures/certificates.ts'

const family = await makeFamily()
const { root, intermediate, leaf } = family
const stranger = await makeLeaf(await makeAuthority('elsewhere', 30), ['localhost'], 7)
const old = await makeLeaf(root, ['localhost'], -0.01)
const weak = await makeWeakLeaf(root)
const dir = t.testdir({})
mkdirSync(join(dir, 'folder'))
const chain = leaf.cert + intermediate.cert
const der = Buffer.from(leaf.cert.replace(/-----[^-]+-----|\s/g, ''), 'base64')
const files = await writeAll(dir, {
  'chain.pem': chain,
  'chain-and-root.pem': chain + root.cert,
  'leaf.key': leaf.key,
  'all-in-one.pem': `subject: a comment\n${leaf.key}${chain}`,
  'leaf-last.pem': intermediate.cert + leaf.cert,
  'out-of-order.pem': leaf.cert + root.cert + intermediate.cert,
  'with-stranger.pem': chain + stranger.cert,
  'cut.pem': chain.slice(0, -200),
  'damaged.pem': leaf.cert.replace(/\n[^-]{60}/, '\nAAAA'),
  'damaged.key': leaf.key.replace(/\n[^-]{60}/, '\nAAAA'),
  'other.key': root.key,
  'pkcs8.key': encryptPkcs8(leaf.key),
  'pkcs1.key': encryptPkcs1(leaf.key),
  'public.pem': publicPart(leaf.key),
  'request.pem': '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
  'openssh.key': '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n',
  'empty.pem': '',
  'text.pem': 'this is no certificate\n',
  'der.pem': der,
  'large.pem': Buffer.alloc(2 * 1024 * 1024, 'x'),
  'old.pem': old.cert,
  'old.key': old.key,
  'weak.pem': weak.cert,
  'weak.key': weak.key,
})
const load = (cert: string, key: string) => loadCredentials({ cert: join(dir, cert), key: join(dir, key) })

t.test('a chain and its key are read into plain data', async (t) => {
  const credentials = await load('chain.pem', 'leaf.key')
  t.match(credentials, {
    names: ['localhost', '127.0.0.1'],
    issuer: 'O=evenkeel, CN=intermediate',
    fingerprint256: /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/,
    warnings: [],
  })
  t.ok(Math.abs(credentials.notAfter - (Date.now() + 20 * 86_400_000)) < 60_000, 'the end of the leaf, in milliseconds')
  t.strictSame(structuredClone(credentials), credentials)
  t.strictSame(JSON.parse(JSON.stringify(credentials)), credentials)
})

t.test('the root may follow the chain', async (t) => {
  t.strictSame((await load('chain-and-root.pem', 'leaf.key')).warnings, [])
})

t.test('certificate and key may share a file, and the key stays out of the certificate', async (t) => {
  const credentials = await load('all-in-one.pem', 'all-in-one.pem')
  t.strictSame(credentials, await load('chain.pem', 'leaf.key'))
  t.notMatch(credentials.cert, 'PRIVATE')
})

t.test('an expired certificate is a warning', async (t) => {
  const { warnings } = await load('old.pem', 'old.key')
  t.equal(warnings.length, 1)
  t.match(warnings[0], /old\.pem: the certificate of .* expired at 20.*Z; renew it/)
})

t.test('a certificate that is not part of the chain is a warning', async (t) => {
  t.match((await load('with-stranger.pem', 'leaf.key')).warnings, [/certificate 3 in .* did not issue any .*remove it/])
})

const REFUSED: [what: string, cert: string, key: string, message: RegExp][] = [
  ['a certificate file that is missing', 'none.pem', 'leaf.key', /certificate file .*none\.pem does not exist/],
  ['a key file that is missing', 'chain.pem', 'none.key', /key file .*none\.key does not exist/],
  ['a path through a file', 'chain.pem/x', 'leaf.key', /certificate file .* does not exist/],
  ['a folder', 'folder', 'leaf.key', /certificate file .*folder is not a file but a folder/],
  ['a file that is too large', 'large.pem', 'leaf.key', /large\.pem has 2097152 bytes; a PEM file has at most/],
  ['an empty file', 'empty.pem', 'leaf.key', /certificate file .*empty\.pem is empty/],
  ['text that is not PEM', 'text.pem', 'leaf.key', /text\.pem is not PEM; it should hold/],
  ['a key that is not PEM', 'chain.pem', 'text.pem', /key file .*text\.pem is not PEM/],
  ['DER', 'der.pem', 'leaf.key', /der\.pem is binary .*convert it with openssl x509/],
  ['a file that is cut off', 'cut.pem', 'leaf.key', /cut\.pem is cut off/],
  ['a damaged certificate', 'damaged.pem', 'leaf.key', /certificate 1 in .*damaged\.pem is damaged/],
  ['a damaged key', 'chain.pem', 'damaged.key', /the key in .*damaged\.key can't be used/],
  ['a signing request', 'request.pem', 'leaf.key', /request\.pem is a signing request/],
  ['cert and key swapped', 'leaf.key', 'chain.pem', /cert and key are swapped: .*leaf\.key holds the key/],
  ['a key for a certificate', 'leaf.key', 'leaf.key', /leaf\.key holds only a private key/],
  ['a certificate for a key', 'chain.pem', 'chain.pem', /chain\.pem holds certificate and no private key/],
  ['a public key for a key', 'chain.pem', 'public.pem', /public\.pem holds public key and no private key/],
  ['an OpenSSH key', 'chain.pem', 'openssh.key', /openssh\.key can't be used: .*OpenSSH key does not serve TLS/],
  ['an encrypted key', 'chain.pem', 'pkcs8.key', /pkcs8\.key is encrypted; write it without a passphrase/],
  ['an encrypted key of the older form', 'chain.pem', 'pkcs1.key', /pkcs1\.key is encrypted/],
  ["another certificate's key", 'chain.pem', 'other.key', /other\.key does not belong to .* \(O=evenkeel, CN=/],
  ['a leaf that is not first', 'leaf-last.pem', 'leaf.key', /the leaf is certificate 2, not the first; put it first/],
  [
    'a chain out of order',
    'out-of-order.pem',
    'leaf.key',
    /out of order: certificate 2 .*CN=root.* issued certificate 3/,
  ],
]

for (const [what, cert, key, message] of REFUSED) {
  t.test(`refused with its place and cause: ${what}`, async (t) => {
    const error = await load(cert, key).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    t.match(error, { code: 'TLS_CERTIFICATE', message })
    t.notMatch(String(error), /[A-Za-z0-9+/]{64}/, 'no key material in the sentence')
  })
}

t.test(
  'a file that this user may not read is refused',
  { skip: process.getuid?.() === 0 && 'root may read every file' },
  async (t) => {
    const dir = t.testdir({})
    const { closed } = await writeAll(dir, { closed: chain })
    chmodSync(closed, 0)
    await t.rejects(loadCredentials({ cert: closed, key: files['leaf.key'] }), {
      code: 'TLS_CERTIFICATE',
      message: /may not be read by this user/,
    })
  },
)
