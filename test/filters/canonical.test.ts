/** Paths in their one form: what is matched is what is forwarded. */
import fc from 'fast-check'
import t from 'tap'
import { canonicalPath, type PathPolicy, SAFE_PATHS } from '../../lib/filters/index.ts'
import { cpuMs } from '../support/cpu.ts'

const read = (path: string, policy: Partial<PathPolicy> = {}): string => {
  const made = canonicalPath(path, { ...SAFE_PATHS, ...policy })
  return typeof made === 'string' ? made : `${made.status} ${made.detail}`
}

function table(title: string, rows: readonly (readonly [string, string])[], policy: Partial<PathPolicy> = {}): void {
  t.test(title, (t) => {
    for (const [path, wanted] of rows) t.equal(read(path, policy), wanted, path)
    t.end()
  })
}

const longer = 'a'.repeat(32 * 1024)
table('a path has one form, by default', [
  ['', '/'],
  ['/', '/'],
  ['*', '*'],
  ['/a/b', '/a/b'],
  ["/a-._~!$&'()*+,=:@b", "/a-._~!$&'()*+,=:@b"],
  ['/%41%7e%2D%5f', '/A~-_'],
  ['/caf%c3%a9', '/caf%C3%A9'],
  ['/%3a%40%2b', '/%3A%40%2B'],
  ['/a%20b', '/a%20b'],
  ['/a"<>^`{|}', '/a%22%3C%3E%5E%60%7B%7C%7D'],
  ['/%7b%7D', '/%7B%7D'],
  ['/\xe9', '/%E9'],
  ['/a b', '/a%20b'],
  ['/a?b#c', '/a%3Fb%23c'],
  ['/a//b///c//', '/a/b/c/'],
  ['/a/./b/.', '/a/b/'],
  ['/a/b/../c', '/a/c'],
  ['/a/b/..', '/a/'],
  ['/a/%2e%2e/b', '/b'],
  ['/a/%2E./b', '/b'],
  ['/a/.%2e', '/'],
  ['/a//../b', '/b'],
  ['/...', '/...'],
  ['/.a/..b/c../d.', '/.a/..b/c../d.'],
  ['/a;b=c/d', '/a;b=c/d'],
  ['/a%3bb', '/a%3Bb'],
  ['/%25', '/%25'],
  ['/100%25/x', '/100%25/x'],
  ['/%2541', '/%2541'],
])

table('what backends read in a second way is refused, by default', [
  ['/a%00b', '400 the path has an encoded NUL'],
  ['/a%0d%0aX:', '400 the path has an encoded control character'],
  ['/%7f', '400 the path has an encoded control character'],
  ['/a%2fb', '400 the path has an encoded slash'],
  ['/a%2Fb', '400 the path has an encoded slash'],
  ['/a\\b', '400 the path has a backslash'],
  ['/a%5cb', '400 the path has a backslash'],
  ['/..', '400 the path climbs above the root'],
  ['/a/../..', '400 the path climbs above the root'],
  ['/%2e%2e/etc', '400 the path climbs above the root'],
  ['/a/..;/b', '400 the path has a hidden dot segment'],
  ['/a/..;x=1/b', '400 the path has a hidden dot segment'],
  ['/a/.;/b', '400 the path has a hidden dot segment'],
  ['/a/%2e%2e%3b/b', '400 the path has a hidden dot segment'],
  ['/a/..;', '400 the path has a hidden dot segment'],
  ['/%252e%252e/', '400 the path has an escape that is escaped'],
  ['/a%252fb', '400 the path has an escape that is escaped'],
  ['/a%255Cb', '400 the path has an escape that is escaped'],
  ['/a%2500', '400 the path has an escape that is escaped'],
  ['/%25252e', '400 the path has an escape that is escaped'],
  ['/a/..%253b/b', '400 the path has an escape that is escaped'],
  ['/%25c0%25af', '400 the path has an escape that is escaped'],
  ['/%25%32%65', '400 the path has an escape that is escaped'],
  ['/%c0%af', '400 the path has an overlong character'],
  ['/%c0%ae%c0%ae/', '400 the path has an overlong character'],
  ['/%C1%9C', '400 the path has an overlong character'],
  ['/%e0%80%af', '400 the path has an overlong character'],
  ['/%f0%80%80%af', '400 the path has an overlong character'],
  ['/%f8%80%80%80%af', '400 the path has an overlong character'],
  ['/%fc%80%80%80%80%af', '400 the path has an overlong character'],
  ['/%', '400 the path has a malformed escape'],
  ['/%4', '400 the path has a malformed escape'],
  ['/%zz', '400 the path has a malformed escape'],
  ['/%4g', '400 the path has a malformed escape'],
  ['/%u002e', '400 the path has a malformed escape'],
  ['/%%34%31', '400 the path has a malformed escape'],
  ['/a\0', '400 the path has a character that no path has'],
  ['/a\r\n', '400 the path has a character that no path has'],
  ['/a\x7f', '400 the path has a character that no path has'],
  ['/\u20ac', '400 the path has a character that no path has'],
  ['a', '400 the path does not start with a slash'],
  ['%2Fa', '400 the path does not start with a slash'],
  ['**', '400 the path does not start with a slash'],
  [`/${longer}`, '414 the path is too long'],
  [`/${'{'.repeat(20_000)}`, '414 the path is too long'],
])

table('UTF-8 that is as short as can be passes', [
  ['/%c3%80', '/%C3%80'],
  ['/%e0%a4%85', '/%E0%A4%85'],
  ['/%e2%82%ac', '/%E2%82%AC'],
  ['/%f0%9f%98%80', '/%F0%9F%98%80'],
  ['/%e9t%e9', '/%E9t%E9'],
])

table('an encoded slash that passes is no slash', [['/a%2fb', '/a%2Fb']], { encodedSlash: 'pass' })
table(
  'dot segments between encoded slashes that pass are seen',
  [
    ['/a%2f..%2fb', '400 the path has a hidden dot segment'],
    ['/a/..%2fb', '400 the path has a hidden dot segment'],
    ['/a%2f.', '400 the path has a hidden dot segment'],
    ['/a%2f..b', '/a%2F..b'],
  ],
  { encodedSlash: 'pass' },
)
table(
  'an encoded slash that is decoded is a slash in every way',
  [
    ['/a%2fb', '/a/b'],
    ['/a%2f%2fb', '/a/b'],
    ['/a%2f..%2fb', '/b'],
    ['/..%2fb', '400 the path climbs above the root'],
  ],
  { encodedSlash: 'decode' },
)
table(
  'a backslash that passes goes on escaped',
  [
    ['/a\\b', '/a%5Cb'],
    ['/a%5cb', '/a%5Cb'],
    ['/a\\..\\b', '400 the path has a hidden dot segment'],
  ],
  { backslash: 'pass' },
)
table(
  'a backslash that is decoded is a slash',
  [
    ['/a\\b%5Cc', '/a/b/c'],
    ['/a\\..\\b', '/b'],
  ],
  { backslash: 'decode' },
)
table(
  'a NUL that passes does not hide dots',
  [
    ['/a%00', '/a%00'],
    ['/a/..%00/b', '400 the path has a hidden dot segment'],
  ],
  { nul: 'pass' },
)
table('control characters that pass stay escaped', [['/a%0d%0a', '/a%0D%0A']], { controls: 'pass' })
table(
  'dot segments can be refused',
  [
    ['/a/./b', '400 the path has a dot segment'],
    ['/a/%2e%2e', '400 the path has a dot segment'],
    ['/a/..;/b', '400 the path has a dot segment'],
    ['/a/...', '/a/...'],
  ],
  { dotSegments: 'reject' },
)
table(
  'dot segments that pass stay, without their escapes',
  [
    ['/a/%2e%2e/b', '/a/../b'],
    ['/a/..;/b', '/a/..;/b'],
  ],
  { dotSegments: 'pass' },
)
table('empty segments can be refused', [['/a//b', '400 the path has an empty segment']], { emptySegments: 'reject' })
table(
  'empty segments can stay',
  [
    ['//a//b', '//a//b'],
    ['/a//../b', '/a/b'],
    ['/.//b', '//b'],
  ],
  { emptySegments: 'pass' },
)
table('an escape of an escape can pass', [['/%252e', '/%252e']], { doubleEncoding: 'pass' })
table(
  'parameters can be refused',
  [
    ['/a;b', '400 the path has a semicolon'],
    ['/a%3bb', '400 the path has a semicolon'],
  ],
  { parameters: 'reject' },
)

const piece = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('/', '//', '.', '..', '/../', '/./', ';', '%3b', '%2e', '%2F', '%5c', '\\') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('%25', '%', '%2', '%00', '%0a', '%c0', '%af', '%e9', '%41', '%7B', '{', '2e'),
  },
  { weight: 2, arbitrary: fc.stringMatching(/^[!-~]{0,4}$/) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)) },
)
const paths = fc.array(piece, { maxLength: 12 }).map((parts) => `/${parts.join('')}`)
const policies: fc.Arbitrary<PathPolicy> = fc.record({
  nul: fc.constantFrom('reject', 'pass'),
  controls: fc.constantFrom('reject', 'pass'),
  encodedSlash: fc.constantFrom('reject', 'pass', 'decode'),
  backslash: fc.constantFrom('reject', 'pass', 'decode'),
  dotSegments: fc.constantFrom('reject', 'pass', 'decode'),
  emptySegments: fc.constantFrom('reject', 'pass', 'merge'),
  doubleEncoding: fc.constantFrom('reject', 'pass'),
  parameters: fc.constantFrom('reject', 'pass'),
})

t.test('a canonical path stays as it is, under every policy', (t) => {
  let made = 0
  fc.assert(
    fc.property(paths, policies, (path, policy) => {
      const once = canonicalPath(path, policy)
      if (typeof once !== 'string') return true
      made++
      return canonicalPath(once, policy) === once
    }),
    { numRuns: 20_000 },
  )
  t.ok(made > 2000, `${made} paths were not refused`)
  t.end()
})

t.test('a canonical path has visible ASCII only, and is a path', (t) => {
  fc.assert(
    fc.property(paths, policies, (path, policy) => {
      const made = canonicalPath(path, policy)
      return typeof made !== 'string' || /^\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-F]{2})*$/.test(made)
    }),
    { numRuns: 20_000 },
  )
  t.end()
})

const decodeLatin1 = (text: string): string =>
  text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))

t.test('by default no reading of a canonical path, however lax, climbs or splits it in another way', (t) => {
  const lax = (path: string): string => {
    const text = path.replaceAll(/;[^/]*/g, '').replaceAll('\\', '/')
    return decodeLatin1(text)
      .replaceAll('\\', '/')
      .replaceAll(/;[^/]*/g, '')
  }
  fc.assert(
    fc.property(paths, (path) => {
      const made = canonicalPath(path, SAFE_PATHS)
      if (typeof made !== 'string') return true
      const once = lax(made)
      const twice = lax(once)
      return [once, twice].every(
        (text) =>
          !text.includes('\0') &&
          text.split('/').length === made.split('/').length &&
          !text.split('/').some((segment) => segment === '.' || segment === '..'),
      )
    }),
    { numRuns: 20_000 },
  )
  t.end()
})

t.test('the longest path, at its worst, is read in no time', (t) => {
  for (const unit of ['/', '/.', '/..', '/a/..', '%2e', '%25', '%25%', ';', '/..;', '%c3%a9', '{', '\\', '/.%2e/a'])
    for (const policy of [SAFE_PATHS, { ...SAFE_PATHS, doubleEncoding: 'pass', encodedSlash: 'pass' } as const]) {
      const path = `/${unit.repeat(Math.floor(32_000 / unit.length))}`
      const took = cpuMs(() => canonicalPath(path, policy))
      t.ok(took < 100, unit)
    }
  t.end()
})
