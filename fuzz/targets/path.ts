/** Paths: what rules are matched against has one meaning for every reader behind us. */
import { canonicalPath, type PathPolicy, SAFE_PATHS } from '../../lib/filters/index.ts'
import { holds, same, type Target } from '../target.ts'

const PLAIN = /^(?:\/[A-Za-z0-9\-_~!$&'()*+,=:@]+)+\/?$/
const LAX: PathPolicy = {
  nul: 'pass',
  controls: 'pass',
  encodedSlash: 'decode',
  backslash: 'decode',
  dotSegments: 'decode',
  emptySegments: 'merge',
  doubleEncoding: 'pass',
  parameters: 'pass',
}
const POLICIES: readonly PathPolicy[] = [
  SAFE_PATHS,
  LAX,
  { ...SAFE_PATHS, parameters: 'reject', dotSegments: 'reject' },
]

/** As a careless backend decodes: once, and every byte for itself. */
const decoded = (path: string): string =>
  path.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

const count = (text: string, char: string): number => text.split(char).length - 1

/** However often a backend decodes it, and whatever it cuts off of a segment, it sees the same segments. */
function isHonest(path: string): string {
  let seen = path
  for (let times = 0; times < 4; times++) {
    if (count(seen, '/') !== count(path, '/')) return `a slash appears when it is decoded ${times} times`
    if (/[\\\0]/.test(seen)) return `a backslash or NUL appears when it is decoded ${times} times`
    for (const segment of seen.split('/')) {
      const [name = ''] = segment.split(';')
      if (name === '.' || name === '..') return `a dot segment appears when it is decoded ${times} times`
    }
    seen = decoded(seen)
  }
  return ''
}

export const path: Target = {
  name: 'path',
  seeds: [
    '/',
    '/a/b/c',
    '/a/./b/../c',
    '/a//b',
    '/a%2Fb%5c',
    '/%2e%2E/x',
    '/a;p=1/..;/b',
    '/caf\xe9/%C3%A9',
    '*',
    '/a%252fb/%25',
    '/%c0%af/%E0%80%AF',
    '/a/%00',
    '',
  ],
  words: [
    '..',
    '.',
    '/',
    '//',
    '%2e',
    '%2E',
    '%2f',
    '%5C',
    '\\',
    ';',
    '%3b',
    '%',
    '%25',
    '%252e',
    '%25252f',
    '%00',
    '%c0%ae',
    '%e0%80%ae',
    '%0d%0a',
    '%7e',
    '%41',
    '?',
    '#',
    '\x80',
    'a',
  ],
  check(input, random) {
    const text = input.toString('latin1')
    const policy = random.pick(POLICIES)
    const made = canonicalPath(text, policy)
    if (typeof made !== 'string') {
      holds(made.status === 400 || made.status === 414, `refused with ${made.status}`)
      holds(!PLAIN.test(text), 'a plain path is refused')
      return `${made.status} ${made.detail}`
    }
    if (text === '*') return 'asterisk'
    same('made canonical twice', canonicalPath(made, policy), made)
    holds(/^\/[\x21\x22\x24-\x3e\x40-\x7e]*$/.test(made), `not a path: ${JSON.stringify(made)}`)
    holds(!/%(?![0-9A-F]{2})/.test(made), `a loose escape: ${JSON.stringify(made)}`)
    if (policy !== LAX) same(`honest: ${JSON.stringify(made)}`, isHonest(made), '')
    holds(!made.includes('//') && !/\/\.\.?(?:\/|$)/.test(made), `not resolved: ${JSON.stringify(made)}`)
    if (PLAIN.test(text)) same('a plain path', made, text)
    return `ok ${made === text} ${made.includes('%')} ${policy === LAX}`
  },
}
