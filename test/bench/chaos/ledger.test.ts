/** The recorder's ledger: what it lets pass, and that it sees each way in which a balancer could do wrong. */
import t from 'tap'
import { contentOf, differenceOf } from '../../../bench/chaos/content.ts'
import { Ledger } from '../../../bench/chaos/ledger.ts'
import { endingOf } from '../../../bench/chaos/request.ts'

/** Lines without the time, which is their place, in seconds. */
function violations(...lines: string[]): readonly string[] {
  const ledger = new Ledger()
  for (const [i, line] of lines.entries()) {
    const [kind = '', ...rest] = line.split(' ')
    ledger.take([kind, `${i * 1000}`, ...rest])
  }
  return ledger.verdict().violations
}
const SENT = ['sent a1 h1-get', 'executed a1 b0 right']
const POSTED = ['sent a1 h1-post', 'executed a1 b0 right']

t.test('what went well is counted and not told', async (t) => {
  const ledger = new Ledger()
  for (const line of [
    'sent 0 a1 h1-get',
    'executed 1 a1 b0 right',
    'ended 2 a1 whole',
    'sent 0 a2 tcp',
    'ended 3 a2 whole',
  ])
    ledger.take(line.split(' '))
  t.strictSame(ledger.verdict(), {
    flows: {
      'h1-get': { sent: 1, whole: 1, executed: 1, excused: {} },
      tcp: { sent: 1, whole: 1, executed: 0, excused: {} },
    },
    repeated: 0,
    lost: 0,
    violations: [],
    violationCount: 0,
    lies: {},
  })
})

t.test('each of these is told, whatever faults there are', async (t) => {
  const present = ['begin 1 process-kill balancer', 'begin 2 backend-kill b0']
  for (const [what, ...lines] of [
    ['never told its end', ...SENT],
    ['looked whole and was not: 3-bytes', ...SENT, 'ended a1 wrong 3-bytes'],
    ['executed 2 times', ...POSTED, 'executed a1 b1 right', 'ended a1 whole'],
    ['executed 2 times', ...POSTED, 'executed a1 b1 right', 'ended a1 502'],
    ['executed 5 times', ...SENT, ...Array<string>(4).fill('executed a1 b0 right'), 'ended a1 whole'],
    ['answered, and never executed', 'sent a1 h1-get', 'ended a1 whole'],
    ['told that it was not', ...SENT, 'ended a1 unprocessed'],
    ['with another body', 'sent a1 h1-post', 'executed a1 b0 7-bytes', 'ended a1 whole'],
    ['never sent', 'executed a1 b0 right'],
    ['late', ...SENT, 'ended a1 late'],
    ['404', ...SENT, 'ended a1 404'],
    ['sent twice', 'sent a1 h1-get', ...SENT, 'ended a1 whole'],
    ['ended twice', ...SENT, 'ended a1 whole', 'ended a1 whole'],
    ['nobody understands', 'nonsense'],
  ] as const) {
    const told = violations(...present, ...lines)
    t.equal(told.length, 1, lines.join(', '))
    t.match(told[0], what)
  }
})

t.test('a failure is excused by a fault that explains it, while it lasts and rests', async (t) => {
  const failed = (...around: string[]) => violations(...around, ...POSTED, 'ended a1 502')
  t.strictSame(failed('begin 1 backend-kill b0'), [])
  t.strictSame(failed('begin 1 backend-kill b0', 'end 1'), [], 'its rest')
  t.match(failed()[0], /502.*by anything/)
  t.match(failed('begin 1 certificates certificates')[0], /502.*by certificates of certificates/)
  t.match(
    failed('begin 1 backend-kill b0', 'end 1', 'begin 2 disk-full disk', 'end 2')[0],
    /502.*disk-full/,
    'it is over',
  )
  t.match(violations(...SENT, 'ended a1 502', 'begin 1 backend-kill b0')[0], /502/, 'it came later')
  t.match(violations('begin 1 backend-kill b0', ...SENT, 'ended a1 502')[0], /502/, 'what may be sent again was not')
})

t.test('a kill excuses what was under way when it was done, and nothing that came later', async (t) => {
  const kill = 'begin 1 backend-kill b0'
  t.strictSame(violations(kill, ...POSTED, 'struck 1', 'ended a1 502'), [])
  t.match(violations(kill, 'struck 1', ...POSTED, 'ended a1 502')[0], /502.*by anything/)
  t.match(violations(kill, 'struck 1', ...POSTED, 'end 1', 'ended a1 502')[0], /502.*by anything/)
  t.strictSame(violations('begin 1 backend-stop b0', 'struck 1', ...POSTED, 'ended a1 502'), [], 'which goes on')
})

t.test(
  'a fault between clients and balancer excuses those who go that way, and never a second execution',
  async (t) => {
    const lost = (flow: string) => violations('begin 1 front-reset front-web', `sent a1 ${flow}`, 'ended a1 none')
    t.strictSame(lost('h1-get@front-web'), [])
    t.strictSame(lost('h1-post@front-web'), [])
    t.strictSame(lost('websocket@front-web'), [])
    for (const flow of ['h1-get', 'h1-get@front-secure', 'websocket']) t.match(lost(flow)[0], /none.*by anything/, flow)
    const again = ['executed a1 b0 right', 'executed a1 b1 right', 'ended a1 cut']
    const fault = 'begin 1 front-reset front-web'
    t.match(violations(fault, 'sent a1 h1-get@front-web', ...again)[0], /executed 2 times without a fault/)
    t.match(violations(fault, 'sent a1 h1-post@front-web', ...again)[0], /executed 2 times/)
  },
)

t.test('what is wrong about somebody who was lied to on purpose is found, and no violation', async (t) => {
  const ledger = new Ledger()
  const lines = [
    'sent 0 a1 h1-get',
    'executed 1 a1 b0 right',
    'ended 2 a1 wrong 3-bytes',
    'sent 3 a2 h1-post',
    'executed 4 a2 b0 7-bytes',
    'ended 5 a2 502',
    'sent 6 a3 h1-get',
    'executed 7 a3 b0 right',
    'ended 8 a3 whole',
    'lied 9 a1 tail-dropped',
    'lied 9 a2 request-cut',
    'lied 9 a3 tail-dropped',
  ]
  for (const line of lines) ledger.take(line.split(' '))
  const { lies, violations } = ledger.verdict()
  t.strictSame(lies, { 'tail-dropped': { told: 2, found: 1 }, 'request-cut': { told: 1, found: 1 } })
  t.strictSame(violations, [])
})

t.test('requests that may not be sent again and failed are counted', async (t) => {
  const ledger = new Ledger()
  const lines = [
    'begin 0 1 process-kill balancer',
    'sent 1 a1 h1-post',
    'ended 2 a1 none',
    'sent 3 a2 h1-get',
    'ended 4 a2 none',
  ]
  for (const line of lines) ledger.take(line.split(' '))
  t.equal(ledger.verdict().lost, 1)
})

t.test('a safe request may be executed again where connections break, and not otherwise', async (t) => {
  const again = [...SENT, 'executed a1 b1 right', 'ended a1 whole']
  t.strictSame(violations('begin 1 backend-kill b0', ...again), [])
  t.match(violations('begin 1 relay-delay b2', ...again)[0], /executed 2 times without a fault/)
})

t.test(
  'a head that a reset destroyed is a cut answer when the request was executed, and a lost request when not',
  async (t) => {
    t.strictSame(violations('begin 1 backend-kill b0', ...SENT, 'ended a1 none'), [])
    t.match(violations('begin 1 backend-kill b0', 'sent a1 h1-get', 'ended a1 none')[0], /none/)
  },
)

t.test('content differs by id, and by any block lost, doubled or swapped', async (t) => {
  const body = contentOf('a1', 3000)
  const ask = { id: 'a1', path: '', method: 'GET', size: 3000, body: Buffer.alloc(0), pieces: false } as const
  t.equal(endingOf(ask, 200, body).outcome, 'whole')
  t.equal(endingOf(ask, 503, Buffer.from('sorry')).outcome, '503')
  const swapped = Buffer.concat([body.subarray(512, 1024), body.subarray(0, 512), body.subarray(1024)])
  for (const other of [contentOf('a2', 3000), body.subarray(0, 2999), Buffer.concat([body, body]), swapped])
    t.equal(endingOf(ask, 200, other).outcome, 'wrong')
  t.notMatch(differenceOf(body, swapped), /\s/, 'one word, for a journal')
})
