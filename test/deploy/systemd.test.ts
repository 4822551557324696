/** The unit under a real systemd, which is process 1 of namespaces that the test makes. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FIXTURES = join(ROOT, 'test/deploy/fixtures')
const LIMIT_S = 150
// Where processes of a service are told apart: both hierarchies, or the new one alone.
const GROUPS = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified', '/sys/fs/cgroup'].filter((folder) =>
  existsSync(join(folder, 'cgroup.procs')),
)
const SPACES = ['--mount', '--pid', '--fork', '--net', '--uts', '--ipc', '--cgroup', '--kill-child']

const able =
  process.getuid?.() === 0 &&
  GROUPS.length > 0 &&
  ['/lib/systemd/systemd', '/usr/bin/unshare', '/usr/sbin/ip', '/usr/bin/curl'].every((path) => existsSync(path)) &&
  spawnSync('unshare', [...SPACES, 'true']).status === 0

t.test(
  'systemctl restart loses no request: the unit starts, reloads, restarts twice and stops',
  { skip: able ? false : 'needs root, systemd, iproute2, curl and namespaces' },
  async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'evenkeel-systemd-'))
    const seen = join(dir, 'seen')
    await mkdir(seen)
    await cp(join(FIXTURES, 'restarts.sh'), join(seen, 'inside.sh'))
    const groups = GROUPS.map((folder) => join(folder, `evenkeel-test-${process.pid}`))
    for (const group of groups) await mkdir(group)
    t.teardown(async () => {
      await rm(dir, { recursive: true, force: true })
      // with what systemd made below them
      for (const group of groups) spawnSync('find', [group, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'])
    })
    const enter = groups.map((group) => `echo $$ > ${group}/cgroup.procs`).join('; ')
    const boot = `exec timeout -s KILL ${LIMIT_S} unshare ${SPACES.join(' ')} bash ${FIXTURES}/boot.sh ${ROOT} ${dir} ${groups.join(' ')}`
    const child = spawn('bash', ['-c', `${enter}; ${boot}`], { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
    await new Promise((resolve) => child.once('close', resolve))
    const told = await readFile(join(seen, 'told.txt'), 'utf8').catch(() => '')
    t.ok(existsSync(join(seen, 'done')), `it came to its end: ${said}${told}`)
    const lines = told.split('\n').map((line) => line.split(' '))
    const pidAt = (step: string): string => {
      const [, state, pid = ''] = lines.find(([name]) => name === step) ?? []
      t.equal(state, 'active', step)
      return pid
    }
    const pids = [pidAt('started'), pidAt('restarted'), pidAt('again')]
    t.equal(new Set(pids).size, 3, 'each restart brought another process')
    t.equal(pidAt('reloaded'), pids[1], 'a reload did not')
    const statuses = (await readFile(join(seen, 'statuses.txt'), 'utf8')).trim().split('\n')
    t.strictSame([...new Set(statuses)], ['200'], `${statuses.length} requests on new connections`)
    const { pid } = JSON.parse(await readFile(join(seen, 'status.json'), 'utf8')) as { pid: number }
    t.equal(String(pid), pids[2], 'systemd knows the process that serves')
    t.match(told, /^stopped inactive 0$/m)
    t.match(told, /^left 0$/m)
  },
)
