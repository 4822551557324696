/** Certificates that change on disk while they are served. */
import { copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CertificateStore } from '../../lib/tls/index.ts'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'

const authority = await makeAuthority('store', 30)
const pairs = await Promise.all(Array.from({ length: 3 }, () => makeLeaf(authority, ['localhost'], 30)))
const [first, second, third] = pairs as [(typeof pairs)[0], (typeof pairs)[0], (typeof pairs)[0]]

async function stored(t: Test) {
  const dir = t.testdir({ 'a.pem': first.cert, 'a.key': first.key })
  const files = { cert: join(dir, 'a.pem'), key: join(dir, 'a.key') }
  return { files, store: await CertificateStore.load([files]) }
}

const keyOf = (store: CertificateStore) => store.certificates[0]?.credentials.key

t.test('a new pair is taken up once its files rest', async (t) => {
  const { files, store } = await stored(t)
  t.match(await store.look(), { changed: false, findings: [] })
  writeFileSync(files.cert, second.cert)
  writeFileSync(files.key, second.key)
  t.match(await store.look(), { changed: false }, 'seen, and not read while it may still be written')
  const { changed, findings } = await store.look()
  t.equal(changed, true)
  t.match(findings, [{ level: 'info', message: /certificate a\.pem is taken up from its files, valid until 20/ }])
  t.equal(keyOf(store), second.key)
  t.match(await store.look(), { changed: false, findings: [] })
})

t.test('a certificate without its key is not taken up, and says why until the key comes', async (t) => {
  const { files, store } = await stored(t)
  writeFileSync(files.cert, second.cert)
  await store.look()
  const { changed, findings } = await store.look()
  t.equal(changed, false)
  t.match(findings, [{ level: 'warn', message: /a\.pem: the one before is kept: the key in .* does not belong/ }])
  t.match(store.certificates[0]?.problem, /does not belong/)
  t.equal(keyOf(store), first.key)
  t.match(await store.look(), { findings: [] }, 'it is said once')
  writeFileSync(files.key, second.key)
  await store.look()
  t.match(await store.look(), { changed: true })
  t.equal(store.certificates[0]?.problem, null)
})

const BREAKS: [what: string, act: (files: { cert: string; key: string }) => void][] = [
  ['cut off', ({ cert }) => writeFileSync(cert, second.cert.slice(0, -100))],
  ['emptied', ({ cert }) => writeFileSync(cert, '')],
  ['removed', ({ key }) => rmSync(key)],
  ['exchanged for something else', ({ cert }) => writeFileSync(cert, 'hello')],
]
for (const [what, act] of BREAKS)
  t.test(`a file that is ${what} leaves the certificate that is served, and mends when it comes back`, async (t) => {
    const { files, store } = await stored(t)
    act(files)
    await store.look()
    t.match(await store.look(), { changed: false, findings: [{ level: 'warn' }] })
    t.equal(keyOf(store), first.key)
    writeFileSync(files.cert, first.cert)
    writeFileSync(files.key, first.key)
    await store.look()
    t.match(await store.look(), { changed: false, findings: [{ level: 'info' }] })
    t.equal(store.certificates[0]?.problem, null)
  })

t.test('a file that is renamed over the old one, as tools do, is seen', async (t) => {
  const { files, store } = await stored(t)
  for (const [pair, name] of [
    [third.cert, files.cert],
    [third.key, files.key],
  ] as const) {
    writeFileSync(`${name}.new`, pair)
    copyFileSync(`${name}.new`, `${name}.copy`)
    renameSync(`${name}.new`, name)
  }
  await store.look()
  t.match(await store.look(), { changed: true })
  t.equal(keyOf(store), third.key)
})

t.test('a certificate that can not be used at the start is refused', async (t) => {
  await t.rejects(CertificateStore.load([{ cert: '/none.pem', key: '/none.key' }]), { code: 'TLS_CERTIFICATE' })
})
