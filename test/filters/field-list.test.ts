/** Lists of fields: names case-blind, order, case and repetition kept. */
import fc from 'fast-check'
import t from 'tap'
import { Fields, RefusedError } from '../../lib/filters/index.ts'

type Rows = [string, string][]
const rows = (fields: Fields): Rows => [...fields.entries()].map(([name, value]) => [name, value])

t.test('a name is found whatever its case; get answers the first value, all every one', (t) => {
  const fields = new Fields([
    ['Set-Cookie', 'a=1'],
    ['X-A', 'x'],
    ['set-cookie', 'b=2'],
  ])
  t.equal(fields.get('SET-COOKIE'), 'a=1')
  t.same(fields.all('Set-cookie'), ['a=1', 'b=2'])
  t.equal(fields.get('X-B'), undefined)
  t.same(fields.all('X-B'), [])
  t.end()
})

t.test('set leaves one field, where the first stood, under the name given', (t) => {
  const fields = new Fields([
    ['A', '1'],
    ['b', '2'],
    ['C', '3'],
    ['B', '4'],
  ])
  fields.set('B', 'new')
  fields.set('D', '5')
  t.same(rows(fields), [
    ['A', '1'],
    ['B', 'new'],
    ['C', '3'],
    ['D', '5'],
  ])
  t.end()
})

t.test('remove tells whether there was one, and takes all', (t) => {
  const fields = new Fields([
    ['A', '1'],
    ['a', '2'],
    ['B', '3'],
  ])
  t.equal(fields.remove('A'), true)
  t.equal(fields.remove('A'), false)
  t.same(rows(fields), [['B', '3']])
  t.end()
})

t.test('update changes each value in its place', (t) => {
  const fields = new Fields([
    ['X', '1'],
    ['Y', '2'],
    ['x', '3'],
  ])
  fields.update('X', (value) => `<${value}>`)
  t.same(rows(fields), [
    ['X', '<1>'],
    ['Y', '2'],
    ['x', '<3>'],
  ])
  t.end()
})

t.test('names of prototypes are names like any other', (t) => {
  const fields = new Fields()
  for (const name of ['__proto__', 'constructor', 'toString']) {
    t.equal(fields.get(name), undefined)
    fields.set(name, 'v')
    t.equal(fields.get(name), 'v')
  }
  t.equal(({} as Record<string, unknown>)['v'], undefined)
  t.end()
})

t.test('a value with CR, LF or NUL, and a name that is no token, are refused', (t) => {
  for (const bad of ['a\rb', 'a\nb', 'a\0b', 'a\r\nSet-Cookie: x', '\x7f', '\u20ac']) {
    t.throws(() => new Fields().set('A', bad), RefusedError)
    t.throws(() => new Fields().add('A', bad), RefusedError)
    t.throws(() => new Fields([['A', 'x']]).update('A', () => bad), RefusedError)
  }
  for (const bad of ['', 'a b', 'a:', 'a\r\nb', 'é']) {
    t.throws(() => new Fields().set(bad, 'x'), RefusedError)
    t.throws(() => new Fields().add(bad, 'x'), RefusedError)
  }
  t.end()
})

const name = fc.constantFrom('A', 'a', 'B', 'b', 'Long-Name', 'long-name', 'C')
const fields = fc.array(fc.tuple(name, fc.stringMatching(/^[ -~]{0,5}$/)), { maxLength: 12 })

t.test('what an edit does not name keeps its order, case and value', (t) => {
  fc.assert(
    fc.property(fields, name, fc.constantFrom('set', 'add', 'remove', 'update'), (before, edited, edit) => {
      const list = new Fields(before)
      if (edit === 'remove') list.remove(edited)
      else if (edit === 'update') list.update(edited, (value) => `${value}!`)
      else list[edit](edited, 'new')
      const isOther = ([other]: [string, string]) => other.toLowerCase() !== edited.toLowerCase()
      t.same(rows(list).filter(isOther), before.filter(isOther))
      const count = before.length - before.filter(isOther).length
      const wanted = { set: 1, add: count + 1, remove: 0, update: count }[edit]
      t.equal(list.all(edited).length, wanted)
    }),
    { numRuns: 300 },
  )
  t.end()
})
