/** Errors: a code for machines, a sentence for people, the cause kept. */
import { connect } from 'node:net'
import t from 'tap'
import { BalancerError, codeOf, ERRORS, type ErrorCode, messageOf } from '../../lib/core/index.ts'
import { refusedPort } from '../support/backend.ts'

t.test('an error carries its code, its sentence, who is at fault, and its cause', (t) => {
  const cause = new Error('EADDRINUSE')
  const error = new BalancerError('LISTEN_FAILED', "service shop can't listen on 0.0.0.0:80", { cause })
  t.ok(error instanceof Error)
  t.equal(error.name, 'BalancerError')
  t.equal(error.code, 'LISTEN_FAILED')
  t.equal(error.source, 'us')
  t.equal(error.message, "service shop can't listen on 0.0.0.0:80")
  t.equal(error.cause, cause)
  t.match(error.stack, /errors\.test\.ts/)
  t.equal(new BalancerError('BOARD_FULL', 'full').cause, undefined)
  t.end()
})

t.test('every row says who is at fault, whether another backend may be tried, and a status that HTTP knows', (t) => {
  for (const [code, row] of Object.entries(ERRORS)) {
    t.match(code, /^[A-Z]+(_[A-Z]+)*$/)
    t.ok(['client', 'backend', 'us'].includes(row.source), `${code}: source`)
    t.type(row.retry, 'boolean', `${code}: retry`)
    t.ok(row.status === 0 || ((row.status as number) >= 400 && (row.status as number) <= 599), `${code}: status`)
    t.equal(new BalancerError(code as ErrorCode, '').source, row.source)
  }
  t.end()
})

t.test('the code of a system error is found, and nothing else passes as one', async (t) => {
  const socket = connect(await refusedPort(), '127.0.0.1')
  const error = await new Promise<unknown>((resolve) => socket.once('error', resolve))
  t.equal(codeOf(error), 'ECONNREFUSED')
  t.equal(codeOf(new BalancerError('BOARD_FULL', 'full')), 'BOARD_FULL')
  const strange = [undefined, null, 'ECONNREFUSED', 7, {}, { code: 'EPIPE' }, new Error('EPIPE')]
  for (const thrown of strange) t.equal(codeOf(thrown), '')
  t.equal(codeOf(Object.assign(new Error('x'), { code: 7 })), '')
})

t.test('whatever is thrown has a text', (t) => {
  t.equal(messageOf(new Error('broken')), 'broken')
  t.equal(messageOf(new TypeError('')), '')
  for (const thrown of ['text', 7, null, undefined, true]) t.equal(messageOf(thrown), String(thrown))
  t.end()
})
