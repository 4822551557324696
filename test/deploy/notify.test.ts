/** What systemd hears of us. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Systemd } from '../../lib/service/systemd.ts'
import { ended, upgrade } from '../e2e/fixtures/upgrades.ts'
import { refusedPort } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'

const missing = ['/usr/bin/systemd-notify', '/usr/bin/perl'].filter((path) => !existsSync(path))
const skip = missing.length === 0 ? false : `needs ${missing.join(' and ')}`

// A socket for unix datagrams, which node can't open; it prints what it gets.
const LISTENER = `use Socket; $| = 1;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_un($ARGV[0])) or die;
print "listening\\n"; while (defined recv($s, my $m, 4096, 0)) { print "$m\\n" }`

async function listener(t: Test): Promise<{ path: string; heard: () => string[] }> {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-notify-'))
  const path = join(dir, 'socket')
  const child = spawn('perl', ['-e', LISTENER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(async () => {
    child.kill()
    await rm(dir, { recursive: true, force: true })
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more
  })
  await eventually('the listener', () => text.startsWith('listening\n'))
  return { path, heard: () => text.split('\n').slice(1) }
}

t.test(
  'ready when everything listens, alive as long as threads serve, stopping with the signal',
  { skip },
  async (t) => {
    const { path, heard } = await listener(t)
    const main = { protocol: 'tcp', listen: ['127.0.0.1:0'], health: { type: 'none' } }
    const backends = [`127.0.0.1:${await refusedPort()}`]
    const balancer = await startBalancer(
      t,
      { virtualServices: { main: { ...main, backends } } },
      { env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '600000' } },
    )
    await eventually('READY', () => heard().includes('READY=1'))
    t.ok(heard().includes('STATUS=1 services'))
    await eventually('the watchdog is fed', () => heard().filter((line) => line === 'WATCHDOG=1').length >= 3)
    t.notOk(heard().includes('STOPPING=1'))
    t.strictSame(await balancer.stop(), { code: 0, signal: null })
    await eventually('STOPPING', () => heard().includes('STOPPING=1'))
  },
)

t.test('systemd knows the process that comes in its place before the first one ends', { skip }, async (t) => {
  const { path, heard } = await listener(t)
  const main = { protocol: 'tcp', listen: ['127.0.0.1:0'], health: { type: 'none' } }
  const backends = [`127.0.0.1:${await refusedPort()}`]
  const services = { virtualServices: { main: { ...main, backends } } }
  const balancer = await startBalancer(t, services, { env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '600000' } })
  const { pid, sentence } = await upgrade(t, balancer)
  t.ok(heard().includes(`MAINPID=${pid}`), sentence)
  await ended(balancer.pid)
  t.notOk(heard().includes('STOPPING=1'), 'the service goes on')
  const fed = heard().length
  await eventually('the new one feeds the watchdog', () => heard().slice(fed).includes('WATCHDOG=1'))
})

t.test('a process that does not do its work starves the watchdog', { skip }, async (t) => {
  const { path, heard } = await listener(t)
  let asked = 0
  const healthy = (): boolean => {
    asked++
    return false
  }
  const systemd = Systemd.of({
    env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '150000' },
    log: { warn() {} } as never,
    healthy,
  })
  systemd?.ready('')
  t.teardown(() => systemd?.stop())
  await eventually('READY', () => heard().includes('READY=1'))
  await eventually('it was looked at', () => asked >= 3)
  t.notOk(heard().includes('WATCHDOG=1'))
})

t.test('without systemd nothing is told', (t) => {
  t.equal(Systemd.of({ env: {}, log: { warn() {} } as never, healthy: () => true }), null)
  t.end()
})
