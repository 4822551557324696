/** Included files. */
import { join } from 'node:path'
import t from 'tap'
import { loadConfigText } from '../../lib/config/index.ts'
import { configOf, file, fileOf, service, told } from './support.ts'

const secure = (name: string) =>
  service(name, '    tls: { certificates: [{ cert: c.pem, key: ../k.pem }] }\n', '127.0.0.1:0', 'https')

t.test('globs and plain names add the services of other files', async (t) => {
  const dir = t.testdir({
    'main.yaml': 'version: 1\ninclude: ["parts/*.yaml", extra.yml, "none/*.yaml", "*.yaml"]\n',
    parts: { 'b.yaml': `virtualServices:\n${service('b')}`, 'a.yaml': file(service('a')), 'note.txt': 'x: [' },
    'extra.yml': file(service('c')),
  })
  const result = await fileOf(join(dir, 'main.yaml'))
  t.strictSame(Object.keys(configOf(result).virtualServices), ['a', 'b', 'c'])
  t.strictSame(
    result.files,
    ['main.yaml', 'parts/a.yaml', 'parts/b.yaml', 'extra.yml'].map((name) => join(dir, name)),
  )
})

t.test('paths are relative to the folder of the file that names them', async (t) => {
  const dir = t.testdir({
    'main.yaml': `include: parts/*.yaml\n${file(secure('a'), 'accessLog: { path: logs/x.log }\ndefaults: { health: { tls: { ca: ca.pem } } }\n')}`,
    parts: { 'b.yaml': file(secure('b')) },
  })
  const config = configOf(await fileOf(join(dir, 'main.yaml')))
  const row = (name: string) => config.virtualServices[name]?.tls?.certificates[0]
  t.match(row('a'), { cert: join(dir, 'c.pem'), key: join(dir, '../k.pem') })
  t.match(row('b'), { cert: join(dir, 'parts/c.pem'), key: join(dir, 'k.pem') })
  t.equal(config.accessLog.path, join(dir, 'logs/x.log'))
  t.equal(config.virtualServices['b']?.health.tls.ca, join(dir, 'ca.pem'), 'a default belongs to the main file')
})

t.test('a plain name that is not there is a problem, a glob that matches nothing is none', async (t) => {
  const dir = t.testdir({ 'main.yaml': `include: [gone.yaml, "gone*.yaml", parts]\n${file(service('a'))}`, parts: {} })
  t.match(told(await fileOf(join(dir, 'main.yaml'))), [
    /^1:11 include\[0\]: there is no file ".*gone\.yaml"$/,
    /^1:36 include\[2\]: there is no file ".*parts"$/,
  ])
})

t.test('the name of a service used in two files is a problem that names both places', async (t) => {
  const dir = t.testdir({
    'main.yaml': `include: ["x.yaml"]\n${file(service('a'))}`,
    'x.yaml': file(service('a')),
  })
  const result = await fileOf(join(dir, 'main.yaml'))
  t.match(result, { ok: false, problems: [{ file: join(dir, 'x.yaml'), line: 3, column: 3 }] })
  t.strictSame(told(result), [
    `3:3 virtualServices.a: the name a is taken by the service at ${join(dir, 'main.yaml')}:4:3; give one of them another name`,
  ])
})

t.test('an included file may have version and virtualServices only', async (t) => {
  const dir = t.testdir({
    'main.yaml': `include: ["x.yaml"]\n${file(service('a'))}`,
    'x.yaml': 'version: 2\ninclude: y.yaml\nadmin: {}\nvirtualServices: []\n',
  })
  t.match(told(await fileOf(join(dir, 'main.yaml'))), [
    /^1:10 version: must be 1/,
    /^2:1 include: `include` is not for an included file/,
    /^3:1 admin: `admin` is not for an included file/,
    /^4:18 virtualServices: expected a map of services/,
  ])
})

t.test('problems of all files are told at once', async (t) => {
  const dir = t.testdir({
    'main.yaml': `include: "*.yaml"\n${file(service('a', '    balanse: x\n'))}`,
    'x.yaml': 'a: [\n',
    'y.yaml': file(service('y', '    retries: many\n')),
  })
  const result = await fileOf(join(dir, 'main.yaml'))
  t.match(
    result.ok ? [] : result.problems.map((each) => each.file),
    ['main', 'x', 'y'].map((n) => join(dir, `${n}.yaml`)),
  )
})

t.test('text that is not saved yet includes files as if it were', async (t) => {
  const dir = t.testdir({ 'x.yaml': file(service('x')) })
  const text = `include: x.yaml\n${file(service('a'))}`
  const result = await loadConfigText(text, join(dir, 'main.yaml'), { env: {} })
  t.strictSame(Object.keys(configOf(result).virtualServices), ['a', 'x'])
})
