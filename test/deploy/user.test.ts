/** `appliance.user`: who starts it as root gets a process that is not, and can still bind its ports. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { setprivArguments } from '../../lib/cli/identity.ts'
import { startTcpBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { connect } from '../support/raw.ts'

const CLI = fileURLToPath(new URL('../../lib/cli/evenkeel.js', import.meta.url))
const root = process.getuid?.() === 0 && existsSync('/usr/bin/setpriv')
const skip = root ? false : 'needs root and setpriv'
const LOW = 1 // reserved, and used by nobody

interface Run {
  readonly child: ChildProcess
  out(): string
  err(): string
}

async function start(t: Test, appliance: object, backend: string): Promise<Run> {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-user-'))
  const nobody = Number(execFileSync('id', ['-u', 'nobody']))
  await chmod(dir, 0o755)
  await chown(dir, nobody, nobody)
  const main = { protocol: 'tcp', listen: [`127.0.0.1:${LOW}`], health: { type: 'none' }, backends: [backend] }
  const config = {
    version: 1,
    appliance: { threads: 1, ...appliance },
    admin: { listen: `unix:${dir}/admin.sock` },
    accessLog: { path: join(dir, 'access.log') },
    virtualServices: { main },
  }
  const file = join(dir, 'virtual-services.yaml')
  await writeFile(file, JSON.stringify(config), { mode: 0o644 })
  const child = spawn(process.execPath, [CLI, 'run', '--json', file], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await rm(dir, { recursive: true, force: true })
  })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  return { child, out: () => out, err: () => err }
}

const idsOf = (status: string, field: string): string[] =>
  (new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '?').split(/\s+/)

t.test('every thread is that user, with its groups, and may bind low ports and nothing else', { skip }, async (t) => {
  const backend = await startTcpBackend(t)
  const run = await start(t, { user: 'nobody' }, backend.address)
  await eventually('the start', () => run.out().includes('"started"') || run.child.exitCode !== null, 20_000)
  const { pid } = run.child
  t.equal(run.child.exitCode, null, run.err())
  const [uid, gid] = ['-u', '-g'].map((flag) => String(execFileSync('id', [flag, 'nobody'])).trim())
  const groups = String(execFileSync('id', ['-G', 'nobody']))
    .trim()
    .split(' ')
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1')
    t.strictSame(idsOf(status, 'Uid'), [uid, uid, uid, uid])
    t.strictSame(idsOf(status, 'Gid'), [gid, gid, gid, gid])
    t.strictSame(
      idsOf(status, 'Groups').filter((id) => id !== ''),
      groups,
    )
    for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapBnd', 'CapAmb'])
      t.strictSame(idsOf(status, set), ['0000000000000400'], set)
    t.strictSame(idsOf(status, 'NoNewPrivs'), ['1'])
  }
  const client = await connect(LOW)
  client.send('hello')
  t.equal(String(await client.readBytes(5)), 'hello')
  client.destroy()
  const socket = /"admin":"unix:([^"]+)"/.exec(run.out())?.[1] ?? ''
  execFileSync('curl', ['-s', '-X', 'POST', '--unix-socket', socket, 'http://localhost/api/v1/threads/0/restart'])
  await eventually('a thread that is replaced binds the port again', () => run.err().includes('data thread 0 is back'))
  const again = await connect(LOW)
  again.send('again')
  t.equal(String(await again.readBytes(5)), 'again')
  again.destroy()
})

t.test('a user whom nobody knows, or whom only root could become, keeps it from starting', { skip }, async (t) => {
  const unknown = await start(t, { user: 'nobody-at-all' }, '127.0.0.1:9')
  await once(unknown.child, 'exit')
  t.equal(unknown.child.exitCode, 2)
  t.match(unknown.err(), /appliance\.user: there is no user nobody-at-all on this machine/)
})

t.test('groups, group and user in this order, then capabilities', (t) => {
  t.strictSame(setprivArguments({ uid: 5, gid: 6 }, true), [
    '--reuid=5',
    '--regid=6',
    '--init-groups',
    '--inh-caps=-all,+net_bind_service',
    '--ambient-caps=-all,+net_bind_service',
    '--bounding-set=-all,+net_bind_service',
    '--no-new-privs',
  ])
  t.notMatch(setprivArguments({ uid: 5, gid: 6 }, false).join(' '), 'net_bind')
  t.end()
})
