/** PKCS#12 files, modern and of older programs, as openssl writes them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadCredentials } from '../../lib/tls/index.ts'
import { makeFamily, writeAll } from './fixtures/certificates.ts'
import { Authority, noOpenssl, openssl } from './fixtures/openssl.ts'

t.test('PKCS#12', { skip: noOpenssl }, async (t) => {
  const dir = t.testdir({ ca: {} })
  const { root, intermediate, leaf } = await makeFamily()
  const rsa = await writeAll(dir, {
    'leaf.pem': leaf.cert,
    'leaf.key': leaf.key,
    'others.pem': root.cert + intermediate.cert,
    'chain.pem': leaf.cert + intermediate.cert,
    'secret.txt': 'secret\nnot this\n',
    'empty.txt': '\n',
  })
  const authority = new Authority(join(dir, 'ca'))
  const ec = authority.issue({ names: ['ec.test'] })

  function pack(name: string, cert: string, key: string, ...more: string[]): string {
    const file = join(dir, name)
    openssl(dir, 'pkcs12', '-export', '-in', cert, '-inkey', key, '-out', file, '-passout', 'pass:secret', ...more)
    return file
  }

  const FILES: readonly (readonly [what: string, file: string])[] = [
    [
      'AES-256 with SHA-256, as written today',
      pack('modern.p12', rsa['leaf.pem'], rsa['leaf.key'], '-certfile', rsa['others.pem']),
    ],
    [
      'RC2 and 3DES with SHA-1',
      pack('legacy.p12', rsa['leaf.pem'], rsa['leaf.key'], '-certfile', rsa['others.pem'], '-legacy'),
    ],
    [
      '3DES for both',
      pack(
        'des.p12',
        rsa['leaf.pem'],
        rsa['leaf.key'],
        '-certfile',
        rsa['others.pem'],
        '-certpbe',
        'PBE-SHA1-3DES',
        '-keypbe',
        'PBE-SHA1-3DES',
        '-macalg',
        'sha1',
      ),
    ],
  ]

  for (const [what, pfx] of FILES)
    t.test(`${what}: chain and key are those that went in, in order`, async (t) => {
      const credentials = await loadCredentials({ pfx, passphrase: 'secret' })
      const plain = await loadCredentials({ cert: rsa['leaf.pem'], key: rsa['leaf.key'] })
      t.strictSame([credentials.key, credentials.names, credentials.keyType], [plain.key, plain.names, 'rsa'])
      t.equal(credentials.cert.split('BEGIN CERTIFICATE').length - 1, 3, 'the whole chain')
      t.ok(credentials.cert.startsWith(plain.cert), 'leaf first')
      t.strictSame(credentials.warnings, plain.warnings)
    })

  t.test('a key on an elliptic curve is read as well', async (t) => {
    for (const more of [[], ['-legacy']]) {
      const pfx = pack('ec.p12', ec.cert, ec.key, '-certfile', authority.cert, ...more)
      const credentials = await loadCredentials({ pfx, passphrase: 'secret' })
      t.strictSame([credentials.names, credentials.keyType], [['ec.test'], 'ec'])
    }
  })

  t.test('the passphrase may be in a file, on its first line', async (t) => {
    const [, pfx] = FILES[0] as (typeof FILES)[number]
    t.match(await loadCredentials({ pfx, passphraseFile: rsa['secret.txt'] }), { keyType: 'rsa' })
    await t.rejects(loadCredentials({ pfx, passphraseFile: rsa['empty.txt'] }), { message: /has an empty first line/ })
  })

  t.test('an encrypted key in PEM takes the passphrase too', async (t) => {
    const key = join(dir, 'encrypted.key')
    openssl(dir, 'pkey', '-in', rsa['leaf.key'], '-aes256', '-passout', 'pass:secret', '-out', key)
    t.match(await loadCredentials({ cert: rsa['chain.pem'], key, passphrase: 'secret' }), { keyType: 'rsa' })
    await t.rejects(loadCredentials({ cert: rsa['chain.pem'], key, passphrase: 'other' }), {
      message: /the passphrase of the key in .*encrypted\.key is wrong/,
    })
  })

  t.test('what can not be used is refused with its cause', async (t) => {
    const [[, modern], [, legacy]] = FILES as [(typeof FILES)[number], (typeof FILES)[number]]
    const { cut, none } = await writeAll(dir, { cut: readFileSync(modern).subarray(0, 900), none: 'text' })
    const cases: [object, RegExp][] = [
      [{ pfx: modern, passphrase: 'other' }, /the passphrase of .*modern\.p12 is wrong/],
      [{ pfx: legacy, passphrase: 'other' }, /the passphrase of .*legacy\.p12 is wrong/],
      [{ pfx: modern }, /the passphrase of .*modern\.p12 is wrong/],
      [{ pfx: cut, passphrase: 'secret' }, /PKCS#12 file .*cut can't be used/],
      [{ pfx: none, passphrase: 'secret' }, /none is not PKCS#12/],
      [{ pfx: join(dir, 'missing.p12') }, /PKCS#12 file .*missing\.p12 does not exist/],
      [
        { pfx: pack('keyless.p12', rsa['leaf.pem'], rsa['leaf.key'], '-nokeys'), passphrase: 'secret' },
        /keyless\.p12 holds no private key/,
      ],
    ]
    for (const [files, message] of cases) await t.rejects(loadCredentials(files), { code: 'TLS_CERTIFICATE', message })
  })
})
