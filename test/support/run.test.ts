/** The runner of the tests: what it makes of files that fail, once or always. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const RUNNER = fileURLToPath(new URL('../run.ts', import.meta.url))
const PASSES = "console.log('ok 1 - fine')\n"
const FAILS = "console.log('not ok 1 - broken')\nprocess.exitCode = 1\n"
/** It leaves a mark beside it. */
const FAILS_ONCE = `import { existsSync, writeFileSync } from 'node:fs'
const mark = import.meta.filename + '.mark'
if (existsSync(mark)) console.log('ok 1 - fine\\nok 2 - too')
else {
  writeFileSync(mark, '')
  console.log('ok 1 - fine\\nnot ok 2 - by chance')
  process.exitCode = 1
}
`

/** What the runner says of files with these contents, and its exit code. */
function run(t: Test, ...contents: readonly string[]): { code: number | null; lines: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-runner-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const files = contents.map((content, i) => {
    const file = join(folder, `file-${i}.test.mjs`)
    writeFileSync(file, content)
    return file
  })
  const { status, stdout } = spawnSync(process.execPath, [RUNNER, ...files], { encoding: 'utf8' })
  return { code: status, lines: stdout.trimEnd().split('\n') }
}

t.test('a file that fails beside others and not alone has passed, and is told of with what it said', (t) => {
  const { code, lines } = run(t, PASSES, FAILS_ONCE, PASSES)
  t.equal(code, 0)
  t.equal(lines.at(-1), '4 passed, 0 failed, 0 skipped')
  t.ok(lines.includes('not ok 2 - by chance'), 'the first report is there')
  t.equal(lines.filter((line) => /^unsteady: .*file-1\.test\.mjs \(failed once beside others\)$/.test(line)).length, 1)
  t.end()
})

t.test('a file that fails alone too has failed', (t) => {
  const { code, lines } = run(t, PASSES, FAILS)
  t.equal(code, 1)
  t.equal(lines.at(-1), '1 passed, 1 failed, 0 skipped')
  t.equal(lines.filter((line) => line === 'not ok 1 - broken').length, 2, 'it ran twice')
  t.notOk(lines.some((line) => line.startsWith('unsteady')))
  t.end()
})

t.test('where many files fail it is no chance: none runs twice', (t) => {
  const { code, lines } = run(t, ...Array.from({ length: 6 }, () => FAILS))
  t.equal(code, 1)
  t.equal(lines.at(-1), '0 passed, 6 failed, 0 skipped')
  t.equal(lines.filter((line) => line === 'not ok 1 - broken').length, 6)
  t.end()
})
