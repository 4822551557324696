/** Probes against real mail servers: Postfix and Dovecot. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { needsDovecot, needsPostfix, startDovecot, startPostfix } from './mail-servers.ts'
import { at } from './servers.ts'
import { probeOf, verdictOf } from './support.ts'

const ask = (t: Parameters<typeof verdictOf>[0], port: number, options: Record<string, unknown>): Promise<string> =>
  verdictOf(t, probeOf(options), at(port), AbortSignal.timeout(3000))

t.test('Postfix', { skip: needsPostfix() }, async (t) => {
  const { port, ca, server, log } = await startPostfix(t)
  t.equal(await ask(t, port, { type: 'smtp' }), 'pass', server.log())
  t.equal(await ask(t, port, { type: 'smtp', smtp: { helo: 'probe.example' } }), 'pass')
  t.equal(await ask(t, port, { type: 'smtp', tls: { mode: 'starttls', ca } }), 'pass')
  t.equal(await ask(t, port, { type: 'smtp', tls: { mode: 'starttls' } }), 'tls')
  t.equal(await ask(t, port, { type: 'smtp', tls: { mode: 'implicit', ca } }), 'tls')
  const left = (how: RegExp): number => readFileSync(log, 'utf8').match(how)?.length ?? 0
  await eventually('those that pass take their leave', () => left(/ ehlo=1 quit=1 /g) === 2)
  await eventually('over TLS too', () => left(/ ehlo=2 starttls=1 quit=1 /g) === 1)
})

t.test('Dovecot', { skip: needsDovecot() }, async (t) => {
  const { imap, imaps, pop3, pop3s, ca } = await startDovecot(t)
  for (const [type, plain, secure] of [
    ['imap', imap, imaps],
    ['pop3', pop3, pop3s],
  ] as const) {
    t.equal(await ask(t, plain, { type }), 'pass')
    t.equal(await ask(t, plain, { type, tls: { mode: 'starttls', ca } }), 'pass')
    t.equal(await ask(t, plain, { type, tls: { mode: 'starttls' } }), 'tls')
    t.equal(await ask(t, secure, { type, tls: { mode: 'implicit', ca } }), 'pass')
    t.equal(await ask(t, secure, { type, tls: { mode: 'implicit' } }), 'tls')
  }
  t.equal(await ask(t, imap, { type: 'pop3' }), 'protocol')
  t.equal(await ask(t, pop3, { type: 'imap' }), 'protocol')
})
