/** Problems and configurations as they are shown. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration
import t from 'tap'
import { problemsToJson, redact, renderProblems } from '../../lib/config/index.ts'
import { configFrom, file, problemsOf, service } from './support.ts'

const problem = { file: 'f.yaml', line: 2, column: 5, path: 'a.b', message: 'is wrong', sourceLine: 'a: \tx' }

t.test('a problem shows its place, its line, and a caret under the column', async (t) => {
  t.equal(
    renderProblems([problem], { colour: false }),
    'f.yaml:2:5 a.b: is wrong\n    a: \tx\n       \t^\n1 problem in f.yaml\n',
  )
  t.equal(renderProblems([], { colour: false }), '')
})

t.test('problems of several files are counted', async (t) => {
  const text = renderProblems([problem, { ...problem, file: 'g.yaml', path: '' }], { colour: false })
  t.match(text, /^g\.yaml:2:5: is wrong$/m)
  t.match(text, /\n2 problems in 2 files\n$/)
  t.match(renderProblems([problem], { colour: false, noun: 'warning' }), /1 warning in f\.yaml/)
})

t.test('colour is used only when asked for', async (t) => {
  t.match(renderProblems([problem], { colour: true }), '\x1b[')
  t.notMatch(renderProblems([problem], { colour: false }), '\x1b[')
})

t.test('a character outside the basic plane takes one blank before the caret', async (t) => {
  const text = renderProblems([{ ...problem, sourceLine: '"😀" x', column: 6 }], { colour: false })
  t.match(text, '\n    "😀" x\n        ^\n')
})

t.test('nothing in a file can steer the terminal', async (t) => {
  const hostile = { ...problem, path: 'a\x1b[2J', message: 'x\x1b]0;y\x07\nz', sourceLine: 'a: \x1b[31m\u202e' }
  t.notMatch(renderProblems([hostile], { colour: false }), /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/)
})

t.test('machines get the same problems', async (t) => {
  t.strictSame(JSON.parse(problemsToJson([problem])), { problems: [problem] })
})

t.test('no secret shows in a problem, whatever is wrong around it', async (t) => {
  const faulty = [
    'admin: { token: hunter2, listen: 1.2.3.4 }',
    'admin: { "token": "hunter2", x: 1 }',
    'admin: { token: hunter2 oops: [1 }',
    'admin: { token: "hunter2" "b" }',
    'admin: { token: [hunter2], tokn: 1 }',
    'admin:\n  token: "hunter2\n    hunter2"\n  x: 1',
    'admin:\n  token: |\n    hunter2\n  x: 1',
    'admin: { token: !secret hunter2 }',
    'x: &x hunter2\nadmin: { token: *x }',
    'admin: { token: hunter2, token: hunter2 }',
    'admin: { token: 12hunter2${, x: 1 }',
  ]
  for (const text of faulty) {
    const problems = await problemsOf(file(service('a'), `${text}\n`))
    t.not(problems.length, 0, text)
    t.notMatch(JSON.stringify(problems), 'hunter2', text)
  }
  const headers = '    health: { headers: { Authorization: [hunter2] } }\n'
  t.notMatch(JSON.stringify(await problemsOf(file(service('a', headers)))), 'hunter2')
})

t.test('a configuration is shown without its secrets, and stays as it was', async (t) => {
  const headers = '    health: { headers: { Authorization: hunter2, X-Id: seen } }\n'
  const config = await configFrom(file(service('a', headers), 'admin: { token: hunter2 }\n'))
  const shown = redact(config)
  t.equal(shown.admin.token, '***')
  t.strictSame(shown.virtualServices['a']?.health.headers, { Authorization: '***', 'X-Id': 'seen' })
  t.notMatch(JSON.stringify(shown), 'hunter2')
  t.equal(config.admin.token, 'hunter2')
  t.strictSame({ ...shown, admin: 0, virtualServices: 0 }, { ...config, admin: 0, virtualServices: 0 })
  t.equal(redact(await configFrom(file(service('a')))).admin.token, '', 'none set shows as none')
})
