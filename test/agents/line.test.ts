/** The agent's line, word by word. What HAProxy makes of the same lines is in haproxy.test.ts. */
import fc from 'fast-check'
import t from 'tap'
import { type AgentReport, parseAgentLine } from '../../lib/agents/index.ts'

const SILENT: AgentReport = {
  load: null,
  weight: null,
  maxConnections: null,
  admin: null,
  health: null,
  reason: '',
  ignored: '',
}

const LINES: readonly (readonly [line: string, says: Partial<AgentReport>])[] = [
  ['', {}],
  ['75%', { weight: { percent: 75 } }],
  ['0%', { weight: { percent: 0 } }],
  ['150%', { weight: { percent: 150 } }],
  ['99999999999%', { weight: { percent: 25_600 } }],
  ['weight:7', { weight: { absolute: 7 } }],
  ['weight:0', { weight: { absolute: 0 } }],
  ['weight:257', { ignored: 'weight:257' }],
  ['maxconn:30', { maxConnections: 30 }],
  ['maxconn:0', { maxConnections: 0 }],
  ['up', { health: 'up' }],
  ['DOWN', { health: 'down' }],
  ['Stopped # for backup', { health: 'down', reason: 'for backup' }],
  ['fail #disk full', { health: 'down', reason: 'disk full' }],
  ['ready', { admin: 'ready' }],
  ['drain', { admin: 'drain' }],
  ['maint', { admin: 'maint' }],
  ['ready up 50% maxconn:9', { admin: 'ready', health: 'up', weight: { percent: 50 }, maxConnections: 9 }],
  ['up,75%', { health: 'up', weight: { percent: 75 } }],
  ['\t drain ,\t', { admin: 'drain' }],
  ['up down', { health: 'down' }],
  ['50% 60%', { weight: { percent: 60 } }],
  ['drain#now', { ignored: 'drain#now' }],
  ['#only a reason 50%', { reason: 'only a reason 50%' }],
  ['nonsense 40% more', { ignored: 'nonsense', weight: { percent: 40 } }],
  ['75', { ignored: '75' }],
  ['-5%', { ignored: '-5%' }],
  ['7.5%', { ignored: '7.5%' }],
  ['50%x', { ignored: '50%x' }],
  ['maxconn:', { ignored: 'maxconn:' }],
  ['maxconn:-1', { ignored: 'maxconn:-1' }],
  ['down # a\u0007b\u001b[31mc', { health: 'down', reason: 'a b [31mc' }],
]

for (const [line, says] of LINES)
  t.test(`${JSON.stringify(line)} says ${JSON.stringify(says)}`, (t) => {
    t.strictSame(parseAgentLine(line), { ...SILENT, ...says })
    t.end()
  })

t.test('whatever comes is read without an error, in bounded time, and within bounds', (t) => {
  const word = fc.constantFrom('up', 'down', '5%', 'weight:3', 'maxconn:1', '#', ' ', ',', '%', ':', '9', 'x')
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(word, { maxLength: 400 }).map((words) => words.join('')),
  )
  fc.assert(
    fc.property(line, (line) => {
      const { weight, maxConnections, reason, ignored } = parseAgentLine(line)
      const share = weight === null ? 0 : 'percent' in weight ? weight.percent / 100 : weight.absolute
      return share >= 0 && share <= 256 && (maxConnections ?? 0) >= 0 && reason.length <= 120 && ignored.length <= 120
    }),
    { numRuns: 2000 },
  )
  t.end()
})
