/** URLs of backends in answers, turned into those that clients know. */
import t from 'tap'
import { cpuMs } from '../support/cpu.ts'
import { type Asked, answered, chain } from './fixtures/exchange.ts'

const located = (options: object, value: string, asked: Asked = {}, name = 'Location'): string | undefined =>
  answered(chain({ rewriteLocation: options }), [[name, value]], asked)[0]?.[1]

const TLS: Asked = { scheme: 'https' }
const APP = { hosts: ['app.internal', 'other.internal:8443'] }
const MAPPED = {
  paths: [
    { from: '/app', to: '/' },
    { from: '/old', to: '/new' },
  ],
}
const ROWS: readonly (readonly [title: string, object, string, Asked, string])[] = [
  ["the backend's address", {}, 'http://10.0.0.1:8080/x?q#f', {}, 'http://shop.example/x?q#f'],
  ["the backend's address, towards TLS", {}, 'http://10.0.0.1:8080/x', TLS, 'https://shop.example/x'],
  ["another port of the backend's address is another site", {}, 'http://10.0.0.1/x', {}, 'http://10.0.0.1/x'],
  ["the client's host over http behind TLS", {}, 'http://shop.example/x', TLS, 'https://shop.example/x'],
  [
    'the same with a port',
    {},
    'http://shop.example:8443/x',
    { ...TLS, host: 'shop.example:8443' },
    'https://shop.example:8443/x',
  ],
  ['another port of the host is another site', {}, 'http://shop.example:81/x', TLS, 'http://shop.example:81/x'],
  ['a redirect to https is one', {}, 'https://shop.example/x', {}, 'https://shop.example/x'],
  ['a host that stands for the service', APP, 'http://APP.internal:99/x', TLS, 'https://shop.example/x'],
  ['a host with its port', APP, 'https://other.internal:8443', {}, 'http://shop.example'],
  ['a host with another port', APP, 'https://other.internal/', {}, 'https://other.internal/'],
  ['a reference without scheme', APP, '//app.internal/x', TLS, 'https://shop.example/x'],
  [
    'another site',
    APP,
    'https://bank.example/app?u=http://app.internal/',
    TLS,
    'https://bank.example/app?u=http://app.internal/',
  ],
  ['a name that only begins alike', APP, 'http://app.internal.evil.example/', {}, 'http://app.internal.evil.example/'],
  ['userinfo', APP, 'http://app.internal@evil.example/', {}, 'http://app.internal@evil.example/'],
  ['userinfo before ours', APP, 'http://evil@app.internal/', {}, 'http://evil@app.internal/'],
  [
    'a backslash behind the host',
    APP,
    'http://app.internal\\@evil.example/',
    {},
    'http://app.internal\\@evil.example/',
  ],
  ['a port that is none', APP, 'http://app.internal:8x/', {}, 'http://app.internal:8x/'],
  ['another scheme', APP, 'ftp://app.internal/', {}, 'ftp://app.internal/'],
  ['a script', APP, 'javascript:alert(1)', {}, 'javascript:alert(1)'],
  ['a path', {}, '/x', {}, '/x'],
  ['a relative path', MAPPED, 'x/../app', {}, 'x/../app'],
  ['an empty value', MAPPED, '', {}, ''],
  ['a path with a mapped prefix', MAPPED, '/app/x?q#f', {}, '/x?q#f'],
  ['a mapped prefix alone', MAPPED, '/app?q', {}, '/?q'],
  ['a second prefix', MAPPED, '/old/x', {}, '/new/x'],
  ['a prefix that only begins alike', MAPPED, '/apple', {}, '/apple'],
  ['a mapped prefix behind the address', MAPPED, 'http://10.0.0.1:8080/app', TLS, 'https://shop.example/'],
  [
    'everything below a prefix',
    { paths: [{ from: '/', to: '/api' }] },
    'http://10.0.0.1:8080?q',
    {},
    'http://shop.example/api/?q',
  ],
  ['a path that would name a host', MAPPED, '/app//evil.example', {}, '/.//evil.example'],
  ['a path that a browser would take for a host', MAPPED, '/app/\\evil.example', {}, '/./\\evil.example'],
  ['no host from the client', APP, 'http://app.internal/x', { host: '' }, '/x'],
  ["a client's host that is none", APP, 'http://app.internal//x', { host: "a'b" }, '/.//x'],
  ['IPv6', { hosts: ['[::1]'] }, 'http://[::1]:8080/x', { host: '[2001:db8::1]' }, 'http://[2001:db8::1]/x'],
]
for (const [title, options, value, asked, wanted] of ROWS)
  t.test(title, (t) => {
    t.equal(located(options, value, asked), wanted)
    t.end()
  })

t.test('Content-Location and Refresh are turned too', (t) => {
  t.equal(located(APP, 'http://app.internal/x', {}, 'content-location'), 'http://shop.example/x')
  const refreshes: readonly (readonly [string, string])[] = [
    ['5; url=http://app.internal/x', '5; url=http://shop.example/x'],
    ['0;URL="http://app.internal/x"', '0;URL="http://shop.example/x"'],
    ["0, 'http://app.internal/x' tail", "0, 'http://shop.example/x' tail"],
    ['5', '5'],
    ['5; url="http://app.internal/x', '5; url="http://app.internal/x'],
    ['x; url=http://app.internal/', 'x; url=http://app.internal/'],
    ['1.5;http://app.internal', '1.5;http://shop.example'],
  ]
  for (const [value, wanted] of refreshes) t.equal(located(APP, value, {}, 'Refresh'), wanted)
  t.end()
})

t.test('the longest value, at its worst, is read in no time', (t) => {
  for (const unit of ['/', '?', '#', '\\', ':', '@', ' ', '0;', 'url=', '"', '//', '[', '.', '/app'])
    for (const [name, start] of [
      ['Location', 'http://'],
      ['Location', ''],
      ['Refresh', '0;'],
      ['Refresh', '0; url='],
    ] as const) {
      const took = cpuMs(() => located({ ...APP, ...MAPPED }, start + unit.repeat(32_000 / unit.length), {}, name))
      t.ok(took < 200, start + unit)
    }
  t.end()
})
