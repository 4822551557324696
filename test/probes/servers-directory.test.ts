/** Probes against real servers that answer questions: slapd, FreeRADIUS and dnsmasq. */
import { writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { ADMIN, BASE, needsSlapd, startSlapd } from './directory-server.ts'
import { at, folderOf, freePort, needs, startServer } from './servers.ts'
import { probeOf, verdictOf } from './support.ts'

const never = new AbortController().signal

/** The verdict, or the one of an abort after two seconds. */
const ask = (t: Test, port: number, options: Record<string, unknown>): Promise<string> =>
  verdictOf(t, probeOf(options), at(port), AbortSignal.timeout(2000))

t.test('slapd', { skip: needsSlapd() }, async (t) => {
  const { plain, secure, ca } = await startSlapd(t)
  const baseDn = BASE
  const admin = ADMIN
  const rows: readonly [title: string, ldap: object, verdict: string][] = [
    ['the root DSE', {}, 'pass'],
    ['an entry', { baseDn }, 'pass'],
    ['signed in', { ...admin, baseDn, scope: 'sub', filter: '(ou=people)' }, 'pass'],
    ['more entries than are asked for', { baseDn, scope: 'sub' }, 'pass'],
    ['and, or, not', { baseDn, scope: 'one', filter: '(&(objectClass=*)(|(ou=x)(!(ou=people))))' }, 'pass'],
    ['parts of a value', { baseDn, scope: 'sub', filter: '(ou=p*op*e)' }, 'pass'],
    ['escaped characters', { baseDn, scope: 'sub', filter: '(description=a \\28b\\29 \\2a)' }, 'pass'],
    ['order', { baseDn, scope: 'sub', filter: '(ou~=robots)' }, 'pass'],
    ['nothing matches', { baseDn, scope: 'sub', filter: '(ou=nobody)' }, 'body'],
    ['no such entry', { baseDn: 'dc=absent,dc=org' }, 'status'],
    ['a wrong password', { ...admin, password: 'wrong' }, 'status'],
  ]
  for (const [title, ldap, verdict] of rows)
    t.test(`${title}: ${verdict}`, async (t) => t.equal(await ask(t, plain, { type: 'ldap', ldap }), verdict))
  t.test('over TLS and StartTLS: pass', async (t) => {
    const ldap = { ...admin, baseDn }
    t.equal(await ask(t, secure, { type: 'ldap', ldap, tls: { mode: 'implicit', ca } }), 'pass')
    t.equal(await ask(t, plain, { type: 'ldap', ldap, tls: { mode: 'starttls', ca } }), 'pass')
    t.equal(await ask(t, secure, { type: 'ldap', ldap, tls: { mode: 'implicit' } }), 'tls')
    t.equal(await ask(t, plain, { type: 'ldap', ldap, tls: { mode: 'starttls' } }), 'tls')
  })
})

/** Asks the files about users; `also` is done to every answer. */
const virtualServer = (name: string, port: number, also: string): string => `server ${name} {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = ${port}
  }
  authorize {
    files
    pap
    Autz-Type Status-Server {
      ${also}
      ok
    }
  }
  authenticate {
    Auth-Type PAP {
      pap
    }
  }
  post-auth {
    ${also}
    Post-Auth-Type REJECT {
      ${also}
    }
  }
}`

t.test('FreeRADIUS', { skip: needs('freeradius') }, async (t) => {
  const dir = folderOf(t)
  const [port, older] = [await freePort(), await freePort()]
  writeFileSync(`${dir}/dictionary`, '$INCLUDE /usr/share/freeradius/dictionary\n')
  writeFileSync(`${dir}/users`, 'probe Cleartext-Password := "hunter2"\n')
  writeFileSync(
    `${dir}/radiusd.conf`,
    `prefix = /usr
localstatedir = ${dir}
logdir = ${dir}
raddbdir = ${dir}
run_dir = ${dir}
libdir = /usr/lib/freeradius
pidfile = ${dir}/pid
correct_escapes = true
max_request_time = 5
log {
  destination = stdout
}
security {
  reject_delay = 0
  status_server = yes
}
modules {
  always ok {
    rcode = ok
  }
  pap {
  }
  files {
    usersfile = ${dir}/users
  }
}
client local {
  ipaddr = 127.0.0.1
  secret = testing123
  require_message_authenticator = yes
}
${virtualServer('signed', port, 'update reply {\n Message-Authenticator := 0x00\n }')}
${virtualServer('unsigned', older, 'ok')}
`,
  )
  const server = await startServer(t, { program: 'freeradius', args: ['-f', '-l', 'stdout', '-d', dir] })
  const radius = { secret: 'testing123' }
  await eventually('FreeRADIUS is ready', () => server.log().includes('Ready to process requests'), 20_000)
  const user = { ...radius, user: 'probe', password: 'hunter2' }
  const rows: readonly [title: string, options: object, verdict: string][] = [
    ['the status', radius, 'pass'],
    ['a user', user, 'pass'],
    ['a user with a wrong password', { ...user, password: 'wrong' }, 'status'],
    ['a user with a wrong password, when that passes', { ...user, password: 'wrong', reject: 'pass' }, 'pass'],
    ['a password of more than one block', { ...user, password: 'x'.repeat(40) }, 'status'],
    ['another secret', { ...user, secret: 'other' }, 'timeout'],
  ]
  for (const [title, options, verdict] of rows)
    t.test(`${title}: ${verdict}`, async (t) => {
      const signal = verdict === 'timeout' ? AbortSignal.timeout(300) : AbortSignal.timeout(3000)
      t.equal(await verdictOf(t, probeOf({ type: 'radius', radius: options }), at(port), signal), verdict)
    })
  t.test('a server that signs nothing: protocol, unless that is allowed', async (t) => {
    const lenient = { ...user, requireMessageAuthenticator: false }
    t.equal(await ask(t, older, { type: 'radius', radius: user }), 'protocol')
    t.equal(await ask(t, older, { type: 'radius', radius: lenient }), 'pass')
    t.equal(await ask(t, older, { type: 'radius', radius: { ...lenient, password: 'wrong' } }), 'status')
  })
})

t.test('dnsmasq', { skip: needs('dnsmasq') }, async (t) => {
  const port = await freePort()
  await startServer(t, {
    program: 'dnsmasq',
    args: [
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      `--port=${port}`,
      '--listen-address=127.0.0.1',
      '--bind-interfaces',
      '--no-resolv',
      '--no-hosts',
      '--user=',
      '--local=/example/',
      '--host-record=a.example,10.0.0.1,2001:db8::1',
      '--host-record=a.example,10.0.0.2',
      '--cname=b.example,a.example',
      '--txt-record=t.example,it is,well',
      '--mx-host=a.example,mail.example,10',
      '--srv-host=_ldap._tcp.example,a.example,389',
      '--ptr-record=1.0.0.10.in-addr.arpa,a.example',
    ],
    port,
  })
  const rows: readonly [title: string, dns: object, verdict: string][] = [
    ['an address', { name: 'a.example', expect: '10.0.0.2' }, 'pass'],
    ['an address in IPv6', { name: 'a.example.', type: 'AAAA', expect: '2001:db8:0:0::1' }, 'pass'],
    ['an alias', { name: 'b.example', expect: '10.0.0.1' }, 'pass'],
    ['the name behind an alias', { name: 'b.example', type: 'CNAME', expect: 'A.example.' }, 'pass'],
    ['a text', { name: 't.example', type: 'TXT', expect: 'it iswell' }, 'pass'],
    ['a mail server', { name: 'a.example', type: 'MX', expect: 'mail.example' }, 'pass'],
    ['a service', { name: '_ldap._tcp.example', type: 'SRV', expect: 'a.example' }, 'pass'],
    ['a name of an address', { name: '1.0.0.10.in-addr.arpa', type: 'PTR', expect: 'a.example' }, 'pass'],
    ['a name that does not exist', { name: 'absent.example' }, 'status'],
    ['a name that must not exist', { name: 'absent.example', codes: ['NXDOMAIN'] }, 'pass'],
    ['what it may not ask on', { name: 'elsewhere.test' }, 'status'],
    ['another address', { name: 'a.example', expect: '10.0.0.3' }, 'body'],
  ]
  for (const transport of ['udp', 'tcp'])
    for (const [title, dns, verdict] of rows)
      t.test(`${title}, over ${transport}: ${verdict}`, async (t) => {
        t.equal(await verdictOf(t, probeOf({ type: 'dns', dns: { ...dns, transport } }), at(port), never), verdict)
      })
})
