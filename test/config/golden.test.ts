/** Golden files: what each faulty configuration beside it is told, to the column. */
import { readdirSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { loadConfigText, renderProblems } from '../../lib/config/index.ts'

const folder = join(import.meta.dirname, 'golden')
const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'))

async function problemsOf(name: string): Promise<string> {
  const result = await loadConfigText(await readFile(join(folder, name), 'utf8'), name, { env: {} })
  return result.ok ? '' : renderProblems(result.problems, { colour: false })
}

// UPDATE_GOLDEN=1 writes the expectations anew: read the difference before you commit it.
for (const name of names)
  t.test(`${name} gets exactly its problems`, async (t) => {
    const expected = join(folder, name.replace(/yaml$/, 'txt'))
    const problems = await problemsOf(name)
    if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(expected, problems)
    t.not(problems, '', 'is refused')
    t.equal(problems, await readFile(expected, 'utf8'))
  })

t.test('ten mistakes are all told at once, each with its line and column', async (t) => {
  const text = await readFile(join(folder, 'ten-mistakes.yaml'), 'utf8')
  const result = await loadConfigText(text, 'ten-mistakes.yaml', { env: {} })
  const places = result.ok ? [] : result.problems.map(({ line, column, path }) => `${line}:${column} ${path}`)
  t.strictSame(places, [
    '4:12 appliance.threads',
    '5:36 accessLog.format',
    '12:7 virtualServices.shop.health.intervall',
    '13:16 virtualServices.shop.health.timeout',
    '16:30 virtualServices.shop.backends[1].address',
    '17:15 virtualServices.shop.backends[2].name',
    '19:3 virtualServices.mail.backends',
    '21:14 virtualServices.mail.listen[0]',
    '22:3 virtualServices.vault.tls',
    '25:27 virtualServices.vault.backends[0]',
  ])
})
