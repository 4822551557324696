/** HTTP.md 4: the bytes that a head may be made of, and its line ends. */
import t from 'tap'
import { get, passes, type RefusedRow, refuses, startRig } from '../support/engine.ts'

const rig = await startRig(t)
const byte = (code: number) => String.fromCharCode(code)
const hex = (code: number) => `0x${code.toString(16).padStart(2, '0')}`
const bad = (bytes: string, title = JSON.stringify(bytes)): RefusedRow => ({ title, bytes })

t.test('a line end of a head that is not CRLF is refused, wherever it stands', async (t) => {
  const lines = ['GET / HTTP/1.1', 'Host: a.test', 'X-One: 1', 'X-Two: 2', '']
  const rows: RefusedRow[] = []
  for (const wrong of ['\n', '\r', '\n\r', '\r\r\n', '\r\n\n', '\n\n', '\r\r', '\r \n', '\r\0\n'])
    for (let at = 0; at < lines.length; at++) {
      const text = lines.map((line, i) => line + (i === at ? wrong : '\r\n')).join('')
      // An empty head line ends the head: what follows is another request then, and no fault of this one.
      if (at === lines.length - 1 && wrong === '\r\n\n') continue
      if (at !== 0 && at < lines.length - 1 && wrong === '\r\n\n') rows.push(bad(text))
      else rows.push(bad(`${text}\r\n`, `${JSON.stringify(wrong)} after ${JSON.stringify(lines[at])}`))
    }
  rows.push(bad('GET / HTTP/1.1\nHost: a.test\n\n', 'LF alone throughout'))
  rows.push(bad('GET / HTTP/1.1\rHost: a.test\r\r', 'CR alone throughout'))
  rows.push(bad('GET / HTTP/1.1\r\nHost: a.test\r\n\rX', 'the head end of CVE-2023-30589'))
  rows.push(bad('GET / HTTP/1.1\r\nHost: a.test\r\n\nX: y\r\n\r\n', 'LF as an empty line'))
  await refuses(t, rig, rows)
})

t.test('a bare CR or LF inside a value is refused', async (t) => {
  const rows: RefusedRow[] = []
  for (const c of ['\r', '\n', '\r\r', '\n\n', '\n\r'])
    for (const value of [`a${c}b`, `${c}b`, `a${c}`, `a${c} b`, `a${c}\tb`, `a${c}Content-Length: 5`])
      rows.push(bad(get('/', `X-Value: ${value}\r\n`)))
  await refuses(t, rig, rows)
})

t.test('every control byte but tab is refused in a value, in every place', async (t) => {
  const rows: RefusedRow[] = []
  for (let code = 0; code < 0x80; code++) {
    if ((code >= 0x20 && code !== 0x7f) || code === 9) continue
    const c = byte(code)
    for (const value of [`${c}b`, `a${c}b`, `a${c}`, c])
      rows.push(bad(get('/', `X-Value: ${value}\r\n`), `${hex(code)} in ${JSON.stringify(value)}`))
  }
  rows.push(bad(`GET / HTTP/1.1\r\nHost: a.test\x00\r\n\r\n`), bad(`GET / HTTP/1.1\r\nHost: a.te\x00st\r\n\r\n`))
  await refuses(t, rig, rows)
})

t.test('every byte that is not of a token is refused in a name', async (t) => {
  const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/
  const rows: RefusedRow[] = []
  for (let code = 0; code < 256; code++) {
    const c = byte(code)
    if (token.test(c) || c === ':') continue
    rows.push(bad(get('/', `X${c}Name: v\r\n`), `${hex(code)} inside`))
    rows.push(bad(get('/', `X-Name${c}: v\r\n`), `${hex(code)} before the colon`))
    rows.push(bad(get('/', `${c}X-Name: v\r\n`), `${hex(code)} in front`))
    rows.push(bad(`GET / HTTP/1.1\r\n${c}Host: a.test\r\n\r\n`, `${hex(code)} in front of the first name`))
  }
  await refuses(t, rig, rows)
})

t.test('an empty name, no colon, or white space before it is refused', async (t) => {
  await refuses(
    t,
    rig,
    [
      ': v',
      ':',
      ' : v',
      '::',
      'X-Name',
      'X-Name v',
      'X-Name=v',
      ' ',
      '\t',
      '  ',
      'X-Name : v',
      'X-Name\t: v',
      'X Name: v',
    ].flatMap((line) => [
      bad(get('/', `${line}\r\n`)),
      bad(`GET / HTTP/1.1\r\n${line}\r\nHost: a.test\r\n\r\n`),
      bad(get('/', `${line}\r\nX-After: 1\r\n`)),
    ]),
  )
})

t.test('a first field line that starts with white space is refused', async (t) => {
  await refuses(t, rig, [
    bad('GET / HTTP/1.1\r\n Host: a.test\r\n\r\n'),
    bad('GET / HTTP/1.1\r\n\tHost: a.test\r\n\r\n'),
    bad('GET / HTTP/1.1\r\n X: y\r\nHost: a.test\r\n\r\n'),
    bad('GET / HTTP/1.1\r\n \r\nHost: a.test\r\n\r\n'),
    bad('GET / HTTP/1.1\r\n\x0bHost: a.test\r\n\r\n'),
    bad('GET / HTTP/1.1\r\n Host: b.test\r\nHost: a.test\r\n\r\n'),
    bad('GET / HTTP/1.1\r\n Content-Length: 5\r\nHost: a.test\r\n\r\nhello'),
  ])
})

t.test('a folded line is refused', async (t) => {
  await refuses(t, rig, [
    bad(get('/', 'X-Fold: a\r\n b\r\n')),
    bad(get('/', 'X-Fold: a\r\n\tb\r\n')),
    bad(get('/', 'X-Fold: a\r\n  \t b\r\n')),
    bad(get('/', 'X-Fold:\r\n b\r\n')),
    bad(get('/', 'X-Fold: a\r\n \r\n')),
    bad(get('/', 'X-Fold: a\r\n b\r\n c\r\n')),
    bad(get('/', 'X-Fold: a\r\n b: c\r\n')),
    bad('GET / HTTP/1.1\r\nHost: a\r\n .test\r\n\r\n'),
    bad('GET / HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n'),
  ])
})

t.test('tab, any byte from 0x80 up and every mark pass in a value untouched', async (t) => {
  const all = Array.from({ length: 128 }, (_, i) => byte(0x80 + i)).join('')
  const marks = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'
  const values = [all, marks, 'a\tb', 'a  b', 'caf\xe9', '\xc3\xa9\xf0\x9f\x98\x80', ':', 'a: b', '']
  await passes(
    t,
    rig,
    values.map((value, i) => ({ title: JSON.stringify(value), bytes: get(`/value/${i}`, `X-Value: ${value}\r\n`) })),
  )
  for (const [i, value] of values.entries()) {
    const got = rig.backend.last(`/value/${i}`).fields.filter(([name]) => name === 'X-Value')
    t.strictSame(got, [['X-Value', value]], JSON.stringify(value))
  }
})

t.test('every token is a name', async (t) => {
  const names = ["!#$%&'*+-.^_`|~09AZaz", 'X', '0', '_', '__proto__', 'constructor', 'toString', 'hasOwnProperty', '-']
  await passes(
    t,
    rig,
    names.map((name, i) => ({ title: name, bytes: get(`/name/${i}`, `${name}: v\r\n`) })),
  )
  for (const [i, name] of names.entries())
    t.ok(rig.backend.last(`/name/${i}`).head.includes(`\r\n${name}: v\r\n`), `${name} arrived as it was`)
})

t.test('nothing of any of it reached the backend', async (t) => {
  t.strictSame(rig.backend.faults, [])
})
