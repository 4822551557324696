/** Probes against real databases: Redis, PostgreSQL and MariaDB. */
import { chmodSync, chownSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { at, folderOf, freePort, needs, run, startServer } from './servers.ts'
import { certificateIn, probeOf, verdictOf } from './support.ts'

const SYSTEM_TABLES = '/usr/share/mysql/mysql_system_tables.sql'

const ask = (t: Test, port: number, options: Record<string, unknown>): Promise<string> =>
  verdictOf(t, probeOf(options), at(port), AbortSignal.timeout(3000))

t.test('Redis', { skip: needs('redis-server') }, async (t) => {
  const dir = folderOf(t)
  const [port, secure, replicaPort] = [await freePort(), await freePort(), await freePort()]
  const { cert, key, ca } = await certificateIn(`${dir}/tls`)
  const common = ['--bind', '127.0.0.1', '--dir', dir, '--save', '', '--repl-diskless-sync-delay', '0']
  const tls = ['--tls-port', `${secure}`, '--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', ca]
  const primary = await startServer(t, {
    program: 'redis-server',
    args: [...common, '--port', `${port}`, '--requirepass', 'hunter2', ...tls, '--tls-auth-clients', 'no'],
    port,
  })
  const of = ['--replicaof', `127.0.0.1 ${port}`, '--masterauth', 'hunter2']
  await startServer(t, {
    program: 'redis-server',
    args: [...common, '--port', `${replicaPort}`, ...of],
    port: replicaPort,
  })
  const password = 'hunter2'
  const redis = (options: object) => ({ type: 'redis', redis: options })
  t.equal(await ask(t, port, redis({ password })), 'pass')
  t.equal(await ask(t, port, redis({ user: 'default', password })), 'pass')
  t.equal(await ask(t, port, redis({ password: 'wrong' })), 'status')
  t.equal(await ask(t, port, redis({})), 'status')
  t.equal(await ask(t, port, redis({ password, role: 'primary' })), 'pass')
  t.equal(await ask(t, port, redis({ password, role: 'replica' })), 'status')
  t.equal(await ask(t, secure, { ...redis({ password }), tls: { mode: 'implicit', ca } }), 'pass')
  t.equal(await ask(t, secure, { ...redis({ password }), tls: { mode: 'implicit' } }), 'tls')
  const replica = probeOf(redis({ role: 'replica' }))
  const passes = (): Promise<boolean> =>
    replica.check(at(replicaPort), AbortSignal.timeout(1000)).then(
      () => true,
      () => false,
    )
  await eventually('the replica has its primary', passes, 15_000)
  t.equal(await ask(t, replicaPort, redis({ role: 'primary' })), 'status')
  await primary.stop()
  await eventually('a replica without its primary fails', async () => !(await passes()), 15_000)
  t.equal(await ask(t, replicaPort, redis({})), 'pass')
})

t.test('PostgreSQL', { skip: needs('root', 'initdb', 'postgres') }, async (t) => {
  const dir = folderOf(t)
  const port = await freePort()
  const { cert, key, ca } = await certificateIn(`${dir}/tls`)
  const uid = Number(run('id', ['-u', 'postgres']))
  const gid = Number(run('id', ['-g', 'postgres']))
  chownSync(dir, uid, gid)
  const data = `${dir}/data`
  run('initdb', ['-D', data, '-U', 'owner', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'], { uid, gid })
  for (const [from, name] of [
    [cert, 'server.crt'],
    [key, 'server.key'],
  ] as const) {
    copyFileSync(from, `${data}/${name}`)
    chownSync(`${data}/${name}`, uid, gid)
    chmodSync(`${data}/${name}`, 0o600)
  }
  const sql = `SET password_encryption = 'scram-sha-256';
CREATE USER probe PASSWORD 'hunter2';
CREATE USER clear PASSWORD 'hunter2';
SET password_encryption = 'md5';
CREATE USER old PASSWORD 'hunter2';
CREATE USER free;
`
  run('postgres', ['--single', '-D', data, 'postgres'], { input: sql, uid, gid })
  writeFileSync(
    `${data}/pg_hba.conf`,
    `host all free 127.0.0.1/32 trust
host all probe 127.0.0.1/32 scram-sha-256
host all old 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
`,
  )
  const args = ['-D', data, '-p', `${port}`, '-k', dir, '-h', '127.0.0.1', '-c', 'fsync=off', '-c', 'ssl=on']
  const server = await startServer(t, { program: 'postgres', args, port, uid, gid })
  const postgres = (options: object) => ({ type: 'postgres', postgres: options })
  const [user, password, database] = ['probe', 'hunter2', 'postgres']
  const starttls = { tls: { mode: 'starttls', ca } }
  const stranger = postgres({})
  await eventually('it has started', () =>
    probeOf(stranger)
      .check(at(port), AbortSignal.timeout(500))
      .then(
        () => true,
        () => false,
      ),
  )
  const rows: readonly [title: string, options: object, verdict: string][] = [
    ['nobody', stranger, 'pass'],
    ['nobody, over TLS', { ...stranger, ...starttls }, 'pass'],
    ['nobody, a certificate of an unknown authority', { ...stranger, tls: { mode: 'starttls' } }, 'tls'],
    ['a user without password', postgres({ user }), 'pass'],
    ['SCRAM', postgres({ user, password, database }), 'pass'],
    ['SCRAM over TLS', { ...postgres({ user, password, database }), ...starttls }, 'pass'],
    ['SCRAM with a wrong password', postgres({ user, password: 'wrong', database }), 'status'],
    ['MD5', postgres({ user: 'old', password, database }), 'pass'],
    ['MD5 with a wrong password', postgres({ user: 'old', password: 'wrong', database }), 'status'],
    ['clear text', postgres({ user: 'clear', password, database }), 'protocol'],
    ['clear text over TLS', { ...postgres({ user: 'clear', password, database }), ...starttls }, 'pass'],
    ['trust', postgres({ user: 'free', database, role: 'primary' }), 'pass'],
    ['another role', postgres({ user, password, database, role: 'replica' }), 'status'],
    ['a role that can not be learnt', postgres({ user, role: 'primary' }), 'status'],
    ['no such database', postgres({ user, password, database: 'absent' }), 'status'],
    ['no such user', postgres({ user: 'absent', password, database }), 'status'],
  ]
  for (const [title, options, verdict] of rows)
    t.test(`${title}: ${verdict}`, async (t) => t.equal(await ask(t, port, { ...options }), verdict))

  t.test('a replica', async (t) => {
    await server.stop('SIGINT')
    writeFileSync(`${data}/standby.signal`, '')
    const standby = await startServer(t, { program: 'postgres', args, port, uid, gid })
    const replica = probeOf(postgres({ user, password, database, role: 'replica' }))
    await eventually('it takes queries', () =>
      replica.check(at(port), AbortSignal.timeout(1000)).then(
        () => true,
        () => false,
      ),
    )
    t.equal(await ask(t, port, postgres({ user, password, database, role: 'primary' })), 'status')
    await standby.stop('SIGINT')
  })
})

t.test('MariaDB', { skip: needs('root', 'mariadbd') }, async (t) => {
  const dir = folderOf(t)
  const port = await freePort()
  const { cert, key, ca } = await certificateIn(`${dir}/tls`)
  mkdirSync(`${dir}/data`)
  const common = ['--no-defaults', `--datadir=${dir}/data`, '--user=root']
  const small = ['--innodb-buffer-pool-size=8M', '--innodb-log-file-size=4M', '--innodb-flush-method=nosync']
  // What mariadb-install-db does, without the programs of the client that it calls.
  const tables = readFileSync(SYSTEM_TABLES, 'utf8')
  run('mariadbd', [...common, ...small, '--bootstrap'], { input: `CREATE DATABASE mysql;\nUSE mysql;\n${tables}` })
  writeFileSync(
    `${dir}/init.sql`,
    `CREATE USER probe@'127.0.0.1' IDENTIFIED BY 'hunter2';
CREATE USER sure@'127.0.0.1' IDENTIFIED BY 'hunter2' REQUIRE SSL;
CREATE USER free@'127.0.0.1';
`,
  )
  const server = await startServer(t, {
    program: 'mariadbd',
    args: [
      ...common,
      ...small,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      `--socket=${dir}/socket`,
      `--init-file=${dir}/init.sql`,
      `--ssl-cert=${cert}`,
      `--ssl-key=${key}`,
      '--skip-name-resolve',
      '--log-warnings=4',
    ],
    port,
  })
  const mysql = (options: object) => ({ type: 'mysql', mysql: options })
  const password = 'hunter2'
  const starttls = { tls: { mode: 'starttls', ca } }
  const rows: readonly [title: string, options: object, verdict: string][] = [
    ['a user', mysql({ user: 'probe', password }), 'pass'],
    ['nobody', mysql({}), 'pass'],
    ['nobody, over TLS', { ...mysql({}), ...starttls }, 'pass'],
    ['nobody, a certificate of an unknown authority', { ...mysql({}), tls: { mode: 'starttls' } }, 'tls'],
  ]
  t.test('a probe without a user goes through with its login: hosts that do not are blocked one day', async (t) => {
    const unfinished = (): number => server.log().match(/closed normally without authentication/g)?.length ?? 0
    await eventually('the wait for the port was one', () => unfinished() === 1)
    for (let n = 0; n < 3; n++) t.equal(await ask(t, port, mysql({})), 'pass')
    await eventually('all were refused', () => server.log().match(/Access denied for user 'evenkeel'/g)?.length === 3)
    t.equal(unfinished(), 1)
  })
  const more: typeof rows = [
    ['a user, over TLS', { ...mysql({ user: 'sure', password }), ...starttls }, 'pass'],
    ['a user that must use TLS', mysql({ user: 'sure', password }), 'status'],
    ['a user without password', mysql({ user: 'free' }), 'pass'],
    ['a wrong password', mysql({ user: 'probe', password: 'wrong' }), 'status'],
  ]
  for (const [title, options, verdict] of [...more, ...rows])
    t.test(`${title}: ${verdict}`, async (t) => t.equal(await ask(t, port, { ...options }), verdict))
})
