/** Certificates for localhost: made once, kept while good, made again when not. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type DevelopmentOptions, ensureDevelopmentCertificate } from '../../lib/tls/index.ts'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'

const contents = (dir: string): Record<string, string> =>
  Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'utf8')]))

/** A folder with a good certificate, and its four files. */
async function good(t: Test, options?: DevelopmentOptions) {
  const dir = join(t.testdir({}), 'certs')
  const made = await ensureDevelopmentCertificate(dir, options)
  return { dir, made, before: contents(dir) }
}

t.test('the first start makes a chain that node:crypto accepts for localhost', async (t) => {
  const { made } = await good(t, { names: ['shop.test', '*.shop.test'], ips: ['10.1.2.3'] })
  t.equal(made.created, true)
  const chain = readFileSync(made.cert, 'utf8')
  const ca = new X509Certificate(readFileSync(made.ca))
  const leaf = new X509Certificate(chain)
  t.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca) && ca.verify(ca.publicKey), 'signed by the authority')
  t.ok(leaf.checkPrivateKey(createPrivateKey(readFileSync(made.key))), 'the key belongs to it')
  for (const name of ['localhost', 'shop.test', 'www.shop.test']) t.ok(leaf.checkHost(name), name)
  for (const ip of ['127.0.0.1', '::1', '10.1.2.3']) t.ok(leaf.checkIP(ip), ip)
  t.equal(leaf.checkHost('example.com'), undefined)
  t.match([ca.ca, leaf.ca], [true, false])
  t.strictSame(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'], 'extended key usage: server authentication only')
  t.equal(leaf.publicKey.asymmetricKeyDetails?.modulusLength, 2048)
  t.ok(chain.endsWith(ca.toString()), 'the authority follows the leaf')
  t.match(leaf.serialNumber, /^[4-7][0-9A-F]{31}$/, '16 bytes, positive')
  t.not(leaf.serialNumber, ca.serialNumber)
})

t.test('keys are for the owner only, and no half-written file stays behind', async (t) => {
  const { dir } = await good(t)
  const mode = (name: string) => (statSync(join(dir, name)).mode & 0o777).toString(8)
  t.strictSame(readdirSync(dir).sort(), ['ca.key', 'ca.pem', 'localhost.key', 'localhost.pem'])
  t.strictSame([mode('.'), mode('ca.key'), mode('localhost.key')], ['700', '600', '600'])
})

t.test('a good pair is left alone', async (t) => {
  const { dir, made, before } = await good(t)
  t.strictSame(await ensureDevelopmentCertificate(dir), { ...made, created: false })
  t.strictSame(contents(dir), before)
})

t.test("a good pair is left alone when the authority's key was taken off the machine", async (t) => {
  const { dir } = await good(t)
  rmSync(join(dir, 'ca.key'))
  t.equal((await ensureDevelopmentCertificate(dir)).created, false)
})

const DAMAGE: Record<string, (dir: string, before: Record<string, string>) => Promise<void> | void> = {
  'the certificate is missing': (dir) => rmSync(join(dir, 'localhost.pem')),
  'the key is missing': (dir) => rmSync(join(dir, 'localhost.key')),
  'the certificate is cut off': (dir, before) =>
    writeFileSync(join(dir, 'localhost.pem'), before['localhost.pem']?.slice(0, 700) ?? ''),
  'the chain is cut off': (dir, before) =>
    writeFileSync(join(dir, 'localhost.pem'), before['localhost.pem']?.slice(0, -100) ?? ''),
  'the key is empty': (dir) => writeFileSync(join(dir, 'localhost.key'), ''),
  'the key is of another pair': (dir, before) => writeFileSync(join(dir, 'localhost.key'), before['ca.key'] ?? ''),
  'the certificate is expired': async (dir, before) => {
    const authority = { cert: before['ca.pem'] ?? '', key: before['ca.key'] ?? '' }
    const old = await makeLeaf(authority, ['localhost', '127.0.0.1', '::1'], -0.01)
    writeFileSync(join(dir, 'localhost.pem'), old.cert + authority.cert)
    writeFileSync(join(dir, 'localhost.key'), old.key)
  },
}

for (const [what, damage] of Object.entries(DAMAGE)) {
  t.test(`when ${what}, the pair is made again under the same authority`, async (t) => {
    const { dir, before } = await good(t)
    await damage(dir, before)
    t.equal((await ensureDevelopmentCertificate(dir)).created, true)
    const after = contents(dir)
    t.equal(after['ca.pem'], before['ca.pem'])
    t.not(after['localhost.pem'], before['localhost.pem'])
    t.equal((await ensureDevelopmentCertificate(dir)).created, false, 'and is good then')
  })
}

t.test('a name that the certificate lacks makes it anew, and it keeps covering localhost', async (t) => {
  const { dir, made } = await good(t)
  t.equal((await ensureDevelopmentCertificate(dir, { names: ['Shop.test'] })).created, true)
  const leaf = new X509Certificate(readFileSync(made.cert))
  t.ok(leaf.checkHost('shop.test') && leaf.checkHost('localhost'))
  t.equal((await ensureDevelopmentCertificate(dir)).created, false, 'fewer names are covered by it')
})

t.test('an authority that is damaged, or would end before its leaf, is replaced with its leaf', async (t) => {
  const { dir, before } = await good(t)
  writeFileSync(join(dir, 'ca.pem'), 'nonsense')
  t.equal((await ensureDevelopmentCertificate(dir)).created, true)
  t.not(contents(dir)['ca.pem'], before['ca.pem'])

  const short = await makeAuthority('evenkeel development CA', 10)
  writeFileSync(join(dir, 'ca.pem'), short.cert)
  writeFileSync(join(dir, 'ca.key'), short.key)
  t.equal((await ensureDevelopmentCertificate(dir, { days: 5 })).created, true)
  t.equal(contents(dir)['ca.pem'], short.cert, 'ten days are enough for five')
  t.equal((await ensureDevelopmentCertificate(dir, { names: ['a.test'], days: 20 })).created, true)
  t.not(contents(dir)['ca.pem'], short.cert, 'and too few for twenty')
})

t.test('what can not be done is refused with a sentence', async (t) => {
  const file = join(t.testdir({ file: '' }), 'file')
  const cases: [string, DevelopmentOptions, RegExp][] = [
    [file, {}, /can't be put into .*file: .*make the folder writable/],
    [file, { names: ['a\0b'] }, /"a\\u0000b" is not a host name/],
    [file, { names: ['-a.test'] }, /is not a host name/],
    [file, { names: ['10.0.0.1'] }, /is not a host name/],
    [file, { ips: ['localhost'] }, /"localhost" is not an IP address/],
    [file, { days: 0 }, /days is 0; it should be above 0/],
    [file, { days: Number.NaN }, /days is NaN/],
  ]
  for (const [dir, options, message] of cases)
    await t.rejects(ensureDevelopmentCertificate(dir, options), { code: 'TLS_CERTIFICATE', message })
})
