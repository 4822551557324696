/** The default configuration as testssl.sh and openssl see it: nothing to report but the certificate of the test. */
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { noOpenssl } from '../tls/fixtures/openssl.ts'
import { makeCertificate } from './fixtures/support.ts'

const noTestssl = spawnSync('testssl', ['--version']).error !== undefined && 'needs testssl.sh'
const LIMIT_MS = 160_000 // less than what a file has; a quarter of it is enough on two quiet cores

const certificate = await makeCertificate()
const backend = await startBackend(t)
const balancer = await startBalancer(
  t,
  {
    virtualServices: {
      web: {
        protocol: 'https',
        listen: ['127.0.0.1:0'],
        tls: certificate.tls,
        health: { type: 'none' },
        backends: [backend.address],
      },
    },
  },
  { files: certificate.files },
)
const target = `127.0.0.1:${balancer.port('web')}`

interface Found {
  readonly id: string
  readonly severity: string
  readonly finding: string
}

t.test('testssl.sh finds nothing from LOW up', { skip: noTestssl, timeout: LIMIT_MS + 5000 }, async (t) => {
  const file = join(t.testdir({}), 'found.json')
  // What the attacks that it knows follow from. `testssl -U` tries them one by one, which takes two minutes more.
  const what = ['--protocols', '--std', '--fs', '--server-defaults']
  const how = [
    '--quiet',
    '--color',
    '0',
    '--warnings',
    'off',
    '--nodns',
    'none',
    '--severity',
    'LOW',
    '--jsonfile',
    file,
  ]
  // It ends with the number of its own troubles, such as a resumption that a busy machine did not let it try.
  await promisify(execFile)('testssl', [...how, ...what, target], { timeout: LIMIT_MS }).catch((error: unknown) => {
    const stdout: unknown = error instanceof Error ? Reflect.get(error, 'stdout') : undefined
    if (typeof stdout !== 'string' || !stdout.includes(' Done ')) throw error
  })
  const found = JSON.parse(readFileSync(file, 'utf8')) as Found[]
  t.ok(found.length > 0, 'the certificate of the test is not to its taste')
  t.same(
    // WARN is its word for what it could not try, on a busy machine.
    found.filter(({ id, severity }) => !id.startsWith('cert_') && severity !== 'WARN'),
    [],
  )
})

/** What `openssl s_client` says; its errors too. */
function client(...args: string[]): string {
  const { stdout, stderr } = spawnSync(
    'openssl',
    ['s_client', '-connect', target, '-servername', 'localhost', ...args],
    {
      input: 'Q\n',
      timeout: 10_000,
    },
  )
  return `${stdout}${stderr}`
}

t.test('openssl gets in by TLS 1.2 and 1.3 alone', { skip: noOpenssl }, async (t) => {
  const old = ['-cipher', 'ALL:@SECLEVEL=0']
  for (const version of ['-tls1', '-tls1_1'])
    t.match(client(version, ...old), /alert protocol version|unsupported protocol|no protocols available/, version)
  t.match(client('-tls1_2'), /^New, TLSv1\.2, Cipher is ECDHE-RSA-AES128-GCM-SHA256$/m)
  t.match(client('-tls1_3'), /^New, TLSv1\.3, Cipher is TLS_AES_/m)
})

t.test('openssl gets in with forward secrecy alone', { skip: noOpenssl }, async (t) => {
  for (const suites of [
    'kRSA',
    'kDHE',
    'aNULL:eNULL',
    '3DES:RC4:SEED:IDEA',
    'AES128-SHA:AES256-SHA',
    'SHA1',
    'SHA256:SHA384',
  ]) {
    const said = client('-tls1_2', '-cipher', `${suites}:@SECLEVEL=0`)
    t.match(said, /alert handshake failure|no cipher match|Error with command/, suites)
    t.notMatch(said, /Cipher is (?!\(NONE\))/, suites)
  }
  t.match(client('-tls1_2', '-cipher', 'ECDHE'), /Server Temp Key: (X25519|ECDH)/)
})

t.test('openssl finds no compression', { skip: noOpenssl }, async (t) => {
  for (const version of ['-tls1_2', '-tls1_3']) t.match(client(version, '-comp'), /^Compression: NONE$/m)
})
