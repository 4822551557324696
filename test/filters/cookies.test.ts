/** Attributes of cookies. */
import t from 'tap'
import { cpuMs } from '../support/cpu.ts'
import { answered, chain } from './fixtures/exchange.ts'

const cookie = (options: object, value: string): string | undefined =>
  answered(chain({ cookies: options }), [['Set-Cookie', value]])[0]?.[1]

const HARDEN = { secure: true, httpOnly: true, sameSite: 'Lax' }
const MOVE = { domain: { from: 'app.internal', to: 'shop.example' }, path: { from: '/app', to: '/shop' } }
const ROWS: readonly (readonly [title: string, object, string, string])[] = [
  ['attributes are added', HARDEN, 'a=1', 'a=1; Secure; HttpOnly; SameSite=Lax'],
  [
    'attributes that are there are not added again',
    HARDEN,
    'a=1; secure;HTTPONLY',
    'a=1; secure;HTTPONLY; SameSite=Lax',
  ],
  ['SameSite is replaced', { sameSite: 'Strict' }, 'a=1; SameSite=None; Secure', 'a=1; Secure; SameSite=Strict'],
  ['each SameSite is replaced', { sameSite: 'Lax' }, 'a=1; samesite=None; samesite', 'a=1; SameSite=Lax'],
  ['what no option names stays byte for byte', {}, ' a = 1 ;X=y;;  Path=/', ' a = 1 ;X=y;;  Path=/'],
  ['a value may have anything but a semicolon', { secure: true }, 'a="b=c, d"; Path=/', 'a="b=c, d"; Path=/; Secure'],
  ['Domain is replaced', MOVE, 'a=1; Domain=.APP.internal; HttpOnly', 'a=1; Domain=shop.example; HttpOnly'],
  ['another Domain stays', MOVE, 'a=1; Domain=x.app.internal', 'a=1; Domain=x.app.internal'],
  ['Domain is removed', { domain: { from: 'a.example', to: '' } }, 'a=1; domain=a.example; Path=/', 'a=1; Path=/'],
  ['Path is replaced by prefix', MOVE, 'a=1; Path=/app/x', 'a=1; Path=/shop/x'],
  ['Path is replaced whole', MOVE, 'a=1;path = /app', 'a=1; Path=/shop'],
  ['a Path that only begins alike stays', MOVE, 'a=1; Path=/apple', 'a=1; Path=/apple'],
  ['a Path becomes /', { path: { from: '/app', to: '/' } }, 'a=1; Path=/app', 'a=1; Path=/'],
  ['no Path stays none', MOVE, 'a=1', 'a=1'],
  [
    '__Host- keeps Path and Domain',
    { ...MOVE, path: { from: '/', to: '/x' } },
    '__host-a=1; Path=/',
    '__host-a=1; Path=/',
  ],
  ['a cookie that is not named stays', { ...HARDEN, names: ['b'] }, 'a=1', 'a=1'],
  ['a cookie that is named changes', { secure: true, names: ['a', 'b'] }, 'b=1', 'b=1; Secure'],
  ['no cookie: left alone', HARDEN, 'nonsense; Path=/', 'nonsense; Path=/'],
  ['no name: left alone', HARDEN, '=1; Path=/', '=1; Path=/'],
  ['a name that is none: left alone', HARDEN, 'a b=1', 'a b=1'],
  ['an empty field: left alone', HARDEN, '', ''],
  ['the name of a prototype is a name', { secure: true, names: ['__proto__'] }, '__proto__=1', '__proto__=1; Secure'],
  ['an equals sign in the attributes is not the name', HARDEN, 'a; b=c', 'a; b=c'],
]
for (const [title, options, value, wanted] of ROWS)
  t.test(title, (t) => {
    t.equal(cookie(options, value), wanted)
    t.end()
  })

t.test('each cookie is changed in its place', (t) => {
  t.same(
    answered(chain({ cookies: { secure: true } }), [
      ['Set-Cookie', 'a=1'],
      ['X', 'y'],
      ['set-cookie', 'b=2'],
    ]),
    [
      ['Set-Cookie', 'a=1; Secure'],
      ['X', 'y'],
      ['set-cookie', 'b=2; Secure'],
    ],
  )
  t.end()
})

t.test('the longest cookie, at its worst, is read in no time', (t) => {
  for (const unit of [';', '=', '; Path=/', ' ', ';samesite', '\t;'])
    for (const start of ['a=1', 'a', '']) {
      const took = cpuMs(() => cookie({ ...HARDEN, ...MOVE }, start + unit.repeat(32_000 / unit.length)))
      t.ok(took < 200, JSON.stringify(start + unit))
    }
  t.end()
})
