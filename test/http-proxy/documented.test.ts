/** What the engine `http-proxy` does otherwise is told in docs/http.md, all of it and nothing else. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { RULES } from '../differential/rules.ts'
import { DIFFERENCES } from '../support/differences.ts'

const text = await readFile(new URL('../../docs/http.md', import.meta.url), 'utf8')
const section = (/## The engine `http-proxy`\n([\s\S]*?)(?:\n## |$)/.exec(text)?.[1] ?? '').replace(/\s+/g, ' ')

t.test('every difference that the tests know is in the documentation', async (t) => {
  for (const { what } of DIFFERENCES) t.ok(section.includes(what), what)
  for (const { told } of RULES) t.ok(section.includes(told), told)
})

t.test('every difference in the documentation is one that a test knows', async (t) => {
  const rows = section.split(/\| (?=\d)/).slice(1)
  t.equal(rows.length, 13)
  for (const row of rows) {
    const known = [...DIFFERENCES.map(({ what }) => what), ...RULES.map(({ told }) => told)]
    t.ok(
      known.some((one) => row.includes(one)),
      row,
    )
  }
})
