/** Operators' regular expressions: what is accepted runs in linear time on any path. */
import { checkPattern } from '../../lib/config/patterns.ts'
import { holds, type Target } from '../target.ts'

const LONG = 4000 // characters of a path that an exponential or cubic pattern never gets through
const MOST_MS = 150 // a linear one takes less than 1

export const pattern: Target = {
  name: 'pattern',
  seeds: [
    '^/a',
    '^/[^/]*/x$',
    '^/(a|b)+c',
    '^/(?:\\d{2,4})/(\\w+)$',
    '^/a?b*c+.{2}',
    '^/[a-z0-9_-]+\\.(?:png|jpe?g)$',
    '^.*',
    '^(a|ab)(c|bcd)(d*)$',
  ],
  words: [
    '(',
    ')',
    '(?:',
    '|',
    '*',
    '+',
    '?',
    '{2}',
    '{1,3}',
    '{2,}',
    '.',
    '.*',
    '[a-z]',
    '[^/]',
    '[^',
    ']',
    '\\d',
    '\\w',
    '\\W',
    '\\',
    '^',
    '$',
    '/',
    'a',
    'b',
    'aa',
    '(?=',
    '\\1',
    '*?',
    '(a*)*',
    '(a|a)*',
    '\\x41',
    '\\u0041',
    '-',
    ',',
    '{',
    '}',
  ],
  check(input) {
    const source = input.toString('latin1').slice(0, 600)
    const found = checkPattern(source)
    if (typeof found === 'string') return `bad ${found.split(' ').slice(0, 3).join(' ')}`
    const regex = new RegExp(source, 'u')
    const letters = source.replaceAll(/[^!-~]|[\\()[\]{}|*+?^$]/g, '') || 'a'
    for (const unit of [letters, letters.slice(0, 1), letters.slice(-2), 'a']) {
      const text = `/${unit.repeat(Math.ceil(LONG / unit.length)).slice(0, LONG)}!`
      // The shortest of some tries: the machine may be busy.
      let ms = Number.POSITIVE_INFINITY
      for (let tries = 0; tries < 4 && ms >= MOST_MS; tries++) {
        const begun = performance.now()
        regex.test(text)
        ms = Math.min(ms, performance.now() - begun)
      }
      holds(ms < MOST_MS, `${source} takes long`)
    }
    return `ok ${Math.min(found.groups, 3)} ${source.includes('{')} ${source.includes('[')} ${source.includes('|')}`
  },
}
