/** STARTTLS of every protocol that has it: offered, not offered, injected into, and with certificates that don't fit. */
import { readFileSync } from 'node:fs'
import { createSecureContext, TLSSocket } from 'node:tls'
import t from 'tap'
import { LDAP_ENTRY, ldapResult, MYSQL_GREETING, myError } from './streams.ts'
import { type Behaviour, certificateIn, probeOf, startBackend, verdictOf } from './support.ts'

type Bytes = string | Buffer

interface Subject {
  readonly type: string
  readonly greeting?: Bytes
  /** Said in clear text, each when something came; the handshake follows the last. */
  readonly clear: readonly Bytes[]
  /** Said over TLS, likewise. */
  readonly secured: readonly Bytes[]
  /** First words of a backend that does not offer it. */
  readonly without: readonly Bytes[]
  readonly verdict: 'tls' | 'status'
}

const found = Buffer.concat([LDAP_ENTRY, ldapResult(1, 0x65, 0)]).map((byte, i) => (i === 4 || i === 15 ? 2 : byte))
/** The capability flag of TLS is in the higher half of the first two bytes behind the salt. */
const mysqlWithout = Buffer.from(MYSQL_GREETING)
const flags = MYSQL_GREETING.indexOf('ABCDEFGH') + 9
mysqlWithout.writeUInt16LE(mysqlWithout.readUInt16LE(flags) & ~0x800, flags)

const SUBJECTS: readonly Subject[] = [
  {
    type: 'smtp',
    greeting: '220 mail.example\r\n',
    clear: ['250-mail.example\r\n250 STARTTLS\r\n', '220 go ahead\r\n'],
    secured: ['250 mail.example\r\n', '221 bye\r\n'],
    without: ['250 mail.example\r\n'],
    verdict: 'tls',
  },
  {
    type: 'imap',
    greeting: '* OK ready\r\n',
    clear: ['k1 OK begin TLS\r\n'],
    secured: ['* 1 EXISTS\r\nk2 OK\r\n', '* BYE\r\nk3 OK\r\n'],
    without: ['k1 BAD unknown command\r\n'],
    verdict: 'status',
  },
  {
    type: 'pop3',
    greeting: '+OK ready\r\n',
    clear: ['+OK begin TLS\r\n'],
    secured: ['+OK bye\r\n'],
    without: ['-ERR unknown command\r\n'],
    verdict: 'status',
  },
  {
    type: 'ldap',
    clear: [ldapResult(1, 0x78, 0)],
    secured: [Buffer.from(found)],
    without: [ldapResult(1, 0x78, 2)],
    verdict: 'status',
  },
  {
    type: 'postgres',
    clear: ['S'],
    secured: [Buffer.from('5200000008 00000000'.replace(' ', ''), 'hex')],
    without: ['N'],
    verdict: 'tls',
  },
  {
    type: 'mysql',
    greeting: MYSQL_GREETING,
    clear: [''],
    secured: [myError(3, 1045, '#28000Access denied')],
    without: [],
    verdict: 'tls',
  },
]

const MYSQL_TLS_REQUEST = 36 // bytes

const certificate = await certificateIn(t.testdir({}))
const other = await certificateIn(`${t.testdirName}/other`)
const secureContext = createSecureContext({ cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) })
const never = new AbortController().signal

/** @param injected said in clear text behind the last words before the handshake */
const upgrading =
  ({ type, greeting, clear, secured }: Subject, injected = ''): Behaviour =>
  (_stream, raw) => {
    let n = 0
    const onClear = (chunk: Buffer): void => {
      const last = n === clear.length - 1
      const words = clear[n++] ?? ''
      if (!last) {
        raw.write(words)
        return
      }
      raw.off('data', onClear)
      raw.pause()
      // A client that waits for no answer sends its first words of TLS along.
      if (type === 'mysql') raw.unshift(chunk.subarray(MYSQL_TLS_REQUEST))
      if (words.length > 0 || injected !== '')
        raw.write(Buffer.concat([Buffer.from(words as string), Buffer.from(injected)]))
      const tls = new TLSSocket(raw, { isServer: true, secureContext })
      let m = 0
      tls.on('error', () => {})
      tls.on('data', () => tls.write(secured[m++] ?? ''))
    }
    if (greeting !== undefined) raw.write(greeting)
    raw.on('data', onClear)
  }

for (const subject of SUBJECTS)
  t.test(`the ${subject.type} probe with tls.mode starttls`, async (t) => {
    const probe = (tls: object) =>
      probeOf({ type: subject.type, tls: { mode: 'starttls', ca: certificate.ca, ...tls } })
    const rows: [title: string, behaviour: Behaviour, tls: object, verdict: string][] = [
      ['is trusted', upgrading(subject), {}, 'pass'],
      ['is signed by another authority', upgrading(subject), { ca: other.ca }, 'tls'],
      ['is for another name', upgrading(subject), { serverName: 'other.example' }, 'tls'],
      [
        'is for another name, which is not looked at',
        upgrading(subject),
        { serverName: 'o', insecureSkipVerify: true },
        'pass',
      ],
    ]
    for (const [title, behaviour, tls, verdict] of rows)
      t.test(`a certificate that ${title}: ${verdict}`, async (t) => {
        const backend = await startBackend(t, behaviour)
        t.equal(await verdictOf(t, probe(tls), backend.address, never), verdict)
        await backend.idle()
      })

    t.test(`a backend that does not offer it: ${subject.verdict}, and nothing goes on in clear text`, async (t) => {
      const heard: Buffer[] = []
      const { without, type } = subject
      const greeting = type === 'mysql' ? mysqlWithout : subject.greeting
      const backend = await startBackend(t, (stream) => {
        let n = 0
        if (greeting !== undefined) stream.write(greeting)
        stream.on('data', (chunk: Buffer) => {
          heard.push(chunk)
          stream.write(without[n++] ?? '')
        })
      })
      t.equal(await verdictOf(t, probe({}), backend.address, never), subject.verdict)
      await backend.idle()
      t.equal(heard.length, without.length)
    })

    t.test('words in clear text before the handshake do not count as said over TLS: protocol', async (t) => {
      const backend = await startBackend(t, upgrading(subject, '220 injected\r\n'))
      t.match(await verdictOf(t, probe({}), backend.address, never), /^(?:protocol|tls)$/)
      await backend.idle()
    })
  })
