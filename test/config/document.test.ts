/** The JSON Schema and the reference that are made from the schema. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { configurationReference, jsonSchema } from '../../lib/config/index.ts'
import { file, service } from './support.ts'

const top = join(import.meta.dirname, '../..')
const editor = z.fromJSONSchema(jsonSchema() as Parameters<typeof z.fromJSONSchema>[0])
const accepts = (text: string) => editor.safeParse(parse(text)).success

t.test('docs/configuration.md is what the schema says', async (t) => {
  const text = await readFile(join(top, 'docs/configuration.md'), 'utf8')
  t.equal(text, configurationReference(), 'else: node lib/config/document.ts > docs/configuration.md')
})

t.test('docs/virtual-services.schema.json is what the schema says', async (t) => {
  const text = await readFile(join(top, 'docs/virtual-services.schema.json'), 'utf8')
  t.strictSame(
    JSON.parse(text),
    jsonSchema(),
    'else: node lib/config/document.ts --schema > docs/virtual-services.schema.json',
  )
})

t.test('the JSON Schema accepts the sample configuration', async (t) => {
  const result = editor.safeParse(parse(await readFile(join(top, 'virtual-services.yaml'), 'utf8')))
  t.strictSame(result.error?.issues ?? [], [])
})

t.test('the JSON Schema accepts what is valid', async (t) => {
  for (const lines of [
    '    health: { interval: 500ms, startGrace: 0, expect: [200, 301-308], jitter: 0.05 }\n',
    '    http: { maxBody: 65536, maxHead: 16KiB, host: { literal: x }, via: false }\n',
    '    retries: ${RETRIES:-2}\n    balance: ${BALANCE}\n    health: { interval: "${I}" }\n',
  ])
    t.ok(accepts(file(service('a', lines))), lines)
  t.ok(accepts(file(service('a'), 'defaults: { tls: { minVersion: TLSv1.3 } }\nappliance: { threads: 4 }\n')))
})

t.test('the JSON Schema refuses what is not', async (t) => {
  for (const lines of [
    '    balanse: round-robin\n',
    '    balance: fastest\n',
    '    health: { interval: 5 }\n',
    '    http: { maxHead: 8kb }\n',
    '    slowStart: 5\n',
    '    retries: 11\n',
  ])
    t.notOk(accepts(file(service('a', lines))), lines)
  t.notOk(accepts('version: 2\nvirtualServices: {}\n'))
  t.notOk(accepts('version: 1\nvirtualServices: { a: {} }\n'))
})

t.test('the reference lists every key with its default and what is not available yet', async (t) => {
  const text = configurationReference()
  t.match(text, '| `interval` | duration | `2s` |')
  t.match(text, '| `datapath` | | | *Not available yet: refused when set.* |')
  t.match(text, '| `listen` | list of address:port | **required** |')
  t.notMatch(text, 'undefined')
  for (const [line] of text.matchAll(/^\| `.*$/gm)) t.notMatch(line, / \| \|$| {2}\|$/, `has a meaning: ${line}`)
})
