/** What is started when another process is to come in this one's place. */
import t from 'tap'
import { programOf } from '../../lib/upgrade/program.ts'

const SCRIPT = '/opt/evenkeel/current/lib/cli/evenkeel.js'

/** As it was called, on a machine with those files. */
const given = (argv0: string, files: readonly string[], cwd = '/etc') =>
  programOf({
    argv0,
    execPath: '/opt/node-24.1/bin/node',
    execArgv: ['--no-warnings'],
    argv: ['/opt/node-24.1/bin/node', SCRIPT, 'run', 'a.yaml'],
    cwd,
    path: '/usr/local/bin:/usr/bin',
    exists: (file) => ['/etc', ...files].includes(file),
  })
const args = ['--no-warnings', SCRIPT, 'run', 'a.yaml']

t.test('the same call again, with what stands in the place of runtime and script now', (t) => {
  const all = [SCRIPT, '/usr/bin/node', '/opt/node-24.1/bin/node', '/opt/node/bin/node', '/etc/bin/node']
  t.strictSame(given('node', all), { file: '/usr/bin/node', args }, 'a name is looked up')
  t.strictSame(given('/opt/node/bin/node', all), { file: '/opt/node/bin/node', args }, 'a link is followed anew')
  t.strictSame(given('bin/node', all), { file: '/etc/bin/node', args }, 'a relative path is one of the folder')
  t.strictSame(given('node', [SCRIPT, '/opt/node-24.1/bin/node']), { file: '/opt/node-24.1/bin/node', args })
  t.end()
})

t.test('what is not there any more is named', (t) => {
  t.match(given('node', ['/usr/bin/node']), /evenkeel\.js is not there any more/)
  t.match(given('node', [SCRIPT]), /the runtime .* is not there any more/)
  t.match(given('node', [SCRIPT, '/usr/bin/node'], '/gone'), /the folder .* \/gone, is not there any more/)
  t.end()
})
