/** Rewriting of paths: by prefix on the bounds of segments, and by pattern. */
import t from 'tap'
import { cpuMs } from '../support/cpu.ts'
import { ask, chain, request } from './fixtures/exchange.ts'

/** The target that goes on, or the refusal. */
function rewritten(options: object, target: string): string {
  const asked = request({ target })
  const reply = ask(chain({ rewritePath: options }), asked)
  return reply === undefined ? asked.target : `${reply.status} ${reply.detail}`
}

const ROWS: readonly (readonly [title: string, object, readonly (readonly [string, string])[]])[] = [
  [
    'stripPrefix takes a prefix off, on the bounds of segments',
    { stripPrefix: '/api' },
    [
      ['/api/x?q=/api', '/x?q=/api'],
      ['/api', '/'],
      ['/api/', '/'],
      ['/api?q', '/?q'],
      ['/apis/x', '/apis/x'],
      ['/x/api', '/x/api'],
      ['/api;v=1/x', '/;v=1/x'],
      ['/API/x', '/API/x'],
      ['/%61pi/x', '/x'],
    ],
  ],
  [
    'a final slash of the prefix does not count',
    { stripPrefix: '/api/' },
    [
      ['/api', '/'],
      ['/api/x', '/x'],
    ],
  ],
  ['a prefix is compared in canonical form', { stripPrefix: '/caf%c3%a9' }, [['/caf%C3%a9/x', '/x']]],
  [
    'addPrefix puts a prefix before the path',
    { addPrefix: '/v1' },
    [
      ['/', '/v1/'],
      ['/x?q', '/v1/x?q'],
    ],
  ],
  [
    'replacePrefix puts one prefix in the place of another',
    { replacePrefix: { from: '/old', to: '/new/er' } },
    [
      ['/old', '/new/er'],
      ['/old/x', '/new/er/x'],
      ['/older', '/older'],
    ],
  ],
  [
    'a pattern replaces what it matches, from the start',
    { regex: '^/user/([^/]+)/photo', to: '/photo/$1' },
    [
      ['/user/ann/photo/7?s', '/photo/ann/7?s'],
      ['/x/user/ann/photo', '/x/user/ann/photo'],
    ],
  ],
  [
    'groups are numbered; a group that took no part is empty; $$ is a dollar',
    { regex: '^/(a)?(?:b)(c+)$', to: '/$2-$1-$0-$$1' },
    [
      ['/bcc', '/cc--/bcc-$1'],
      ['/abc', '/c-a-/abc-$1'],
    ],
  ],
  [
    'a dollar that the client sends means nothing',
    { regex: '^/x/(.*)$', to: '/y/$1' },
    [["/x/$0$1$&$'$`", "/y/$0$1$&$'$%60"]],
  ],
  ['the target of OPTIONS * is left alone', { regex: '^.*$', to: '/x' }, [['*', '*']]],
  ['the same for a prefix', { addPrefix: '/x' }, [['*', '*']]],
  [
    'a rewriting does not climb out of where it leads (the classic nginx alias)',
    { regex: '^/files(.*)$', to: '/data/$1' },
    [
      ['/files/x', '/data/x'],
      ['/files../secret', '400 the path has a dot segment'],
      ['/files.', '400 the path has a dot segment'],
    ],
  ],
  [
    'a rewriting does not make a path of another kind',
    { regex: '^/x', to: '/' },
    [
      ['/x//evil.example', '/evil.example'],
      ['/x.', '400 the path has a dot segment'],
    ],
  ],
]
for (const [title, options, rows] of ROWS)
  t.test(title, (t) => {
    for (const [target, wanted] of rows) t.equal(rewritten(options, target), wanted, target)
    t.end()
  })

t.test('a path that rewriting makes too long is refused', (t) => {
  const to = `/${'$1'.repeat(500)}`
  t.equal(rewritten({ regex: '^/(.*)$', to }, `/${'a'.repeat(8000)}`), '414 the path is too long')
  t.end()
})

t.test('a pattern takes no time on the longest path', (t) => {
  const filters = chain({ rewritePath: { regex: '^.*\\.(php|phps|phtml)$', to: '/x' } })
  const asked = request({ target: `/${'.php'.repeat(8000)}x` })
  const took = cpuMs(() => ask(filters, asked))
  t.ok(took < 100)
  t.end()
})
