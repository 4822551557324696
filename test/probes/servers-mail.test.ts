/** Probes against real mail servers: Postfix and Dovecot. */
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { at, folderOf, freePort, needs, run, startServer } from './servers.ts'
import { certificateIn, probeOf, verdictOf } from './support.ts'

const ask = (t: Parameters<typeof verdictOf>[0], port: number, options: Record<string, unknown>): Promise<string> =>
  verdictOf(t, probeOf(options), at(port), AbortSignal.timeout(3000))

t.test('Postfix', { skip: needs('root', 'postconf', 'master') }, async (t) => {
  const dir = folderOf(t)
  const port = await freePort()
  const certificate = await certificateIn(`${dir}/tls`)
  const uid = Number(run('id', ['-u', 'postfix']))
  const gid = Number(run('id', ['-g', 'postfix']))
  const conf = `${dir}/conf`
  for (const name of ['conf', 'queue', 'queue/pid', 'queue/private', 'queue/public', 'data'])
    mkdirSync(`${dir}/${name}`)
  for (const name of [
    'active',
    'bounce',
    'corrupt',
    'defer',
    'deferred',
    'flush',
    'hold',
    'incoming',
    'saved',
    'trace',
  ])
    mkdirSync(`${dir}/queue/${name}`)
  for (const name of ['queue/private', 'queue/public', 'data']) chownSync(`${dir}/${name}`, uid, gid)
  chmodSync(`${dir}/tls`, 0o755)
  writeFileSync(
    `${conf}/main.cf`,
    `compatibility_level = 3.6
queue_directory = ${dir}/queue
data_directory = ${dir}/data
maillog_file = ${dir}/log
maillog_file_prefixes = ${dir}
myhostname = mail.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_tls_security_level = may
smtpd_tls_cert_file = ${certificate.cert}
smtpd_tls_key_file = ${certificate.key}
`,
  )
  writeFileSync(
    `${conf}/master.cf`,
    `127.0.0.1:${port} inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
`,
  )
  const server = await startServer(t, { program: 'master', args: ['-c', conf, '-d'], port, env: { MAIL_CONFIG: conf } })
  const { ca } = certificate
  t.equal(await ask(t, port, { type: 'smtp' }), 'pass', server.log())
  t.equal(await ask(t, port, { type: 'smtp', smtp: { helo: 'probe.example' } }), 'pass')
  t.equal(await ask(t, port, { type: 'smtp', tls: { mode: 'starttls', ca } }), 'pass')
  t.equal(await ask(t, port, { type: 'smtp', tls: { mode: 'starttls' } }), 'tls')
  t.equal(await ask(t, port, { type: 'smtp', tls: { mode: 'implicit', ca } }), 'tls')
  const left = (how: RegExp): number => readFileSync(`${dir}/log`, 'utf8').match(how)?.length ?? 0
  await eventually('those that pass take their leave', () => left(/ ehlo=1 quit=1 /g) === 2)
  await eventually('over TLS too', () => left(/ ehlo=2 starttls=1 quit=1 /g) === 1)
})

t.test('Dovecot', { skip: needs('root', 'dovecot') }, async (t) => {
  const dir = folderOf(t)
  const [imap, imaps, pop3, pop3s] = [await freePort(), await freePort(), await freePort(), await freePort()]
  const certificate = await certificateIn(`${dir}/tls`)
  writeFileSync(
    `${dir}/dovecot.conf`,
    `base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
protocols = imap pop3
ssl = yes
ssl_cert = <${certificate.cert}
ssl_key = <${certificate.key}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = ${imap}
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = ${imaps}
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    address = 127.0.0.1
    port = ${pop3}
  }
  inet_listener pop3s {
    address = 127.0.0.1
    port = ${pop3s}
    ssl = yes
  }
}
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=${dir}
}
`,
  )
  await startServer(t, { program: 'dovecot', args: ['-F', '-c', `${dir}/dovecot.conf`], port: pop3s })
  const { ca } = certificate
  for (const [type, plain, secure] of [
    ['imap', imap, imaps],
    ['pop3', pop3, pop3s],
  ] as const) {
    t.equal(await ask(t, plain, { type }), 'pass')
    t.equal(await ask(t, plain, { type, tls: { mode: 'starttls', ca } }), 'pass')
    t.equal(await ask(t, plain, { type, tls: { mode: 'starttls' } }), 'tls')
    t.equal(await ask(t, secure, { type, tls: { mode: 'implicit', ca } }), 'pass')
    t.equal(await ask(t, secure, { type, tls: { mode: 'implicit' } }), 'tls')
  }
  t.equal(await ask(t, imap, { type: 'pop3' }), 'protocol')
  t.equal(await ask(t, pop3, { type: 'imap' }), 'protocol')
})
