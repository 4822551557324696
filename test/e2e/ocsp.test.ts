/** OCSP stapling, with openssl as the responder. */
import { type ChildProcess, spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect as tlsConnect } from 'node:tls'
import t from 'tap'
import { refusedPort, startTcpBackend } from '../support/backend.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually, within } from '../support/eventually.ts'
import { Authority, noOpenssl } from '../tls/fixtures/openssl.ts'

t.test('OCSP stapling', { skip: noOpenssl }, async (t) => {
  const port = await refusedPort()
  const authority = new Authority(t.testdir({}))
  const mute = createHttpServer(() => {}) // a responder that takes the question and says nothing
  mute.listen(0, '127.0.0.1')
  await once(mute, 'listening')
  t.teardown(() => mute.close().closeAllConnections())
  const issue = (responder: string, key: 'ec' | 'rsa' = 'ec') => {
    const files = authority.issue({
      key,
      names: ['localhost'],
      extensions: [`authorityInfoAccess=OCSP;URI:${responder}`],
    })
    authority.note(files.cert)
    const chain = files.cert.replace('.pem', '-chain.pem')
    writeFileSync(chain, readFileSync(files.cert, 'utf8') + authority.pem)
    return { cert: chain, key: files.key, leaf: files.cert }
  }
  const good = issue(`http://127.0.0.1:${port}/`)
  const rsa = issue(`http://127.0.0.1:${port}/`, 'rsa')
  const revoked = issue(`http://127.0.0.1:${port}/`)
  const silent = issue(`http://127.0.0.1:${(mute.address() as AddressInfo).port}/`)
  authority.revoke(revoked.leaf)
  const args = ['ocsp', '-port', `${port}`, '-index', 'index.txt', '-CA', authority.cert, '-nmin', '60']
  const responder: ChildProcess = spawn('openssl', [...args, '-rsigner', authority.cert, '-rkey', authority.key], {
    cwd: authority.dir,
    stdio: 'ignore',
  })
  t.teardown(() => responder.kill('SIGKILL'))
  const echo = await startTcpBackend(t)
  const service = ({ cert, key }: { cert: string; key: string }, more: object = {}): object => ({
    protocol: 'tls',
    listen: ['127.0.0.1:0'],
    tls: { certificates: [{ cert, key }], ocspStapling: true, ...more },
    health: { type: 'none' },
    backends: [echo.address],
  })
  const config = {
    appliance: { threads: 2 },
    virtualServices: {
      good: service(good),
      both: service(good, { certificates: [good, rsa].map(({ cert, key }) => ({ cert, key })) }),
      off: service(good, { ocspStapling: false }),
      revoked: service(revoked),
      silent: service(silent),
    },
  }

  /** The answer that came with the handshake; null: none did. */
  async function staple(balancer: Balancer, name: string): Promise<Buffer | null> {
    const to = { port: balancer.port(name), host: '127.0.0.1', servername: 'localhost', ca: authority.pem }
    const socket = tlsConnect({ ...to, requestOCSP: true })
    const heard = new Promise<Buffer | null>((resolve) => socket.once('OCSPResponse', resolve))
    await within(once(socket, 'secureConnect'), 'a handshake')
    const answer = await within(heard, 'an answer or none')
    socket.destroy()
    return answer === null || answer.length === 0 ? null : answer
  }

  const balancer = await startBalancer(t, config)
  t.test('an answer is fetched and shown by both threads', async (t) => {
    let row = 0
    await eventually('ten in a row', async () => {
      row = (await staple(balancer, 'good')) === null ? 0 : row + 1
      return row >= 10
    })
    t.equal(await staple(balancer, 'off'), null)
    t.equal(readdirSync(join(balancer.dir, 'state', 'ocsp')).length > 0, true)
  })

  t.test(
    'of two keys for a name each client gets one that it can verify, with the answer about that one',
    async (t) => {
      /** Type of key and the serial number that the answer is about; '': there is none. */
      const seen = async (options: object): Promise<[string, boolean]> => {
        const to = { port: balancer.port('both'), host: '127.0.0.1', servername: 'localhost', ca: authority.pem }
        const socket = tlsConnect({ ...to, requestOCSP: true, ...options })
        const heard = new Promise<Buffer | null>((resolve) => socket.once('OCSPResponse', resolve))
        await within(once(socket, 'secureConnect'), 'a handshake')
        const answer = await within(heard, 'an answer or none')
        const leaf = socket.getPeerX509Certificate()
        socket.destroy()
        const about = answer?.includes(Buffer.from(leaf?.serialNumber ?? '?', 'hex')) === true
        return [leaf?.publicKey.asymmetricKeyType ?? '', about]
      }
      await eventually('both answers', async () => readdirSync(join(balancer.dir, 'state', 'ocsp')).length === 2)
      const RSA = { sigalgs: 'rsa_pss_rsae_sha256:RSA+SHA256' }
      const EC = { sigalgs: 'ecdsa_secp256r1_sha256' }
      for (const [type, options] of [
        ['ec', {}],
        ['ec', { maxVersion: 'TLSv1.2' }],
        ['ec', EC],
        ['ec', { ...EC, maxVersion: 'TLSv1.2' }],
        ['rsa', RSA],
        ['rsa', { ...RSA, maxVersion: 'TLSv1.2' }],
        ['rsa', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }],
      ] as const) {
        let row = 0
        await eventually(`ten in a row: ${type}, ${JSON.stringify(options)}`, async () => {
          const [key, about] = await seen(options)
          t.equal(key, type, JSON.stringify(options))
          row = about ? row + 1 : 0
          return row >= 10
        })
      }
    },
  )

  t.test('a responder that says nothing holds no handshake up', async (t) => {
    const begun = performance.now()
    t.equal(await staple(balancer, 'silent'), null)
    t.ok(performance.now() - begun < 1000)
  })

  t.test('an answer that the certificate is revoked is told to the operator, not to clients', async (t) => {
    await eventually('a word in the log', () => balancer.stderr().includes('the certificate is revoked'))
    t.equal(await staple(balancer, 'revoked'), null)
  })

  t.test('after a restart the answer is there without the responder, and a damaged one is not shown', async (t) => {
    const { fingerprint256 } = new X509Certificate(readFileSync(good.leaf))
    const name = `${fingerprint256.replaceAll(':', '').toLowerCase()}.der`
    const kept = readFileSync(join(balancer.dir, 'state', 'ocsp', name))
    responder.kill('SIGKILL')
    await once(responder, 'exit')
    const one = { virtualServices: { good: service(good) } }
    const again = await startBalancer(t, one, { files: { [`state/ocsp/${name}`]: kept } })
    await eventually('a staple', async () => (await staple(again, 'good'))?.equals(kept))
    const damaged = Buffer.from(kept)
    damaged[80] = (damaged[80] ?? 0) ^ 1 // in what is signed
    const bad = await startBalancer(t, one, { files: { [`state/ocsp/${name}`]: damaged } })
    await eventually('a failed fetch', () => bad.stderr().includes('OCSP answer of'))
    t.equal(await staple(bad, 'good'), null)
  })
})
