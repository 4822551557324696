/** OCSP answers as openssl gives them: believed when they are right, and not for anything else. */
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { ocspRequest, readOcsp, responderOf } from '../../lib/tls/ocsp.ts'
import { Authority, type IssuedFiles, noOpenssl, openssl } from './fixtures/openssl.ts'

t.test('OCSP', { skip: noOpenssl }, async (t) => {
  const dir = t.testdir({ ours: {}, theirs: {} })
  const ours = new Authority(join(dir, 'ours'), 'ours')
  const theirs = new Authority(join(dir, 'theirs'), 'theirs')
  const aia = ['authorityInfoAccess=OCSP;URI:http://127.0.0.1:1/ocsp']
  const leaf = ours.issue({ names: ['a.test'], extensions: aia })
  const other = ours.issue({ names: ['b.test'], extensions: ['authorityInfoAccess=OCSP;URI:https://a.test/'] })
  const gone = ours.issue({ names: ['c.test'] })
  const signing = ours.issue({ names: [], subject: '/CN=responder', extensions: ['extendedKeyUsage=OCSPSigning'] })
  const plain = ours.issue({ names: [], subject: '/CN=no responder' })
  for (const each of [leaf, other, gone]) ours.note(each.cert)
  ours.revoke(gone.cert)
  const issuer = new X509Certificate(ours.pem)
  const of = ({ cert }: IssuedFiles): X509Certificate => new X509Certificate(readFileSync(cert))

  function answer(about: IssuedFiles, signer: IssuedFiles, ...more: string[]): Buffer {
    writeFileSync(join(ours.dir, 'request.der'), ocspRequest(of(about), issuer))
    const args = ['ocsp', '-index', 'index.txt', '-CA', ours.cert, '-rsigner', signer.cert, '-rkey', signer.key]
    openssl(
      ours.dir,
      ...args,
      '-reqin',
      'request.der',
      '-respout',
      'answer.der',
      ...(more.length > 0 ? more : ['-nmin', '60']),
    )
    return readFileSync(join(ours.dir, 'answer.der'))
  }
  const read = (bytes: Buffer, about = leaf, now = Date.now()) => readOcsp(bytes, of(about), issuer, now)
  const good = answer(leaf, ours)

  t.test('openssl takes the request, and its answer is believed', async (t) => {
    const { status, thisUpdate, nextUpdate } = read(good)
    t.equal(status, 'good')
    t.equal(nextUpdate - thisUpdate, 3_600_000)
    t.equal(read(answer(gone, ours), gone).status, 'revoked')
    t.equal(read(answer(plain, ours), plain).status, 'unknown')
  })

  t.test('the authority may have certified another to answer', async (t) => {
    t.equal(read(answer(leaf, signing)).status, 'good')
    t.throws(() => read(answer(leaf, plain)), { message: /not signed by the authority/ })
    t.throws(() => read(answer(leaf, theirs)), { message: /not signed by the authority/ })
  })

  t.test('an answer about another certificate, out of date or from the future is not believed', async (t) => {
    t.throws(() => read(good, other), { message: /about another certificate/ })
    t.throws(() => read(good, leaf, Date.now() + 3_700_000), { message: /out of date/ })
    t.throws(() => read(good, leaf, Date.now() - 3_700_000), { message: /from the future/ })
  })

  t.test('whatever is changed in what was signed, it is not believed', async (t) => {
    t.throws(() => read(Buffer.from([48, 3, 10, 1, 6])), { message: /refuses \(6\)/ })
    const before = JSON.stringify(read(good))
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Buffer.from(good)
        bytes[at] = (bytes[at] ?? 0) ^ flip
        try {
          return JSON.stringify(read(bytes)) === before // in what is not signed, such as certificates that nobody needs
        } catch {
          return true
        }
      }),
      { numRuns: 1000 },
    )
  })

  t.test('only a responder over plain HTTP is asked', async (t) => {
    t.equal(responderOf(of(leaf)), 'http://127.0.0.1:1/ocsp')
    t.equal(responderOf(of(other)), null)
    t.equal(responderOf(of(plain)), null)
  })
})
