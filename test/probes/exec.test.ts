/** The exec probe: what a program is given, what its end means, and that nothing of it stays. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { probeOf, verdictOf } from './support.ts'

const never = new AbortController().signal
const target = { host: '10.0.0.1', port: 80 }
const dir = t.testdir({})
let written = 0

/** A program of these lines of sh. */
function script(lines: string): string {
  const file = `${dir}/probe-${++written}`
  writeFileSync(file, `#!/bin/sh\n${lines}\n`)
  chmodSync(file, 0o700)
  return file
}

const exec = (...command: string[]) => probeOf({ type: 'exec', exec: { command } })

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    // A process that has ended and was not waited for yet is not alive.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const pidIn = (file: string): Promise<number> =>
  eventually('the program has started', () => existsSync(file) && Number(readFileSync(file, 'utf8')))

const ends: readonly [title: string, lines: string, verdict: string, detail: RegExp][] = [
  ['exits with 0', 'exit 0', 'pass', /^exit 0$/],
  ['says something', 'echo all is well; echo more', 'pass', /^exit 0: all is well$/],
  ['exits with 1', 'echo the disk is full >&2; exit 1', 'status', /^exit 1: the disk is full$/],
  ['is killed', 'kill -TERM $$', 'status', /^ended by SIGTERM$/],
  ['says much', 'head -c 10000000 /dev/zero | tr "\\0" x; exit 3', 'status', /^exit 3: x{50,}…$/],
  ['says control characters', 'printf "a\\033[31mb\\007c"; exit 1', 'status', /^exit 1: a \[31mb c$/],
]
for (const [title, lines, verdict, detail] of ends)
  t.test(`a program that ${title}: ${verdict}`, async (t) => {
    const probe = exec(script(lines))
    t.equal(await verdictOf(t, probe, target, never), verdict)
    const said = await probe.check(target, never).then(
      (result) => result.detail,
      (error: Error) => error.message,
    )
    t.match(said, detail)
  })

t.test('it is told the backend, and nothing of our own environment', async (t) => {
  const file = `${dir}/environment`
  process.env['EVENKEEL_ADMIN_TOKEN'] = 'hunter2'
  t.teardown(() => {
    delete process.env['EVENKEEL_ADMIN_TOKEN']
  })
  await exec(script(`env | sort > ${file}; pwd >> ${file}`)).check(target, never)
  t.same(
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !/^(?:_|OLDPWD|SHLVL)=/.test(line)),
    [
      'EVENKEEL_BACKEND_HOST=10.0.0.1',
      'EVENKEEL_BACKEND_NAME=b1',
      'EVENKEEL_BACKEND_PORT=80',
      'EVENKEEL_SERVICE=s',
      'LANG=C.UTF-8',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'PWD=/',
      '/',
    ],
  )
})

t.test('its arguments are not read by a shell', async (t) => {
  const file = `${dir}/arguments`
  await exec(script(`printf '%s\\n' "$@" > ${file}`), '$(touch /tmp/x)', '; exit 1', '*').check(target, never)
  t.equal(readFileSync(file, 'utf8'), '$(touch /tmp/x)\n; exit 1\n*\n')
})

t.test('a program that does not end: timeout, and it is gone with what it started', async (t) => {
  const file = `${dir}/children`
  const controller = new AbortController()
  const probe = exec(script(`sleep 100 & echo $! > ${file}.new; mv ${file}.new ${file}; trap '' TERM; wait`))
  const verdict = verdictOf(t, probe, target, controller.signal)
  const pid = await pidIn(file)
  t.ok(alive(pid))
  controller.abort()
  t.equal(await verdict, 'timeout')
  await eventually('the child is gone', () => !alive(pid))
})

t.test('a program that leaves a child behind which holds its output: its own end counts', async (t) => {
  const file = `${dir}/left`
  const probe = exec(script(`sleep 100 & echo $! > ${file}; exit 0`))
  t.equal(await verdictOf(t, probe, target, never), 'pass')
  const pid = await pidIn(file)
  await eventually('the child is gone', () => !alive(pid))
})

t.test('an abort before it starts: timeout, and nothing is started', async (t) => {
  const file = `${dir}/never`
  t.equal(await verdictOf(t, exec(script(`touch ${file}`)), target, AbortSignal.abort()), 'timeout')
  t.notOk(existsSync(file))
})

t.test('a program that can not be started: other', async (t) => {
  const file = `${dir}/data`
  writeFileSync(file, '#!/absent/interpreter\n')
  chmodSync(file, 0o700)
  t.equal(await verdictOf(t, exec(file), target, never), 'other')
})

t.test('a program that can not be run is refused when the probe is made', (t) => {
  writeFileSync(`${dir}/plain`, '', { mode: 0o600 })
  t.throws(() => exec(`${dir}/absent`), { code: 'CONFIG_INVALID', message: /does not exist/ })
  t.throws(() => exec(`${dir}/plain`), { code: 'CONFIG_INVALID', message: /EACCES/ })
  t.end()
})
