/** What each protocol says before TLS, command by command. */
import fc from 'fast-check'
import t from 'tap'
import { encodeBer, encodeBerInteger } from '../../lib/core/index.ts'
import type { Preamble } from '../../lib/datapaths/starttls/contract.ts'
import { preambles } from '../../lib/datapaths/starttls/index.ts'

type Name = keyof typeof preambles
const NAMES = Object.keys(preambles) as Name[]
const of = (name: Name): Preamble => preambles[name]('mail.test')
const answer = (name: Name, command: string | Buffer): [string, string] | null => {
  const input = typeof command === 'string' ? Buffer.from(command, 'latin1') : command
  const step = of(name).step(input)
  return step === null ? null : [step.reply.toString('latin1'), step.next]
}

t.test('what a client hears first', async (t) => {
  t.same(
    NAMES.map((name) => of(name).greeting.toString()),
    [
      '220 mail.test ESMTP\r\n',
      '* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mail.test ready\r\n',
      '+OK mail.test ready\r\n',
      '',
    ],
  )
})

const ROWS: readonly (readonly [name: Name, command: string, reply: RegExp, next: string])[] = [
  ['smtp', 'EHLO client.test', /^250-mail\.test\r\n250 STARTTLS\r\n$/, 'go on'],
  ['smtp', 'ehlo client.test', /^250-/, 'go on'],
  ['smtp', 'HELO client.test', /^250 mail\.test\r\n$/, 'go on'],
  ['smtp', 'EHLO', /^501 /, 'go on'],
  ['smtp', 'STARTTLS', /^220 /, 'tls'],
  ['smtp', 'starttls ', /^220 /, 'tls'],
  ['smtp', 'STARTTLS now', /^501 /, 'go on'],
  ['smtp', 'NOOP', /^250 /, 'go on'],
  ['smtp', 'RSET', /^250 /, 'go on'],
  ['smtp', 'QUIT', /^221 /, 'close'],
  ['smtp', 'MAIL FROM:<a@b>', /^530 5\.7\.0 Must issue a STARTTLS command first\r\n$/, 'go on'],
  ['smtp', 'AUTH PLAIN AGEAYg==', /^530 /, 'go on'],
  ['smtp', 'VRFY a', /^530 /, 'go on'],
  ['smtp', '', /^530 /, 'go on'],
  ['smtp', 'XSTARTTLS', /^530 /, 'go on'],
  ['imap', 'a CAPABILITY', /^\* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK /, 'go on'],
  ['imap', '. capability', /\r\n\. OK /, 'go on'],
  ['imap', 'a1 NOOP', /^a1 OK /, 'go on'],
  ['imap', 'a1 LOGIN joe secret', /^a1 NO \[PRIVACYREQUIRED\] /, 'go on'],
  ['imap', 'a1 LOGIN {3}', /^a1 NO /, 'go on'],
  ['imap', 'a1 LOGIN {3+}', /^a1 BAD /, 'refuse'],
  ['imap', 'a1 AUTHENTICATE PLAIN', /^a1 NO /, 'go on'],
  ['imap', 'a1 SELECT INBOX', /^a1 NO /, 'go on'],
  ['imap', 'a1 STARTTLS', /^a1 OK Begin TLS now\r\n$/, 'tls'],
  ['imap', 'a1 LOGOUT', /^\* BYE .*\r\na1 OK /, 'close'],
  ['imap', 'STARTTLS', /^\* BAD /, 'go on'],
  ['imap', '{ STARTTLS', /^\* BAD /, 'go on'],
  ['imap', '', /^\* BAD /, 'go on'],
  ['pop3', 'CAPA', /^\+OK\r\nSTLS\r\n\.\r\n$/, 'go on'],
  ['pop3', 'stls', /^\+OK /, 'tls'],
  ['pop3', 'STLS x', /^-ERR /, 'go on'],
  ['pop3', 'USER joe', /^-ERR /, 'go on'],
  ['pop3', 'APOP joe 0123', /^-ERR /, 'go on'],
  ['pop3', 'QUIT', /^\+OK /, 'close'],
]
for (const [name, command, reply, next] of ROWS)
  t.test(`${name}: ${JSON.stringify(command)}`, async (t) => {
    const said = answer(name, `${command}\r\n`)
    t.match(said?.[0], reply)
    t.equal(said?.[1], next)
    t.same(answer(name, `${command}\n`), said, 'with a bare line feed')
    t.equal(answer(name, command), null, 'not before its line is whole')
    t.equal(of(name).step(Buffer.from(`${command}\r\nmore`))?.used, command.length + 2)
  })

const message = (tag: number, ...parts: readonly (Buffer | string)[]): Buffer =>
  encodeBer(0x30, encodeBerInteger(5), encodeBer(tag, ...parts))
const START = encodeBer(0x80, '1.3.6.1.4.1.1466.20037')
/** The tag and result of what answers message 5. */
const answered = (tag: number, code: number): RegExp =>
  new RegExp(`^0.\\x02\\x01\\x05${String.fromCharCode(tag)}.\\n\\x01${String.fromCharCode(code)}`, 's')

const OPERATIONS: readonly (readonly [title: string, message: Buffer, reply: RegExp, next: string])[] = [
  ['StartTLS', message(0x77, START), answered(0x78, 0), 'tls'],
  ['bind', message(0x60, encodeBerInteger(3), encodeBer(4, 'cn=a'), encodeBer(0x80, 'x')), answered(0x61, 13), 'go on'],
  ['search', message(0x63), answered(0x65, 13), 'go on'],
  ['delete', message(0x4a, 'cn=a'), answered(0x6b, 13), 'go on'],
  ['who am I', message(0x77, encodeBer(0x80, '1.3.6.1.4.1.4203.1.11.3')), answered(0x78, 13), 'go on'],
  ['abandon', message(0x50, '\x01'), /^$/, 'go on'],
  ['unbind', message(0x42), /^$/, 'close'],
  ['an answer', message(0x61), /1\.3\.6\.1\.4\.1\.1466\.20036/, 'refuse'],
  ['no LDAP', Buffer.from('GET / HTTP/1.1\r\n'), /1\.3\.6\.1\.4\.1\.1466\.20036/, 'refuse'],
  ['a message with nothing in it', encodeBer(0x30), /1\.3\.6\.1\.4\.1\.1466\.20036/, 'refuse'],
  ['a length without end', Buffer.from([0x30, 0x80, 2, 1, 1]), /1\.3\.6\.1\.4\.1\.1466\.20036/, 'refuse'],
]
for (const [title, bytes, reply, next] of OPERATIONS)
  t.test(`ldap: ${title}`, async (t) => {
    const said = answer('ldap', bytes)
    t.match(said?.[0], reply)
    t.equal(said?.[1], next)
    if (next === 'refuse') return
    for (let cut = 0; cut < bytes.length; cut++) t.equal(answer('ldap', bytes.subarray(0, cut)), null)
    t.equal(of('ldap').step(Buffer.concat([bytes, Buffer.from('more')]))?.used, bytes.length)
  })

const GREETINGS: readonly (readonly [name: Name, said: string, heard: number | RegExp | null])[] = [
  ['smtp', '220 mail ESMTP\r\n', 16],
  ['smtp', '220-mail\r\n220 ESMTP\r\nmore', 21],
  ['smtp', '220-mail\r\n', null],
  ['smtp', '554 no\r\n', /^SMTP "554 no"$/],
  ['smtp', '220-mail\r\n421 no\r\n', /421/],
  ['imap', '* OK ready\r\n', 12],
  ['imap', '* PREAUTH you are joe\r\n', /PREAUTH/],
  ['imap', '* BYE\r\n', /BYE/],
  ['pop3', '+OK ready <1@a>\r\n', 17],
  ['pop3', '-ERR\r\n', /-ERR/],
  ['pop3', '+OK', null],
]
for (const [name, said, heard] of GREETINGS)
  t.test(`${name}: a backend that says ${JSON.stringify(said)} first`, async (t) => {
    const got = of(name).hello?.hear(Buffer.from(said)) ?? null
    if (heard instanceof RegExp) t.match(got, heard)
    else t.equal(got, heard)
  })

t.test('nothing that anybody says makes them throw, and each step takes at least a byte', async () => {
  for (const name of NAMES)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        const input = Buffer.from(name === 'ldap' ? [0x30, ...bytes] : [...bytes, 10])
        const step = of(name).step(input)
        for (const ask of of(name).asks) ask.hear(input)
        return step === null || (step.used > 0 && step.used <= input.length)
      }),
      { numRuns: 2000 },
    )
})
