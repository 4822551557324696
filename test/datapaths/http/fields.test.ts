/** Field names: every name that means something is found however it is written, and no other name passes for it. */
import fc from 'fast-check'
import t from 'tap'
import {
  type FieldName,
  FORWARDED_FAMILY,
  fieldId,
  HOP_BY_HOP,
  ID,
  IDENTITY,
  OTHER,
  PROTECTED,
} from '../../../lib/datapaths/http/fields.ts'
import { POISONS, placed, token } from './fixtures/heads.ts'

const NAMES = Object.keys(ID) as FieldName[]
const KNOWN = new Map<string, number>(Object.entries(ID))

/** What it should be, without any cleverness. */
function expected(name: string): number {
  const folded = name.toLowerCase().replaceAll('_', '-')
  const known = KNOWN.get(folded)
  if (known !== undefined) return known
  return folded.startsWith('x-forwarded-') && folded.length > 'x-forwarded-'.length ? FORWARDED_FAMILY : OTHER
}

function idOf(name: string, base = 0, poison = 'AAAA'): number {
  const bytes = Buffer.from(name, 'latin1')
  return fieldId(placed(bytes, base, poison), base, base + bytes.length)
}

t.test('every name is found in any case, and with _ for -', (t) => {
  const written = fc
    .tuple(fc.constantFrom(...NAMES), fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }))
    .map(([name, flips]) =>
      Array.from(name, (char, i) => (flips[i] !== true ? char : char === '-' ? '_' : char.toUpperCase())).join(''),
    )
  for (const name of NAMES)
    for (const form of [name, name.toUpperCase(), name.replaceAll('-', '_'), name.toUpperCase().replaceAll('-', '_')])
      t.equal(idOf(form), ID[name], form)
  fc.assert(
    fc.property(
      written,
      fc.nat(20),
      fc.constantFrom(...POISONS),
      (name, base, poison) => idOf(name, base, poison) === expected(name),
    ),
    { numRuns: 2000 },
  )
  t.end()
})

t.test('every name has a number of its own', (t) => {
  t.equal(new Set(Object.values(ID)).size, NAMES.length)
  t.notOk(Object.values(ID).includes(OTHER))
  t.notOk(Object.values(ID).includes(FORWARDED_FAMILY))
  t.end()
})

t.test('a name with one byte changed, put in or taken away is another one', (t) => {
  for (const name of NAMES) {
    for (let i = 0; i <= name.length; i++) {
      const forms = [name.slice(0, i) + name.slice(i + 1)]
      for (let code = 0; code < 256; code++) {
        const char = String.fromCharCode(code)
        forms.push(name.slice(0, i) + char + name.slice(i), name.slice(0, i) + char + name.slice(i + 1))
      }
      for (const form of forms)
        if (form !== '' && idOf(form) !== expected(form)) t.fail(`${JSON.stringify(form)} is ${idOf(form)}`)
    }
    t.pass(name)
  }
  t.end()
})

t.test('any other token is none of them, however long', (t) => {
  const near = fc.tuple(fc.constantFrom(...NAMES), token, fc.boolean()).map(([a, b, front]) => (front ? b + a : a + b))
  fc.assert(
    fc.property(fc.oneof(token, near), (name) => idOf(name) === expected(name)),
    { numRuns: 3000 },
  )
  for (const name of ['x', 'a', 'x-forwarded', 'x-forwarded-', 'x_forwarded_', 'x-forwarded_by', 'X-FORWARDED-SERVER'])
    t.equal(idOf(name), expected(name), name)
  t.end()
})

t.test('which fields belong to one hop, which say who the client is, which may not be nominated away', (t) => {
  const namesOf = (flags: Uint8Array): string[] => NAMES.filter((name) => flags[ID[name]] === 1).sort()
  t.same(namesOf(HOP_BY_HOP), [
    'connection',
    'content-length',
    'keep-alive',
    'proxy-authenticate',
    'proxy-authorization',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
  ])
  const identity = NAMES.filter((name) => /^x-forwarded-|^forwarded$|^x-real-ip$|^x-request-id$/.test(name))
  t.same(namesOf(IDENTITY), identity.sort())
  t.same(namesOf(PROTECTED), ['authorization', 'content-length', 'cookie', 'host', 'via', ...identity].sort())
  for (const flags of [IDENTITY, PROTECTED]) t.equal(flags[FORWARDED_FAMILY], 1)
  for (const flags of [HOP_BY_HOP, IDENTITY, PROTECTED]) t.equal(flags[OTHER], 0)
  t.end()
})
