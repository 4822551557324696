/** What a client meets: versions, suites, ALPN, renegotiation and resumption, in real handshakes. */
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectPlain } from 'node:net'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createServerContext, loadCredentials, newSecret, protocolOf, TicketRing } from '../../lib/tls/index.ts'
import { makeFamily, writeAll } from './fixtures/certificates.ts'
import { handshake, serve } from './fixtures/server.ts'

const { root, intermediate, leaf } = await makeFamily()
const files = await writeAll(t.testdir({}), {
  'chain.pem': leaf.cert + intermediate.cert,
  'leaf.key': leaf.key,
  'root.pem': root.cert,
})
const credentials = await loadCredentials({ cert: files['chain.pem'], key: files['leaf.key'] })
const context = createServerContext([credentials])

t.test('TLS 1.2 and 1.3 are spoken, with suites that are AEADs', async (t) => {
  const port = await serve(t, [context])
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = await handshake(t, port, root.cert, { minVersion: version, maxVersion: version })
    t.equal(client.authorized, true, 'the whole chain is sent')
    t.equal(client.getProtocol(), version)
    t.match(client.getCipher().standardName, /GCM|CHACHA20/)
  }
})

t.test('older versions and weaker suites are refused', async (t) => {
  const port = await serve(t, [context])
  const weak = [
    { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA256' },
    { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' },
    { maxVersion: 'TLSv1.2', ciphers: 'DHE-RSA-AES128-GCM-SHA256' },
  ] as const
  for (const options of weak)
    await t.rejects(handshake(t, port, root.cert, options), { code: /^ERR_SSL_/ }, options.ciphers)
  await handshake(t, port, root.cert)
  t.pass('and the server goes on')
})

t.test('the modern profile refuses TLS 1.2', async (t) => {
  const port = await serve(t, [createServerContext([credentials], { protocol: protocolOf({ profile: 'modern' }) })])
  await t.rejects(handshake(t, port, root.cert, { maxVersion: 'TLSv1.2' }), { code: /^ERR_SSL_/ })
  t.equal((await handshake(t, port, root.cert)).getProtocol(), 'TLSv1.3')
})

t.test('our order of suites counts, but ChaCha20 first is heeded', async (t) => {
  const port = await serve(t, [context])
  const chosen = async (ciphers: string) =>
    (await handshake(t, port, root.cert, { maxVersion: 'TLSv1.2', ciphers })).getCipher().name
  t.equal(
    await chosen('ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305'),
    'ECDHE-RSA-AES128-GCM-SHA256',
  )
  t.equal(await chosen('ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256'), 'ECDHE-RSA-CHACHA20-POLY1305')
})

t.test('https speaks http/1.1 by ALPN and refuses a client that speaks something else only', async (t) => {
  const port = await serve(t, [context], 'https')
  const alpn = async (protocols?: string[]) =>
    (await handshake(t, port, root.cert, protocols === undefined ? {} : { ALPNProtocols: protocols })).alpnProtocol
  t.equal(await alpn(['h2', 'http/1.1']), 'http/1.1')
  t.equal(await alpn(), false, 'none offered, none chosen')
  await t.rejects(alpn(['h2']), { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' })
  await t.rejects(alpn(['ftp', 'imap']), { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' })
})

t.test('tls leaves ALPN to those behind it', async (t) => {
  const port = await serve(t, [context], 'tls')
  t.equal((await handshake(t, port, root.cert, { ALPNProtocols: ['imap'] })).alpnProtocol, false)
})

t.test('a client that renegotiates is refused', async (t) => {
  const port = await serve(t, [context])
  const client = await handshake(t, port, root.cert, { maxVersion: 'TLSv1.2' })
  const [error] = await new Promise<unknown[]>((done) => {
    client.on('error', (...args) => done(args))
    client.renegotiate({}, () => done(['renegotiated']))
  })
  t.match(error, { code: 'ERR_SSL_NO_RENEGOTIATION' })
})

t.test('bytes that are not TLS end their connection only', async (t) => {
  const port = await serve(t, [context])
  const plain = connectPlain(port, '127.0.0.1')
  t.teardown(() => plain.destroy())
  plain.on('error', () => {})
  plain.resume()
  plain.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(plain, 'close')
  await handshake(t, port, root.cert)
  t.pass('the next client is served')
})

/** Was the second connection, which meets the second context, resumed? */
async function resumes(t: Test, contexts: Parameters<typeof serve>[1], version: 'TLSv1.2' | 'TLSv1.3') {
  const port = await serve(t, contexts)
  const options = { minVersion: version, maxVersion: version }
  const first = await handshake(t, port, root.cert, options)
  const session = first.getSession()
  const second = await handshake(t, port, root.cert, session === undefined ? options : { ...options, session })
  return second.isSessionReused()
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`${version}: a session resumes in another thread's context when the ticket keys are shared`, async (t) => {
    const tickets = new TicketRing({ secrets: [newSecret()], current: 0 })
    const shared = () => createServerContext([credentials], { tickets })
    t.equal(await resumes(t, [shared(), shared()], version), true)
    t.equal(await resumes(t, [createServerContext([credentials]), createServerContext([credentials])], version), false)
  })
}

t.test('a session never resumes under another certificate, shared ticket keys or not', async (t) => {
  const other = await makeFamily()
  const { cert, key } = await writeAll(t.testdir({}), {
    cert: other.leaf.cert + other.intermediate.cert,
    key: other.leaf.key,
  })
  const tickets = new TicketRing({ secrets: [newSecret()], current: 0 })
  const contexts = [credentials, await loadCredentials({ cert, key })].map((c) => createServerContext([c], { tickets }))
  const port = await serve(t, contexts)
  const ca = root.cert + other.root.cert
  const session = (await handshake(t, port, ca)).getSession()
  // A mismatch of the session context may either fall back to a full handshake or end the connection: both are safe.
  const reused = await handshake(t, port, ca, session === undefined ? {} : { session }).then(
    (client) => client.isSessionReused(),
    () => false,
  )
  t.equal(reused, false)
})

const noOpenssl = spawnSync('openssl', ['version']).error !== undefined && 'openssl is not installed'
t.test('openssl s_client verifies the chain and the name', { skip: noOpenssl }, async (t) => {
  const port = await serve(t, [context], 'https')
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', files['root.pem'], '-verify_return_error']
  const run = promisify(execFile)('openssl', [...args, '-verify_hostname', 'localhost', '-alpn', 'http/1.1'])
  run.child.stdin?.end()
  const { stdout } = await run
  t.match(stdout, 'Verify return code: 0 (ok)')
  t.match(stdout, 'ALPN protocol: http/1.1')
})
