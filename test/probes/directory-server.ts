/** slapd with a small directory: in clear text with StartTLS, and over TLS. */
import { mkdirSync, writeFileSync } from 'node:fs'
import type { Test } from 'tap'
import { folderOf, freePort, needs, run, startServer } from './servers.ts'
import { certificateIn } from './support.ts'

export const needsSlapd = (): string | false => needs('slapd', 'slapadd')

export const BASE = 'dc=example,dc=org'
export const ADMIN = { bindDn: `cn=admin,${BASE}`, password: 'hunter2' }

export async function startSlapd(t: Test): Promise<{ plain: number; secure: number; ca: string }> {
  const dir = folderOf(t)
  const [plain, secure] = [await freePort(), await freePort()]
  const certificate = await certificateIn(`${dir}/tls`)
  mkdirSync(`${dir}/db`)
  writeFileSync(
    `${dir}/slapd.conf`,
    `include /etc/ldap/schema/core.schema
pidfile ${dir}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile ${certificate.cert}
TLSCertificateKeyFile ${certificate.key}
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw hunter2
directory ${dir}/db
`,
  )
  writeFileSync(
    `${dir}/data.ldif`,
    `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people
description: a (b) *

dn: ou=robots,dc=example,dc=org
objectClass: organizationalUnit
ou: robots
`,
  )
  run('slapadd', ['-f', `${dir}/slapd.conf`, '-l', `${dir}/data.ldif`])
  const urls = `ldap://127.0.0.1:${plain} ldaps://127.0.0.1:${secure}`
  await startServer(t, { program: 'slapd', args: ['-d', '0', '-h', urls, '-f', `${dir}/slapd.conf`], port: secure })
  return { plain, secure, ca: certificate.ca }
}
