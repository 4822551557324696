/** Which certificates belong to the name that a client asks for. */
import t from 'tap'
import { NameTable } from '../../lib/tls/names.ts'

const rsa = (...names: string[]) => ({ names, keyType: 'rsa' })
const ec = (...names: string[]) => ({ names, keyType: 'ec' })

const TABLES: [
  what: string,
  certificates: { names: string[]; keyType: string }[],
  name: string,
  found: number[] | null,
][] = [
  ['the exact name', [rsa('a.test'), rsa('b.test')], 'b.test', [1]],
  ['names are not case-sensitive', [rsa('a.test'), rsa('b.test')], 'B.Test', [1]],
  ['no name', [rsa('a.test')], '', null],
  ['a name that nobody has', [rsa('a.test')], 'c.test', null],
  ['a wildcard stands for one label', [rsa('*.test')], 'a.test', [0]],
  ['and not for two', [rsa('*.test')], 'b.a.test', null],
  ['nor for none', [rsa('*.test')], 'test', null],
  ['nor for an empty one', [rsa('*.test')], '.test', null],
  ['the exact name goes before a wildcard', [rsa('*.test'), rsa('a.test')], 'a.test', [1]],
  ['RSA beside ECDSA', [rsa('a.test'), ec('a.test')], 'a.test', [0, 1]],
  ['of one type the first', [rsa('a.test'), rsa('a.test'), ec('a.test')], 'a.test', [0, 2]],
  ['a name like a property', [rsa('a.test')], '__proto__', null],
]

for (const [what, certificates, name, found] of TABLES)
  t.test(`${what} finds its certificates`, async (t) => {
    t.strictSame(new NameTable(certificates).find(name), found)
  })

t.test('the default is the first certificate, with those of other types for all of its names', async (t) => {
  t.strictSame(new NameTable([rsa('a.test'), rsa('b.test')]).default, [0])
  t.strictSame(new NameTable([rsa('a.test', '*.b.test'), ec('a.test', '*.b.test')]).default, [0, 1])
  t.strictSame(new NameTable([rsa('a.test', 'b.test'), ec('a.test')]).default, [0])
  t.strictSame(new NameTable([rsa(), ec('a.test')]).default, [0])
})
