/** Whatever a file holds, loading it gives a result and never throws. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type LoadResult, loadConfigText, problemsToJson, renderProblems } from '../../lib/config/index.ts'

const folder = join(import.meta.dirname, 'golden')
const samples = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => readFileSync(join(folder, name), 'utf8'))

const keys = [
  'version',
  'virtualServices',
  'defaults',
  'listen',
  'backends',
  'health',
  'tls',
  'admin',
  'token',
  '__proto__',
  '<<',
  'a',
]
const pieces = [
  '{',
  '}',
  '[',
  ']',
  ':',
  ': ',
  '- ',
  '\n',
  '\n  ',
  '\t',
  ',',
  '"',
  "'",
  '&a ',
  '*a',
  '!t ',
  '|',
  '>',
  '#',
  '${',
  '}',
  '%',
  '---\n',
  '\r',
  '1',
  '127.0.0.1:1',
  'tcp',
  '\u0000',
  '\ufeff',
  '😀',
]
const yamlish = fc
  .array(fc.oneof(fc.constantFrom(...keys, ...pieces), fc.string()), { maxLength: 60 })
  .map((all) => all.join(''))
const bytes = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each).toString('utf8'))
const mutated = fc
  .tuple(fc.constantFrom(...samples), fc.nat(), fc.nat(20), fc.oneof(fc.constantFrom(...keys, ...pieces), fc.string()))
  .map(([text, at, n, piece]) => text.slice(0, at % text.length) + piece + text.slice((at % text.length) + n))
const data = fc.json().map((text) => `version: 1\nvirtualServices: ${text}\ndefaults: ${text}\n`)
// Includes are tested elsewhere: here they would read files that are not part of the test.
const text = fc.oneof(yamlish, bytes, mutated, data).filter((each) => !each.includes('include'))

function consistent(result: LoadResult, source: string): void {
  const lines = source.replace(/^\ufeff/, '').split('\n')
  const problems = result.ok ? result.warnings : result.problems
  if (!result.ok && problems.length === 0) throw new Error('refused without a problem')
  for (const { line, column } of problems)
    if (line < 1 || column < 1 || line > lines.length || column > (lines[line - 1] ?? '').length + 1)
      throw new Error(`no such place: ${line}:${column}`)
  renderProblems(problems, { colour: true })
  JSON.parse(problemsToJson(problems))
}

t.test('any text gives a configuration or problems at places that exist', async (t) => {
  await fc.assert(
    fc.asyncProperty(text, async (source) =>
      consistent(await loadConfigText(source, 'fuzz.yaml', { env: {} }), source),
    ),
    { numRuns: 1500 },
  )
  t.pass('no text found that does otherwise')
})
