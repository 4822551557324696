/** Certificates and requests that we write: node and openssl read in them what was meant. */
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { KEY_TYPES, makeKey, pem, selfSigned, signingRequest } from '../../lib/tls/index.ts'
import { noOpenssl, openssl } from './fixtures/openssl.ts'

const DAY = 86_400_000
const HOSTS = ['shop.test', '*.shop.test', '10.0.0.5', '2001:db8::1']

const dir = mkdtempSync(join(tmpdir(), 'evenkeel-x509-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

for (const type of KEY_TYPES) {
  t.test(`a certificate with a key of type ${type} is its own issuer, for all names, in its time`, async (t) => {
    const key = await makeKey(type)
    const bytes = selfSigned({ key, hosts: HOSTS, commonName: 'who', lifeMs: 30 * DAY })
    const cert = new X509Certificate(bytes)
    t.equal(cert.subject, 'CN=who')
    t.equal(cert.verify(cert.publicKey), true)
    t.equal(cert.issuer, cert.subject)
    t.equal(cert.checkPrivateKey(key), true)
    t.equal(cert.ca, false)
    t.equal(cert.checkHost('shop.test'), 'shop.test')
    t.equal(cert.checkHost('www.shop.test'), '*.shop.test')
    t.equal(cert.checkIP('10.0.0.5'), '10.0.0.5')
    t.equal(cert.checkIP('2001:db8::1'), '2001:db8::1')
    t.equal(cert.checkHost('other.test'), undefined)
    t.ok(cert.validFromDate.getTime() < Date.now() - 3_000_000)
    t.ok(Math.abs(cert.validToDate.getTime() - Date.now() - 30 * DAY) < 60_000)
    t.not(
      cert.serialNumber,
      new X509Certificate(selfSigned({ key, hosts: HOSTS, commonName: '', lifeMs: DAY })).serialNumber,
    )
  })

  t.test(`openssl verifies a request with a key of type ${type}`, { skip: noOpenssl }, async (t) => {
    const key = await makeKey(type)
    writeFileSync(join(dir, `${type}.csr`), pem('CERTIFICATE REQUEST', signingRequest(key, HOSTS)))
    const text = openssl(dir, 'req', '-in', `${type}.csr`, '-noout', '-text', '-verify')
    t.match(text, 'DNS:shop.test, DNS:*.shop.test, IP Address:10.0.0.5, IP Address:2001:DB8:0:0:0:0:0:1')
    t.match(text, /Subject: CN = shop\.test/)
  })
}

t.test('a year beyond 2049 is written as RFC 5280 wants it', async (t) => {
  const key = await makeKey('ec')
  const cert = new X509Certificate(selfSigned({ key, hosts: ['a.test'], commonName: 'a', lifeMs: 20_000 * DAY }))
  t.ok(cert.validToDate.getFullYear() > 2075)
})

t.test('the extension of tls-alpn-01 is there, and critical', { skip: noOpenssl }, async (t) => {
  const key = await makeKey('ec')
  const value = Buffer.concat([Buffer.of(4, 32), Buffer.alloc(32, 0xab)])
  const extensions = [{ oid: '2b0601050507011f', critical: true, value }]
  const bytes = selfSigned({ key, hosts: ['a.test'], commonName: 'a', lifeMs: DAY, extensions })
  writeFileSync(join(dir, 'alpn.pem'), pem('CERTIFICATE', bytes))
  t.match(
    openssl(dir, 'x509', '-in', 'alpn.pem', '-noout', '-text'),
    /1\.3\.6\.1\.5\.5\.7\.1\.31: critical\n +\. ?(?:\.{32,}|.*)/,
  )
})

t.test('a request whose names are all longer than a common name may be has none', { skip: noOpenssl }, async (t) => {
  const name = `${'a'.repeat(60)}.${'b'.repeat(60)}.test`
  writeFileSync(join(dir, 'long.csr'), pem('CERTIFICATE REQUEST', signingRequest(await makeKey('ec'), [name])))
  const text = openssl(dir, 'req', '-in', 'long.csr', '-noout', '-text', '-verify')
  t.match(text, `DNS:${name}`)
  t.notMatch(text, 'CN =')
})
