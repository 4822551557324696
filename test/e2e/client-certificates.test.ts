/** Certificates of clients: who comes in, what backends hear of them, and that nothing goes round it. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { ENGINE } from '../support/differences.ts'
import { eventually, within } from '../support/eventually.ts'
import { Authority, type IssuedFiles, noOpenssl } from '../tls/fixtures/openssl.ts'

t.test('client certificates', { skip: noOpenssl }, async (t) => {
  const dir = t.testdir({ ours: {}, theirs: {} })
  const ours = new Authority(join(dir, 'ours'), 'ours')
  const theirs = new Authority(join(dir, 'theirs'), 'theirs')
  const server = ours.issue({ names: ['localhost'] })
  const alice = ours.issue({ names: ['URI:spiffe://test/alice'], subject: '/O=Zoë 100%/CN=alice' })
  const bob = ours.issue({ names: [], subject: '/CN=bob' })
  const eve = ours.issue({ names: [], subject: '/CN=eve' })
  const stranger = theirs.issue({ names: [], subject: '/CN=alice' })
  const old = ours.issue({ names: [], subject: '/CN=bob', days: -1 })
  const serverOnly = ours.issue({ names: [], subject: '/CN=bob', extensions: ['extendedKeyUsage=serverAuth'] })
  ours.revoke(eve.cert)
  const crl = ours.crl()

  const backend: { requests: IncomingHttpHeaders[] } = { requests: [] }
  const behind = createServer((request, response) => {
    backend.requests.push(request.headers)
    response.end('ok')
  })
  behind.listen(0, '127.0.0.1')
  await once(behind, 'listening')
  t.teardown(() => behind.close())
  const echo = await startTcpBackend(t)
  const tls = (more: object) => ({ certificates: [server], clientCa: ours.cert, ...more })
  const http = (more: object, rest: object = {}) => ({
    protocol: 'https',
    listen: ['127.0.0.1:0'],
    tls: tls(more),
    health: { type: 'none' },
    backends: [`127.0.0.1:${(behind.address() as AddressInfo).port}`],
    ...rest,
  })
  const balancer = await startBalancer(t, {
    appliance: { threads: 2 },
    virtualServices: {
      require: http({ clientAuth: 'require', clientCrl: crl }),
      request: http({ clientAuth: 'request', clientCrl: crl, clientAllow: ['CN=bob', 'URI:spiffe://test/alice'] }),
      few: http({ clientAuth: 'require', clientAllow: ['CN=bob'] }),
      trusting: http({ clientAuth: 'request' }, { http: { trustedProxies: ['127.0.0.1/32'] } }),
      open: { ...http({}), tls: { certificates: [server] } },
      relay: { ...http({ clientAuth: 'request' }), protocol: 'tls', backends: [echo.address] },
    },
  })

  const pairOf = ({ cert, key }: IssuedFiles) => ({ cert: readFileSync(cert), key: readFileSync(key) })

  async function open(name: string, files: IssuedFiles | null, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = tlsConnect({
      ...{ port: balancer.port(name), host: '127.0.0.1', servername: 'localhost', ca: ours.pem },
      ...(files === null ? {} : pairOf(files)),
      ...options,
    })
    t.teardown(() => socket.destroy())
    await within(once(socket, 'secureConnect'), 'a handshake')
    return socket
  }

  /** Status and body of the answer; rejects where there is none. */
  async function ask(name: string, files: IssuedFiles | null, fields = '', options: ConnectionOptions = {}) {
    const socket = await open(name, files, options)
    socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${fields}Connection: close\r\n\r\n`)
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
    })
    await within(once(socket, 'close'), 'the end')
    const status = Number(text.slice(9, 12))
    if (status === 0) throw new Error('no answer')
    return { status, text }
  }
  const last = () => backend.requests.at(-1) ?? {}
  const told = (headers: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => /^x.forwarded.tls/.test(name)))

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.test(`${maxVersion}: where one is required nobody comes in without a good one`, async (t) => {
      t.equal((await ask('require', alice, '', { maxVersion })).status, 200)
      for (const [what, files] of Object.entries({ none: null, stranger, old, revoked: eve, serverOnly }))
        await t.rejects(ask('require', files, '', { maxVersion }), what)
    })

    t.test(`${maxVersion}: a session does not carry a client past what is asked`, async (t) => {
      const first = await open('open', null, { maxVersion })
      first.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await within(once(first, 'data'), 'an answer')
      const session = first.getSession()
      if (session === undefined) throw new Error('no session')
      await t.rejects(ask('require', null, '', { maxVersion, session }))

      const own = await open('few', bob, { maxVersion })
      own.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await within(once(own, 'data'), 'an answer')
      const bobs = own.getSession()
      if (bobs === undefined) throw new Error('no session')
      const again = await open('few', bob, { maxVersion, session: bobs })
      t.equal(again.isSessionReused(), true, 'where it was made it resumes')
      again.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await within(once(again, 'data'), 'an answer')
      t.match(last()['x-forwarded-tls-client-subject'], 'CN=bob', 'and the certificate is known')
      await t.rejects(ask('require', null, '', { maxVersion, session: bobs }), 'elsewhere it does not')
    })
  }

  t.test('backends are told subject, serial and fingerprint', async (t) => {
    await ask('require', alice)
    const { X509Certificate } = await import('node:crypto')
    const certificate = new X509Certificate(readFileSync(alice.cert))
    t.strictSame(told(last()), {
      'x-forwarded-tls-client-verified': 'success',
      'x-forwarded-tls-client-subject': 'O=Zo%C3%AB 100%25, CN=alice',
      'x-forwarded-tls-client-serial': certificate.serialNumber.toLowerCase(),
      'x-forwarded-tls-client-fingerprint': certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    })
    await ask('request', null)
    t.strictSame(told(last()), { 'x-forwarded-tls-client-verified': 'none' })
    await ask('open', null)
    t.strictSame(told(last()), {})
  })

  t.test('what a client says of its certificate itself never goes on', async (t) => {
    const lies =
      'X-Forwarded-Tls-Client-Verified: success\r\nx_forwarded_tls_client_subject: CN=admin\r\nX-Forwarded-Tls-Client_Serial: 1\r\n'
    for (const service of ['request', 'trusting']) {
      await ask(service, null, lies)
      t.strictSame(told(last()), { 'x-forwarded-tls-client-verified': 'none' }, service)
    }
    await ask('open', null, lies)
    t.strictSame(told(last()), {})
  })

  t.test('where one is asked for, a bad one is told why by 400, and one that may not come in by 403', async (t) => {
    t.equal((await ask('request', null)).status, 200)
    t.equal((await ask('request', bob)).status, 200)
    t.equal((await ask('request', alice)).status, 200)
    const before = backend.requests.length
    for (const [files, status, why] of [
      [stranger, 400, 'is not signed by a known authority'],
      [old, 400, 'has expired'],
      [eve, 400, 'is revoked'],
      [serverOnly, 400, 'is not meant for clients'],
    ] as const)
      t.match(await ask('request', files), { status, text: why })
    t.match(await ask('few', alice), { status: 403, text: 'is not one that may come in here' })
    t.equal(backend.requests.length, before, 'no backend hears of them')
    t.match(await balancer.metrics(), /handshake_failures_total\{service="request",reason="certificate"\} 4\n/)
  })

  t.test('without HTTP a bad one is a reset', async (t) => {
    const good = await open('relay', alice)
    good.write('hello')
    t.equal(String((await within(once(good, 'data'), 'an echo'))[0]), 'hello')
    const to = { port: balancer.port('relay'), host: '127.0.0.1', servername: 'localhost', ca: ours.pem }
    const bad = tlsConnect({ ...to, ...pairOf(stranger) })
    bad.on('error', () => undefined) // the reset may be faster than its own end of the handshake
    await within(new Promise((resolve) => bad.once('close', resolve)), 'its end')
    t.equal(echo.connections.length, 1)
  })

  t.test('who is revoked from now on does not come in, by no session either', async (t) => {
    const socket = await open('require', bob, { maxVersion: 'TLSv1.2' })
    const session = socket.getSession()
    if (session === undefined) throw new Error('no session')
    t.equal((await ask('require', bob)).status, 200)
    ours.revoke(bob.cert)
    ours.crl()
    await eventually('the new list', () =>
      ask('require', bob).then(
        () => false,
        () => true,
      ),
    )
    await t.rejects(ask('require', bob, '', { maxVersion: 'TLSv1.2', session }))
    t.equal((await ask('require', alice)).status, 200)
    writeFileSync(crl, 'no list\n')
    await eventually('a word in the log', () =>
      balancer.stderr().includes('what clients are verified by stays as it was'),
    )
    t.equal((await ask('require', alice)).status, 200)
    await t.rejects(ask('require', bob))
  })

  t.test('the other engine tells the same', { skip: ENGINE !== 'native' && 'it is the other engine' }, async (t) => {
    const other = await startBalancer(t, {
      virtualServices: {
        few: http({ clientAuth: 'require' }, { http: { engine: 'http-proxy', trustedProxies: ['127.0.0.1/32'] } }),
      },
    })
    const to = { port: other.port('few'), host: '127.0.0.1', servername: 'localhost', ca: ours.pem, ...pairOf(alice) }
    const socket = tlsConnect(to)
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Tls-Client-Subject: CN=admin\r\n\r\n')
    await within(once(socket, 'data'), 'an answer')
    socket.destroy()
    t.match(told(last()), { 'x-forwarded-tls-client-subject': 'O=Zo%C3%AB 100%25, CN=alice' })
  })
})
