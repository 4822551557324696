/** The systemd unit: without mistakes, and hardened. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const UNIT = fileURLToPath(new URL('../../deploy/systemd/evenkeel.service', import.meta.url))
const skip = existsSync('/usr/bin/systemd-analyze') ? false : 'needs systemd'

const analyze = (...args: string[]): Promise<{ code: number; output: string }> =>
  new Promise((resolve) => {
    execFile('systemd-analyze', args, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` }),
    )
  })

t.test('the unit is without mistakes', { skip }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'evenkeel-unit-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const text = await readFile(UNIT, 'utf8')
  const file = join(dir, 'evenkeel.service')
  await writeFile(file, text.replace('ExecStart=/usr/bin/evenkeel', 'ExecStart=/bin/true')) // it is not installed here
  const { output } = await analyze('verify', file)
  t.strictSame(
    output.split('\n').filter((line) => line.includes('evenkeel')),
    [],
  )
})

t.test('the exposure that systemd sees is at most 2.5 of 10', { skip }, async (t) => {
  const { code, output } = await analyze('security', '--offline=true', '--threshold=25', UNIT)
  t.equal(code, 0, output.split('\n').at(-2) ?? '')
})
