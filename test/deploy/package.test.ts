/** The Debian package: it builds, lintian finds no error, and what is in it runs. */
import { execFile } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const BUILD = fileURLToPath(new URL('../../deploy/debian/build', import.meta.url))
const run = promisify(execFile)
const missing = ['/usr/bin/dpkg-deb', '/usr/bin/lintian'].filter((path) => !existsSync(path))

t.test('the package', { skip: missing.length === 0 ? false : `needs ${missing.join(' and ')}` }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-package-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await run(BUILD, ['--without-runtime', dir])
  const [file = ''] = globSync(join(dir, '*.deb'))
  t.match(file, /evenkeel_[\d.]+-1_all\.deb$/)
  const lint = await run('lintian', ['--fail-on', 'error', file]).catch((error: unknown) => error as { stdout: string })
  t.notMatch(lint.stdout, /^E: /m)

  await run('dpkg-deb', ['-x', file, dir])
  const cli = join(dir, 'usr/lib/evenkeel/lib/cli/evenkeel.js')
  const { stdout } = await run(process.execPath, [cli, 'check', join(dir, 'etc/evenkeel/virtual-services.yaml')])
  t.match(stdout, 'is valid: 0 virtual services')
})
