/** The protocol as clients meet it over two threads: resumption, profiles, groups, and many handshakes at once. */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ConnectionOptions, getCiphers, type TLSSocket, connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { startTcpBackend } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'
import { makeCertificate } from './fixtures/support.ts'

const certificate = await makeCertificate()
const echo = await startTcpBackend(t)
const service = (tls: object = {}, more: object = {}): object => ({
  protocol: 'tls',
  listen: ['127.0.0.1:0'],
  tls: { ...certificate.tls, ...tls },
  health: { type: 'none' },
  backends: [echo.address],
  ...more,
})
const key = (): string => `${randomBytes(32).toString('base64')}\n`
const CBC = 'ECDHE-RSA-AES128-SHA256'
const balancer = await startBalancer(
  t,
  {
    appliance: { threads: 2, tickets: { file: 'tickets' } },
    virtualServices: {
      main: service(),
      modern: service({ profile: 'modern' }),
      own: service({ ciphers: [CBC], curves: ['P-384'] }),
      ticketless: service({ tickets: false }),
      narrow: service({}, { limits: { handshakes: 1 }, timeouts: { handshake: '500ms' } }),
    },
  },
  { files: { ...certificate.files, tickets: key() } },
)

async function open(name: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const to = { port: balancer.port(name), host: '127.0.0.1', servername: 'localhost', ca: certificate.ca }
  const socket = tlsConnect({ ...to, ...options })
  t.teardown(() => socket.destroy())
  await within(once(socket, 'secureConnect'), 'a handshake')
  socket.on('error', () => undefined)
  return socket
}

/** After an echo, with which the tickets of TLS 1.3 come. */
async function session(socket: TLSSocket): Promise<Buffer> {
  socket.write('x')
  await within(once(socket, 'data'), 'an echo')
  const found = socket.getSession()
  socket.destroy()
  if (found === undefined) throw new Error('there is no session')
  return found
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
  t.test(`${version}: every one of 200 attempts resumes, whichever thread they come to`, async (t) => {
    const options = { minVersion: version, maxVersion: version }
    let ticket = await session(await open('main', options))
    let resumed = 0
    for (let i = 0; i < 200; i++) {
      const socket = await open('main', { ...options, session: ticket })
      if (socket.isSessionReused()) resumed++
      if (i % 10 === 0) ticket = await session(socket)
      else socket.destroy()
    }
    t.equal(resumed, 200)
  })

t.test('without tickets, and at another service, nothing resumes', async (t) => {
  const ticket = await session(await open('main'))
  t.equal((await open('modern', { session: ticket })).isSessionReused(), false)
  const none = await session(await open('ticketless', { maxVersion: 'TLSv1.2' }))
  t.equal((await open('ticketless', { maxVersion: 'TLSv1.2', session: none })).isSessionReused(), false)
})

t.test('the modern profile is TLS 1.3 alone', async (t) => {
  await t.rejects(open('modern', { maxVersion: 'TLSv1.2' }), { code: /^ERR_SSL_/ })
  t.equal((await open('modern')).getProtocol(), 'TLSv1.3')
})

t.test('no suite with CBC or without forward secrecy is taken unless it is named', async (t) => {
  const weak = getCiphers()
    .map((name) => name.toUpperCase())
    .filter(
      (name) => !/^TLS_|^ECDHE-.*(GCM|CHACHA20)|PSK|SRP|NULL|RC4|DES|ADH|AECDH|CCM|ARIA|CAMELLIA|IDEA|SEED/.test(name),
    )
  t.ok(weak.length > 10)
  const only = { maxVersion: 'TLSv1.2', ciphers: `${weak.join(':')}:@SECLEVEL=0` } as const
  await t.rejects(open('main', only), { code: /^ERR_SSL_/ })
  t.equal((await open('own', only)).getCipher().name, CBC)
})

t.test(
  'the hybrid group against later quantum computers is there, and named groups alone where some are named',
  async (t) => {
    for (const group of ['X25519MLKEM768', 'X25519', 'P-256', 'P-384'])
      t.equal((await open('main', { ecdhCurve: group })).getProtocol(), 'TLSv1.3', group)
    await t.rejects(open('main', { ecdhCurve: 'P-521' }), { code: /^ERR_SSL_/ })
    await t.rejects(open('own', { ecdhCurve: 'X25519' }), { code: /^ERR_SSL_/ })
    t.equal((await open('own', { ecdhCurve: 'P-384' })).getProtocol(), 'TLSv1.3')
  },
)

const noOpenssl = spawnSync('openssl', ['version']).error !== undefined && 'needs openssl'
t.test('openssl s_client may not renegotiate, and finds no compression', { skip: noOpenssl }, async (t) => {
  const args = ['s_client', '-connect', `127.0.0.1:${balancer.port('main')}`, '-tls1_2', '-servername', 'localhost']
  const client = spawn('openssl', args)
  let text = ''
  const hear = (bytes: Buffer): void => {
    text += bytes.toString()
  }
  client.stdout.on('data', hear)
  client.stderr.on('data', hear)
  await eventually('the handshake', () => text.includes('Verify return code'))
  t.match(text, 'Compression: NONE')
  t.match(text, 'Secure Renegotiation IS supported', 'which says only that it can not be abused')
  client.stdin.write('R\n')
  await within(once(client, 'exit'), 'its end')
  t.match(text, /RENEGOTIATING[\s\S]*no renegotiation/)
})

t.test(
  'beyond the limit of handshakes clients wait for their turn, and no longer than a handshake may take',
  async (t) => {
    const mute = await connect(balancer.port('narrow'))
    const begun = performance.now()
    const waiting = [open('narrow'), open('narrow')]
    await Promise.all(waiting.map((each) => each.catch(() => undefined)))
    // Two threads with one slot each: whoever came to that of the mute client waited for its end.
    const elapsed = performance.now() - begun
    t.ok(elapsed < 2000, `${elapsed} ms`)
    mute.destroy()
    for (let i = 0; i < 4; i++) t.equal((await open('narrow')).getProtocol(), 'TLSv1.3', 'afterwards all is as before')
  },
)

t.test('another key in the file that appliances share ends sessions of the one before', async (t) => {
  const before = await session(await open('main'))
  t.equal((await open('main', { session: before })).isSessionReused(), true)
  writeFileSync(join(balancer.dir, 'tickets'), key())
  await eventually('the new key', async () => {
    const socket = await open('main', { session: before })
    const reused = socket.isSessionReused()
    socket.destroy()
    return !reused
  })
  const after = await session(await open('main'))
  t.equal((await open('main', { session: after })).isSessionReused(), true)
})
