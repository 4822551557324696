/** Cookies in fields: found exactly, removed without a trace, whatever stands around them. */
import fc from 'fast-check'
import t from 'tap'
import { cookieIn, cookieSetBy, withoutCookie } from '../../lib/affinity/cookie-field.ts'

const any = (): boolean => true

t.test('a cookie is found by its whole name', (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['EKID=x', 'x'],
    ['a=1; EKID=x; b=2', 'x'],
    ['a=1;EKID=x', 'x'],
    ['  EKID = x ; b=2', 'x'],
    ['a=EKID=y; EKID=x', 'x'],
    ['EKID="q u"; b', '"q u"'],
    ['EKID=a=b', 'a=b'],
    ['EKID=', ''],
    ['XEKID=x; EKIDX=y; ekid=z; a=EKID', ''],
    ['EKID', ''],
    ['__proto__=1; EKID=x', 'x'],
    [';;;=;EKID=x;', 'x'],
    ['', ''],
  ]
  for (const [text, value] of rows) t.equal(cookieIn(text, 'EKID', any), value, text)
  t.equal(
    cookieIn('EKID=1; EKID=2; EKID=3', 'EKID', (value) => value === '2'),
    '2',
    'the first that is taken',
  )
  t.equal(cookieIn('__proto__=x', '__proto__', any), 'x')
  t.end()
})

t.test('what is ours goes, and the rest stays byte for byte', (t) => {
  const rows: readonly (readonly [string, string | null])[] = [
    ['EKID=x', null],
    ['EKID=x; EKID=y', null],
    [' EKID=x ; ', null],
    ['a=1; EKID=x; b=2', 'a=1; b=2'],
    ['EKID=x; b=2', 'b=2'],
    ['a=1; EKID=x', 'a=1'],
    ['a=1;EKID=x;b=2', 'a=1;b=2'],
    ['a="EKID=x"; b', 'a="EKID=x"; b'],
    ['a=1;  EKID=x;   b="2 ";', 'a=1;   b="2 ";'],
    ['EKID; a=EKID=1', 'EKID; a=EKID=1'],
    ['a=\xe4\xf6; EKID=\xff; c=\x80', 'a=\xe4\xf6; c=\x80'],
  ]
  for (const [text, left] of rows) t.equal(withoutCookie(text, 'EKID'), left, text)
  t.end()
})

t.test('nothing of ours is left, and no other cookie is lost or changed', (t) => {
  const name = fc.constantFrom('EKID', 'a', 'b', 'EKIDX', ' EKID ', '')
  const pair = fc.tuple(name, fc.stringMatching(/^[\x20-\x3a\x3c-\x7e]{0,8}$/)).map(([key, value]) => `${key}=${value}`)
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 8 }), fc.constantFrom(';', '; '), (pairs, glue) => {
      const text = pairs.join(glue)
      const left = withoutCookie(text, 'EKID') ?? ''
      const others = (field: string): string[] =>
        field
          .split(';')
          .map((each) => each.trim())
          .filter((each) => !/^EKID\s*=/.test(each) && each !== '')
      return cookieIn(left, 'EKID', any) === '' && others(left).join('|') === others(text).join('|')
    }),
  )
  t.end()
})

t.test('time grows with the length alone', (t) => {
  const begun = performance.now()
  const text = '; EKID'.repeat(100_000)
  t.equal(cookieIn(text, 'EKID', any), '')
  t.equal(withoutCookie(`${text}; EKID=x`, 'EKID'), text)
  t.equal(withoutCookie(`${' '.repeat(500_000)}EKID=x`, 'EKID'), null)
  t.ok(performance.now() - begun < 1000, `${performance.now() - begun} ms`)
  t.end()
})

t.test('a Set-Cookie tells its value to who asks by its name', (t) => {
  t.equal(cookieSetBy('JSESSIONID=abc; Path=/; HttpOnly', 'JSESSIONID'), 'abc')
  t.equal(cookieSetBy('JSESSIONID="a b"', 'JSESSIONID'), '"a b"')
  t.equal(cookieSetBy('jsessionid=abc', 'JSESSIONID'), '')
  t.equal(cookieSetBy('a=JSESSIONID=abc', 'JSESSIONID'), '')
  t.equal(cookieSetBy('a=1; JSESSIONID=abc', 'JSESSIONID'), '', 'an attribute is no cookie')
  t.equal(cookieSetBy('JSESSIONID', 'JSESSIONID'), '')
  t.end()
})
