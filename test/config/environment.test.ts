/** Substitution of environment variables. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration
import t from 'tap'
import { configFrom, file, service, toldOf } from './support.ts'

const a = service('a')
const log = (value: string) => file(a, `accessLog:\n  path: ${value}\n`)
const pathOf = async (value: string, env: Record<string, string> = {}) =>
  (await configFrom(log(value), { X: 'set', EMPTY: '', ...env })).accessLog.path

t.test('a reference is replaced by the variable, or by its default when that is unset or empty', async (t) => {
  const table: [string, string][] = [
    ['/${X}/${X}', '/set/set'],
    ['/${X:-other}', '/set'],
    ['/${Y:-other}', '/other'],
    ['/${EMPTY:-other}', '/other'],
    ['/a${EMPTY}b', '/ab'],
    ['/${Y:-}', '/'],
    ['/${Y:-a:-b}', '/a:-b'],
    ['"/${X}"', '/set'],
    ["'/${X}'", '/set'],
    ['/$${X}', '/${X}'],
    ['/$$${X}', '/$${X}'],
    ['/$X', '/$X'],
    ['/${X}$${X}', '/set${X}'],
  ]
  for (const [text, expected] of table) t.equal(await pathOf(text), expected, text)
})

t.test('a value from the environment is never substituted again', async (t) => {
  t.equal(await pathOf('/${X}', { X: '${Y}' }), '/${Y}')
})

t.test('a value from the environment cannot bring structure into the file', async (t) => {
  t.equal(await pathOf('/${X}', { X: 'a\nadmin: { listen: 0.0.0.0:1 }' }), '/a\nadmin: { listen: 0.0.0.0:1 }')
  t.match(await toldOf(file(a, 'appliance: ${X}\n'), { X: '{ threads: 2 }' }), [/expected a map of keys/])
})

t.test('what is not in quotes is read again as a number or boolean', async (t) => {
  const top = 'appliance:\n  threads: ${N:-2}\n'
  t.equal((await configFrom(file(a, top))).appliance.threads, 2)
  t.equal((await configFrom(file(a, top), { N: 'auto' })).appliance.threads, 'auto')
  const http = service('a', '    http:\n      forwarded: ${F}\n', undefined, 'http')
  t.equal((await configFrom(file(http), { F: 'true' })).virtualServices['a']?.http.forwarded, true)
  t.strictSame(await toldOf(file(a, 'appliance:\n  threads: "${N:-2}"\n')), [
    '3:12 appliance.threads: expected auto or a number from 1 to 32, not "2"',
  ])
})

t.test('text that looks like a number stays text where text is wanted', async (t) => {
  for (const secret of ['12345', '0012', '1e5', 'true', '0x1F', '1.50', ''])
    t.equal((await configFrom(file(a, 'admin:\n  token: ${T}\n'), { T: secret })).admin.token, secret)
})

t.test('a variable that is not set is a problem where its reference stands', async (t) => {
  t.strictSame(await toldOf(log('"/var/${NOPE}/${NEITHER}"')), [
    '3:15 accessLog.path: the environment variable NOPE is not set; set it, or write ${NOPE:-default}',
    '3:23 accessLog.path: the environment variable NEITHER is not set; set it, or write ${NEITHER:-default}',
  ])
})

t.test('a property that every object has is not a variable', async (t) => {
  t.match(await toldOf(log('"${constructor}"')), [/constructor is not set/])
})

t.test('a malformed reference is a problem', async (t) => {
  t.match(await toldOf(log('"/${1X}"')), [/^3:11 accessLog.path: "\$\{1X\}" is not a substitution; write/])
  t.match(await toldOf(log('"/${X"')), [/has no closing \}/])
  t.match(await toldOf(log('"/${X-y}"')), [/is not a substitution/])
})
