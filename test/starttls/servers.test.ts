/** `startTls` with real programs on both sides: openssl and curl in front, Postfix, Dovecot and slapd behind. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { makeAuthority, makeLeaf } from '../../lib/tls/signing.ts'
import { ADMIN, BASE, needsSlapd, startSlapd } from '../probes/directory-server.ts'
import { needsDovecot, needsPostfix, startDovecot, startPostfix } from '../probes/mail-servers.ts'
import { at } from '../probes/servers.ts'
import { probeOf, verdictOf } from '../probes/support.ts'
import { type Balancer, startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'
import { noOpenssl } from '../tls/fixtures/openssl.ts'
import type { Name } from './fixtures/protocols.ts'

const noCurl = spawnSync('curl', ['--version']).error !== undefined && 'needs curl'
const authority = await makeAuthority('starttls tests', 2)
const leaf = await makeLeaf(authority, ['localhost', '127.0.0.1'], 2)
const dir = t.testdir({ 'front.pem': authority.cert })
const front = `${dir}/front.pem`

interface Target {
  readonly startTls: Name
  readonly port: number
  /** The path of the authority of the backend. */
  readonly ca: string
}

/** A service in clear text behind, and one that asks its backend for TLS. */
function startWith(t: Test, targets: readonly Target[]): Promise<Balancer> {
  const services = targets.flatMap(({ startTls, port, ca }) => {
    const service = {
      protocol: 'tls',
      startTls,
      listen: ['127.0.0.1:0'],
      tls: { certificates: [{ cert: 'c.pem', key: 'c.key' }] },
      health: { type: startTls },
      backends: [`127.0.0.1:${port}`],
    }
    return [
      [startTls, service],
      [`${startTls}-tls`, { ...service, backendTls: { ca, startTls: true, serverName: 'localhost' } }],
    ]
  })
  return startBalancer(
    t,
    { virtualServices: Object.fromEntries(services) },
    { files: { 'c.pem': leaf.cert, 'c.key': leaf.key } },
  )
}

/** What openssl hears behind the handshake, when it says `lines`. */
async function openssl(port: number, protocol: Name, lines: string, until: RegExp): Promise<string> {
  const args = ['-connect', `127.0.0.1:${port}`, '-starttls', protocol, '-CAfile', front, '-verify_return_error']
  const child = spawn('openssl', ['s_client', ...args, '-quiet', '-crlf'])
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  const ended = once(child, 'close')
  child.stdin.write(lines)
  await Promise.race([ended, eventually('an answer', () => until.test(said))])
  child.kill()
  await ended
  return said
}

const curl = (...args: string[]) => {
  const { stdout, stderr, status } = spawnSync('curl', [
    '-sv',
    '--ssl-reqd',
    '--max-time',
    '5',
    '--cacert',
    front,
    ...args,
  ])
  return { status, out: stdout.toString(), err: stderr.toString() }
}

/** Our own probe as the client. */
const probe = (t: Test, port: number, options: Record<string, unknown>): Promise<string> =>
  verdictOf(t, probeOf({ ...options, tls: { mode: 'starttls', ca: front } }), at(port), AbortSignal.timeout(3000))

t.test('Postfix', { skip: needsPostfix() || noOpenssl || noCurl }, async (t) => {
  const { port, ca, log } = await startPostfix(t)
  const balancer = await startWith(t, [{ startTls: 'smtp', port, ca }])
  for (const name of ['smtp', 'smtp-tls']) {
    const front = balancer.port(name)
    t.match(
      await openssl(front, 'smtp', 'EHLO client.test\nMAIL FROM:<a@b.test>\n', /250 2\.1\.0/),
      /250-mail\.example\r?\n/,
    )
    t.equal(await probe(t, front, { type: 'smtp' }), 'pass')
    const { status, err } = curl(`smtp://localhost:${front}`, '-X', 'NOOP')
    t.equal(status, 0, err)
  }
  const seen = (how: RegExp): number => readFileSync(log, 'utf8').match(how)?.length ?? 0
  await eventually('TLS of its own at the backend', () => seen(/starttls=1 .*noop=1|noop=1 .*starttls=1/g) > 0)
})

t.test('Dovecot', { skip: needsDovecot() || noOpenssl || noCurl }, async (t) => {
  const { imap, pop3, ca } = await startDovecot(t)
  const balancer = await startWith(t, [
    { startTls: 'imap', port: imap, ca },
    { startTls: 'pop3', port: pop3, ca },
  ])
  for (const name of ['imap', 'imap-tls']) {
    const front = balancer.port(name)
    t.match(await openssl(front, 'imap', 'a LOGIN joe secret\n', /a OK/), /a OK .*Logged in/)
    t.equal(await probe(t, front, { type: 'imap' }), 'pass')
    t.match(curl(`imap://localhost:${front}`, '-u', 'joe:secret', '-X', 'NOOP').err, /OK .*Logged in/)
  }
  for (const name of ['pop3', 'pop3-tls']) {
    const front = balancer.port(name)
    t.match(await openssl(front, 'pop3', 'USER joe\nPASS secret\n', /Logged in/), /\+OK Logged in/)
    t.equal(await probe(t, front, { type: 'pop3' }), 'pass')
    t.match(curl(`pop3://localhost:${front}`, '-u', 'joe:secret', '-X', 'NOOP', '-I').err, /\+OK Logged in/)
  }
})

t.test('slapd', { skip: needsSlapd() || noOpenssl }, async (t) => {
  const { plain, ca } = await startSlapd(t)
  const balancer = await startWith(t, [{ startTls: 'ldap', port: plain, ca }])
  for (const name of ['ldap', 'ldap-tls']) {
    const front = balancer.port(name)
    t.equal(await probe(t, front, { type: 'ldap', ldap: { ...ADMIN, baseDn: BASE, scope: 'sub' } }), 'pass')
    t.match(await openssl(front, 'ldap', '', /verify return:1/), /verify return:1/)
    t.equal(
      await verdictOf(t, probeOf({ type: 'ldap', ldap: { ...ADMIN } }), at(front), AbortSignal.timeout(3000)),
      'status',
      'without TLS nobody signs in',
    )
  }
})
