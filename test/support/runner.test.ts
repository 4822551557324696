/** Several test files in one process: what each of them is told to be. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Outcome, runTogether } from './runner.ts'

const PASSES = `import t from 'tap'
t.test('a promise', async (t) => t.ok(true))
`
const FAILS = `import t from 'tap'
t.test('a promise', async (t) => t.ok(true))
t.test('a broken one', async (t) => t.ok(false, 'this is wrong'))
`

/** What came of files with these contents, in order; undefined: it is to be run by itself. */
async function together(t: Test, ...contents: readonly string[]): Promise<(Outcome | undefined)[]> {
  const folder = t.testdir()
  const files = contents.map((content, i) => {
    const file = join(folder, `file-${i}.test.mjs`)
    writeFileSync(file, content)
    return file
  })
  const outcomes = await runTogether(files)
  return files.map((file) => outcomes.get(file))
}

t.test('a file that fails is told from those before and behind it, with what it said', async (t) => {
  const skips = `import t from 'tap'\nt.test('not here', { skip: 'needs a moon' }, async () => {})\n`
  const [first, second, third, fourth] = await together(t, PASSES, FAILS, PASSES, skips)
  t.match(first, { passed: 1, failed: 0, skipped: [], report: '' })
  t.match(second, { passed: 1, failed: 1, report: /not ok 1 - this is wrong/ })
  t.match(third, { passed: 1, failed: 0, report: '' })
  t.match(fourth, { passed: 0, failed: 0, skipped: ['not here: needs a moon'] })
})

t.test('each file has its own root: its teardowns run before the next file begins', async (t) => {
  const opens = `import t from 'tap'
globalThis.open = true
t.teardown(async () => { globalThis.open = false })
t.test('a promise', async (t) => t.ok(globalThis.open))
`
  const looks = `import t from 'tap'
t.equal(globalThis.open, false)
`
  for (const outcome of await together(t, opens, looks)) t.match(outcome, { passed: 1, failed: 0 })
})

t.test('a file that throws where it is loaded has failed', async (t) => {
  const [first, second] = await together(t, `throw new Error('of no use')\n`, PASSES)
  t.match(first, { failed: 1, report: /of no use/ })
  t.match(second, { passed: 1, failed: 0 })
})

t.test('whoever shares a process with a file that ends it is run by itself', async (t) => {
  const [first, second, third] = await together(t, PASSES, 'process.exit(1)\n', PASSES)
  t.match(first, { passed: 1, failed: 0 })
  t.strictSame([second, third], [undefined, undefined])
})

t.test('where the process fails and no file did, each is run by itself', async (t) => {
  const leaves = `${PASSES}process.on('exit', () => { process.exitCode = 3 })\n`
  t.strictSame(await together(t, PASSES, leaves), [undefined, undefined])
})
