/** Postfix and Dovecot as a test needs them: in clear text, with STARTTLS, and over TLS. */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import type { Test } from 'tap'
import { folderOf, freePort, needs, run, type Server, startServer } from './servers.ts'
import { certificateIn } from './support.ts'

export const needsPostfix = (): string | false => needs('root', 'postconf', 'master')
export const needsDovecot = (): string | false => needs('root', 'dovecot')

export interface Postfix {
  readonly port: number
  /** The path of its authority's certificate. */
  readonly ca: string
  readonly server: Server
  /** Of its own log. */
  readonly log: string
}

export async function startPostfix(t: Test): Promise<Postfix> {
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
  const env = { MAIL_CONFIG: conf }
  const server = await startServer(t, { program: 'master', args: ['-c', conf, '-d'], port, env })
  return { port, ca: certificate.ca, server, log: `${dir}/log` }
}

export interface Dovecot {
  readonly imap: number
  readonly imaps: number
  readonly pop3: number
  readonly pop3s: number
  readonly ca: string
}

/** Takes any password. */
export async function startDovecot(t: Test): Promise<Dovecot> {
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
  await startServer(t, {
    program: 'dovecot',
    args: ['-F', '-c', `${dir}/dovecot.conf`],
    port: [imap, imaps, pop3, pop3s],
  })
  return { imap, imaps, pop3, pop3s, ca: certificate.ca }
}
