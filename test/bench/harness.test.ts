/** The parts of the bench between the balancers and the figures. */
import t from 'tap'
import { ADDED_FIELDS } from '../../bench/backends.ts'
import { assertFileLimit } from '../../bench/memory.ts'
import { parseStarted } from '../../bench/peers/evenkeel.ts'
import { findProgram } from '../../bench/peers/installed.ts'
import { missingFields } from '../../bench/preflight.ts'
import { duration, Progress } from '../../bench/progress.ts'

t.test("the line that evenkeel starts with tells its services' addresses", async (t) => {
  const line = JSON.stringify({
    event: 'started',
    admin: '127.0.0.1:1',
    listeners: { web: ['127.0.0.1:2'], secure: ['127.0.0.1:4'], relay: ['127.0.0.1:3'] },
  })
  t.strictSame(parseStarted(line), { http: '127.0.0.1:2', https: '127.0.0.1:4', tcp: '127.0.0.1:3' })
  t.throws(() => parseStarted('{"event":"started","listeners":{"web":[]}}'), /does not tell its listeners/)
  t.throws(() => parseStarted('listening'), SyntaxError)
})

t.test('a balancer that adds fewer fields than the others is found out', async (t) => {
  const echo = ADDED_FIELDS.map((field) => `${field}: value\n`).join('')
  t.strictSame(missingFields(echo), [])
  t.strictSame(missingFields(echo.replace('Via: value', 'Via: ')), ['Via'])
  t.strictSame(missingFields(''), [...ADDED_FIELDS])
})

t.test('a program that is not installed is told apart from one that is', async (t) => {
  t.match(findProgram(process.execPath, ['--version'], /v(\d+)/), { version: /^\d+$/ })
  t.match(findProgram('no-such-balancer', ['-v'], /./), { missing: 'no-such-balancer is not installed' })
})

t.test('more connections than files may be open are refused', async (t) => {
  const limits = 'Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096    files\n'
  t.doesNotThrow(() => assertFileLimit(2000, limits))
  t.throws(() => assertFileLimit(5000, limits), /5000 connections need ulimit -n of 7000; it is 4096/)
  t.doesNotThrow(() => assertFileLimit(5000, limits.replace('4096', 'unlimited')))
})

t.test('progress tells the time left, and none after the last step', async (t) => {
  const lines: string[] = []
  const progress = new Progress(2, (line) => lines.push(line))
  progress.step('one')
  progress.step('two')
  t.match(lines[0], /^one {2}\(\d+ s left\)$/)
  t.equal(lines[1], 'two')
})

t.test('durations read as people say them', async (t) => {
  t.strictSame([0.4, 45, 59.6, 200].map(duration), ['0 s', '45 s', '1 min 0 s', '3 min 20 s'])
})
