/** The rules for logrotate, by logrotate itself. */
import { execFile } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { chmod, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { refusedPort } from '../support/backend.ts'
import { startBalancer } from '../support/balancer.ts'
import { eventually } from '../support/eventually.ts'

const RULES = fileURLToPath(new URL('../../deploy/logrotate.conf', import.meta.url))
const able = process.getuid?.() === 0 && existsSync('/usr/sbin/logrotate')
const REQUESTS = 20

t.test(
  'logs are turned over three times: each line is in one of them, and the new one is its owner’s alone',
  { skip: able ? false : 'needs root and logrotate' },
  async (t) => {
    const respond = { protocol: 'http', listen: ['127.0.0.1:0'], health: { type: 'none' } }
    const backends = [`127.0.0.1:${await refusedPort()}`]
    const filters = [{ respond: { body: 'hello' } }]
    const balancer = await startBalancer(t, { virtualServices: { web: { ...respond, filters, backends } } })
    const { dir } = balancer
    const accessLog = join(dir, 'access.log')
    await chmod(dir, 0o755) // logrotate works in no folder that others may write
    const asked: string[] = []
    const ask = async (): Promise<void> => {
      for (let n = 0; n < REQUESTS; n++) {
        const path = `/r${asked.push('')}`
        asked[asked.length - 1] = path
        await (await fetch(`http://127.0.0.1:${balancer.port('web')}${path}`)).text()
      }
    }
    // Paths, user and unit are those of the package; the rest is as it is shipped.
    const rules = (await readFile(RULES, 'utf8'))
      .replace('/var/log/evenkeel/*.log', accessLog)
      .replaceAll('evenkeel evenkeel', 'root root')
      .replace(/systemctl kill .*$/m, `kill -USR1 ${balancer.pid}`)
    t.match(rules, `kill -USR1 ${balancer.pid}`)
    const conf = join(dir, 'logrotate.conf')
    await writeFile(conf, rules, { mode: 0o644 })
    for (let turn = 1; turn <= 3; turn++) {
      await ask()
      const { ino } = await stat(accessLog)
      // lines are gathered for a second, and a file without any is not turned over
      await eventually('the lines of this turn', async () =>
        (await readFile(accessLog, 'utf8')).includes(`/r${asked.length}`),
      )
      await promisify(execFile)('logrotate', ['--force', '--state', join(dir, 'logrotate.state'), conf])
      const made = await stat(accessLog)
      t.not(made.ino, ino, 'another file')
      t.equal(made.mode & 0o777, 0o640)
    }
    await ask()
    const lines = async (): Promise<string[]> => {
      const zcat = globSync(`${accessLog}*.gz`)
      const packed = zcat.length === 0 ? '' : (await promisify(execFile)('zcat', zcat)).stdout
      const plain = globSync(`${accessLog}*`).filter((file) => !file.endsWith('.gz'))
      const texts = await Promise.all(plain.map((file) => readFile(file, 'utf8')))
      return [packed, ...texts]
        .join('')
        .split('\n')
        .filter((line) => line !== '')
    }
    await eventually('the last lines', async () => (await lines()).length >= asked.length)
    const paths = (await lines()).map((line) => String(JSON.parse(line).path ?? JSON.parse(line).target))
    t.strictSame(paths.sort(), [...asked].sort())
  },
)
