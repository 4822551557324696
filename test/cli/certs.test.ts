/** `evenkeel certs`, as a user types it: what it writes, what it refuses, what it finds out about servers. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createSecureContext, createServer as createTlsServer, type Server, TLSSocket, type TlsOptions } from 'node:tls'
import t from 'tap'
import { ensureDevelopmentCertificate } from '../../lib/tls/index.ts'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { startBackend, type Teardown } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { Authority, noOpenssl, openssl } from '../tls/fixtures/openssl.ts'
import { type Ended, folder, run, start, startOnTerminal } from './support.ts'

const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o777

async function port(t: Teardown, server: ReturnType<typeof createServer> | Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  return (server.address() as AddressInfo).port
}

const serve = (t: Teardown, options: TlsOptions): Promise<number> =>
  port(
    t,
    createTlsServer(options, (socket) => socket.on('error', () => {}).end()).on('tlsClientError', () => {}),
  )

/** A certificate of the development authority, for localhost. */
async function development(t: Teardown): Promise<{ dir: string; cert: string; key: string; ca: string }> {
  const dir = await folder(t)
  await ensureDevelopmentCertificate(dir, { file: 'localhost', names: ['localhost'], ips: ['127.0.0.1'] })
  const read = (name: string): Promise<string> => readFile(join(dir, name), 'utf8')
  return { dir, cert: await read('localhost.pem'), key: await read('localhost.key'), ca: join(dir, 'ca.pem') }
}

t.test(
  'create makes a pair for the names and an authority, secret where it must be, and keeps what is good',
  async (t) => {
    const cwd = await folder(t)
    const args = ['certs', 'create', 'shop.test', '*.shop.test', '10.0.0.5']
    const made = await run(t, args, { cwd })
    t.match(made, {
      code: 0,
      stdout: 'certs/shop.test.pem and certs/shop.test.key are made, for shop.test, *.shop.test, 10.0.0.5',
    })
    const pair = await readFile(join(cwd, 'certs/shop.test.pem'), 'utf8')
    for (const name of ['shop.test.key', 'ca.key']) t.equal(await modeOf(join(cwd, 'certs', name)), 0o600)
    t.match(await run(t, args, { cwd }), { code: 0, stdout: 'is good as it is' })
    t.equal(await readFile(join(cwd, 'certs/shop.test.pem'), 'utf8'), pair)
    const ca = await readFile(join(cwd, 'certs/ca.pem'), 'utf8')
    t.match(await run(t, [...args, '--force', '--json'], { cwd }), { code: 0, stdout: '"created":true' })
    t.not(await readFile(join(cwd, 'certs/shop.test.pem'), 'utf8'), pair)
    t.equal(await readFile(join(cwd, 'certs/ca.pem'), 'utf8'), ca, 'the authority stays')
  },
)

t.test("create leaves somebody else's certificate and authority alone", async (t) => {
  const cwd = await folder(t)
  await mkdir(join(cwd, 'certs'))
  await writeFile(join(cwd, 'certs/shop.test.pem'), 'mine')
  const refused = await run(t, ['certs', 'create', 'shop.test'], { cwd })
  t.match(refused, { code: 1, stderr: /certs\/shop\.test\.pem is there and .*; --force replaces it/ })
  t.equal(await readFile(join(cwd, 'certs/shop.test.pem'), 'utf8'), 'mine')
  await writeFile(join(cwd, 'certs/ca.pem'), 'an authority')
  const unfit = await run(t, ['certs', 'create', 'other.test'], { cwd })
  t.match(unfit, { code: 1, stderr: /the authority certs\/ca\.pem can't sign/ })
  t.equal(await readFile(join(cwd, 'certs/ca.pem'), 'utf8'), 'an authority')
})

for (const [type, told] of [
  ['ec', 'Public-Key: (256 bit)'],
  ['rsa', 'Public-Key: (2048 bit)'],
  ['rsa4096', 'Public-Key: (4096 bit)'],
] as const)
  t.test(
    `csr makes a request with all names that openssl verifies, with a key of type ${type}`,
    { skip: noOpenssl },
    async (t) => {
      const cwd = await folder(t)
      const names = ['shop.example.com', '*.shop.example.com', '10.0.0.5', 'fe80::1']
      const { code, stdout } = await run(t, ['certs', 'csr', ...names, '--key', type, '--json'], { cwd })
      t.equal(code, 0)
      t.same(JSON.parse(stdout), { key: 'certs/shop.example.com.key', csr: 'certs/shop.example.com.csr', names })
      t.equal(await modeOf(join(cwd, 'certs/shop.example.com.key')), 0o600)
      const text = openssl(cwd, 'req', '-in', 'certs/shop.example.com.csr', '-noout', '-text', '-verify')
      t.match(text, told)
      t.match(text, 'DNS:shop.example.com, DNS:*.shop.example.com, IP Address:10.0.0.5, IP Address:FE80:0:0:0:0:0:0:1')
      const key = openssl(cwd, 'pkey', '-in', 'certs/shop.example.com.key', '-pubout')
      t.equal(openssl(cwd, 'req', '-in', 'certs/shop.example.com.csr', '-noout', '-pubkey'), key)
    },
  )

t.test('csr replaces no key without --force', async (t) => {
  const cwd = await folder(t)
  const args = ['certs', 'csr', 'shop.test', '--out', '.', '--name', 'mine']
  t.match(await run(t, args, { cwd }), { code: 0 })
  const key = await readFile(join(cwd, 'mine.key'), 'utf8')
  t.match(await run(t, args, { cwd }), { code: 1, stderr: 'mine.key and mine.csr are there; --force replaces' })
  t.equal(await readFile(join(cwd, 'mine.key'), 'utf8'), key)
  t.match(await run(t, [...args, '--force'], { cwd }), { code: 0 })
  t.not(await readFile(join(cwd, 'mine.key'), 'utf8'), key)
})

t.test('what is no name, port or type of key is wrong usage', async (t) => {
  for (const [args, why] of [
    [['csr', 'not a name'], 'is neither a host name'],
    [['csr', '300.1.1.1'], 'is neither a host name'],
    [['create', 'a.test', '--name', '../up'], 'is no name for files'],
    [['create', 'a.test', '--days', '-1'], 'It is a number of days'],
    [['csr', 'a.test', '--key', 'dsa'], 'Allowed choices are ec, rsa, rsa4096'],
    [['check', 'localhost'], 'It is host:port'],
    [['check', 'localhost:0'], 'It is host:port'],
    [['check', 'localhost:1', '--starttls', 'ftp'], 'Allowed choices are smtp, imap, pop3'],
    [['lsit'], 'Did you mean list?'],
  ] as const)
    t.match(await run(t, ['certs', ...args]), { code: 2, stderr: why }, args.join(' '))
})

for (const legacy of [false, true])
  t.test(`import takes ${legacy ? 'an old' : 'a new'} PKCS#12 file apart`, { skip: noOpenssl }, async (t) => {
    const { dir, cert, key } = await development(t)
    const out = ['-in', 'localhost.pem', '-inkey', 'localhost.key', '-out', 'old.p12', '-passout', 'pass:geheim']
    openssl(dir, 'pkcs12', '-export', ...(legacy ? ['-legacy'] : []), ...out)
    await writeFile(join(dir, 'pass'), 'geheim\n')
    const of = (env: Record<string, string>, ...args: string[]): Promise<Ended> =>
      run(t, ['certs', 'import', 'old.p12', ...args], { cwd: dir, env })
    t.match(await of({}), { code: 1, stderr: /passphrase of old\.p12 is wrong.*EVENKEEL_PASSPHRASE/ })
    t.match(await of({ EVENKEEL_PASSPHRASE: 'falsch' }), { code: 1, stderr: 'passphrase of old.p12 is wrong' })
    t.match(await of({ EVENKEEL_PASSPHRASE: 'geheim' }), {
      code: 0,
      stdout: 'certs/old.pem and certs/old.key are written',
    })
    t.equal(await modeOf(join(dir, 'certs/old.key')), 0o600)
    t.equal((await readFile(join(dir, 'certs/old.pem'), 'utf8')).slice(0, 500), cert.slice(0, 500))
    t.equal(await readFile(join(dir, 'certs/old.key'), 'utf8'), key)
    t.match(await of({ EVENKEEL_PASSPHRASE: 'geheim' }), { code: 1, stderr: 'are there; --force replaces' })
    t.match(await of({}, '--passphrase-file', 'pass', '--force'), { code: 0 })
  })

t.test('import asks for the passphrase on a terminal, and shows none of it', { skip: noOpenssl }, async (t) => {
  const { dir } = await development(t)
  const out = ['-in', 'localhost.pem', '-inkey', 'localhost.key', '-out', 'a.p12', '-passout', 'pass:geheim']
  openssl(dir, 'pkcs12', '-export', ...out)
  const command = await startOnTerminal(t, ['certs', 'import', join(dir, 'a.p12'), '--out', dir])
  await new Promise<void>((resolve) => {
    command.child.stdout?.on('data', () => command.stdout().includes('Passphrase of') && resolve())
  })
  command.child.stdin?.write('gehx\x7feim\r')
  const { code, stdout } = await command.ended
  t.equal(code, 0)
  t.match(stdout, 'are written, for localhost')
  t.notMatch(stdout, 'geh')
})

t.test('check tells what a good server shows, and ends with 0', async (t) => {
  const { cert, key, ca } = await development(t)
  const at = await serve(t, { cert, key })
  const { code, stdout, stderr } = await run(t, ['certs', 'check', `localhost:${at}`, '--ca', ca, '--json'])
  t.equal(stderr, '')
  t.equal(code, 0)
  const report = JSON.parse(stdout) as Record<string, unknown>
  t.match(report, {
    servername: 'localhost',
    protocol: 'TLSv1.3',
    keyType: 'rsa',
    daysLeft: 364,
    ocsp: 'none',
    problems: [],
  })
  t.same(report['names'], ['localhost', '127.0.0.1'])
  t.equal((report['chain'] as unknown[]).length, 2)
  const text = await run(t, ['certs', 'check', `127.0.0.1:${at}`, '--ca', ca])
  t.match(text, { code: 0, stdout: /^127\.0\.0\.1:\d+ {2}ok\n/ })
  t.match(text.stdout, /^until +20.* 364 days left$/m)
})

t.test('check fails for what clients would refuse, and says all of it', async (t) => {
  const { cert, key, ca } = await development(t)
  const at = await serve(t, { cert, key })
  const of = (...args: string[]): Promise<Ended> => run(t, ['certs', 'check', `localhost:${at}`, ...args])
  t.match(await of(), { code: 1, stdout: /problem +the certificate is signed by an unknown authority/ })
  t.match(await of('--ca', ca, '--servername', 'shop.test'), {
    code: 1,
    stdout: /problem +the certificate is for another name/,
  })
  t.match(await of('--ca', ca, '--days', '365'), { code: 1, stdout: /problem +the certificate ends within 365 days/ })
  t.match(await of('--ca', ca, '--days', '360'), { code: 0 })
  const authority = await makeAuthority('a', 30)
  const expired = await makeLeaf(authority, ['localhost'], -0.001)
  const old = await serve(t, expired)
  const { code, stdout } = await run(t, ['certs', 'check', `localhost:${old}`])
  t.equal(code, 1)
  t.match(stdout, /problem +the certificate has expired/)
})

t.test('check says why there is no TLS', async (t) => {
  const plain = await port(
    t,
    createServer((socket) => socket.on('error', () => {}).end('220 hello\r\n')),
  )
  t.match(await run(t, ['certs', 'check', `127.0.0.1:${plain}`]), { code: 1, stderr: 'the handshake failed' })
  const silent = await port(
    t,
    createServer((socket) => socket.destroy()),
  )
  t.match(await run(t, ['certs', 'check', `127.0.0.1:${silent}`]), {
    code: 1,
    stderr: /no TLS at 127\.0\.0\.1 port \d+: /,
  })
})

t.test('check verifies the OCSP answer that comes with the certificate', { skip: noOpenssl }, async (t) => {
  const dir = await folder(t)
  const authority = new Authority(dir)
  const { cert, key } = authority.issue({ names: ['localhost'] })
  authority.note(cert)
  const answer = (): Buffer => {
    openssl(dir, 'ocsp', '-issuer', 'ca.pem', '-cert', cert, '-reqout', 'request.der', '-no_nonce')
    const signer = ['-index', 'index.txt', '-CA', 'ca.pem', '-rsigner', 'ca.pem', '-rkey', 'ca.key', '-ndays', '1']
    openssl(dir, 'ocsp', ...signer, '-reqin', 'request.der', '-respout', 'answer.der')
    return readFileSync(join(dir, 'answer.der'))
  }
  const check = async (
    staple: Buffer,
  ): Promise<{ code: number | null; report: { ocsp: string; problems: string[] } }> => {
    const files = { cert: (await readFile(cert, 'utf8')) + authority.pem, key: await readFile(key, 'utf8') }
    const server = createTlsServer(files, (socket) => socket.on('error', () => {}).end())
    server.on('OCSPRequest', (_certificate: Buffer, _issuer: Buffer, done: (e: null, b: Buffer) => void) =>
      done(null, staple),
    )
    const { code, stdout } = await run(t, [
      'certs',
      'check',
      `localhost:${await port(t, server)}`,
      '--ca',
      authority.cert,
      '--json',
    ])
    return { code, report: JSON.parse(stdout) }
  }
  t.match(await check(answer()), { code: 0, report: { ocsp: 'good', problems: [] } })
  t.match(await check(Buffer.from('nonsense')), { code: 1, report: { ocsp: 'invalid' } })
  authority.revoke(cert)
  t.match(await check(answer()), { code: 1, report: { ocsp: 'revoked', problems: ['the certificate is revoked'] } })
})

const DIALOGUES = {
  smtp: {
    greeting: '220-mail\r\n220 mail ESMTP\r\n',
    EHLO: '250-mail\r\n250-SIZE\r\n250 STARTTLS\r\n',
    STARTTLS: '220 go\r\n',
  },
  imap: { greeting: '* OK ready\r\n', a: 'a OK begin\r\n' },
  pop3: { greeting: '+OK ready\r\n', STLS: '+OK begin\r\n' },
} as const

for (const [protocol, { greeting, ...answers }] of Object.entries(DIALOGUES)) {
  /** Speaks the protocol in clear text, then TLS; `after` follows the last answer. */
  const mail = async (t: Teardown, pair: TlsOptions, after: string): Promise<number> => {
    const secureContext = createSecureContext(pair)
    return port(
      t,
      createServer((socket: Socket) => {
        let steps = 0
        socket.on('error', () => {}).write(greeting)
        socket.on('data', function onData(bytes: Buffer) {
          const word = bytes.toString('latin1').split(/[ \r]/)[0] ?? ''
          const last = ++steps === Object.keys(answers).length
          const answer: string = (answers as Record<string, string>)[word] ?? '500 no\r\n'
          if (last) socket.off('data', onData)
          socket.write(answer + (last ? after : ''))
          if (last && after === '') new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {})
        })
      }),
    )
  }
  t.test(`check speaks ${protocol} up to STARTTLS, and believes nothing in clear text after it`, async (t) => {
    const { cert, key, ca } = await development(t)
    const good = await mail(t, { cert, key }, '')
    const args = (at: number) => ['certs', 'check', `localhost:${at}`, '--ca', ca, '--starttls', protocol]
    t.match(await run(t, args(good)), { code: 0, stdout: /^localhost:\d+ {2}ok\n/, stderr: '' })
    const bad = await mail(t, { cert, key }, 'more\r\n')
    t.match(await run(t, args(bad)), { code: 1, stderr: 'goes on in clear text' })
    const refusing = await port(
      t,
      createServer((socket) => socket.on('error', () => {}).write('554 no\r\n')),
    )
    t.match(await run(t, args(refusing)), { code: 1, stderr: 'does not start TLS: 554 no' })
  })
}

t.test('list shows what the balancer serves, once for all services that use it, and what is broken', async (t) => {
  const { dir, cert, key } = await development(t)
  await run(t, ['certs', 'csr', 'unused.test', '--out', dir])
  const backend = await startBackend(t)
  const service = {
    listen: ['127.0.0.1:0'],
    protocol: 'https',
    tls: { certificates: [{ cert: 'localhost.pem', key: 'localhost.key' }] },
    backends: [`127.0.0.1:${backend.port}`],
  }
  const files = { 'localhost.pem': cert, 'localhost.key': key }
  const balancer = await startBalancer(t, { virtualServices: { web: service, api: service } }, { files })
  const { code, stdout } = await run(t, ['certs', 'list', '--admin', balancer.admin])
  t.equal(code, 0)
  const [head = '', row = '', ...more] = stdout.trimEnd().split('\n')
  t.same(more, [])
  t.same(head.split(/ {2,}/), ['NAMES', 'FILE', 'KEY', 'ISSUER', 'DAYS', 'UNTIL', 'USED BY', 'STATE'])
  t.match(
    row,
    /^localhost 127\.0\.0\.1 +localhost\.pem +rsa +evenkeel development CA +364 +20\d\d-\d\d-\d\d +web api +ok$/,
  )
  const json = JSON.parse((await run(t, ['certs', 'list', '--json', '--admin', balancer.admin])).stdout) as object[]
  t.match(json, [{ name: 'localhost.pem', keyType: 'rsa', services: ['web', 'api'], problem: null }])
  const listed = await run(t, ['certs', 'list', '--file', balancer.file])
  t.match(listed, { code: 0, stdout: / web api +ok\n$/ })
  await writeFile(join(balancer.dir, 'localhost.key'), 'broken')
  const broken = await run(t, ['certs', 'list', '--file', balancer.file])
  t.match(broken, { code: 1, stdout: /localhost\.key is not PEM/ })
})

t.test('list says when there is nothing, nobody, or no valid configuration', async (t) => {
  const cwd = await folder(t)
  await writeFile(join(cwd, 'a.yaml'), 'version: 1\nvirtualServices: {}\n')
  t.match(await run(t, ['certs', 'list', '--file', 'a.yaml'], { cwd }), { code: 0, stdout: 'no service ends TLS\n' })
  await writeFile(join(cwd, 'b.yaml'), 'version: 2\n')
  t.match(await run(t, ['certs', 'list', '--file', 'b.yaml'], { cwd }), { code: 2, stderr: 'b.yaml is not valid' })
  t.match(await run(t, ['certs', 'list', '--admin', '127.0.0.1:1']), { code: 3 })
})

t.test('the help names the commands', async (t) => {
  const command = await start(t, ['certs', '--help'])
  const { code, stdout } = await command.ended
  t.equal(code, 0)
  for (const name of ['list', 'check', 'create', 'csr', 'import']) t.match(stdout, new RegExp(`^ {2}${name} `, 'm'))
})
