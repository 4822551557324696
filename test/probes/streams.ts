/** Backends of each protocol that is spoken over TCP, as scripts: what they say first, and after each thing they are told. */
import { TLSSocket } from 'node:tls'
import type { Behaviour } from './support.ts'

type Bytes = string | Buffer

export interface StreamSubject {
  readonly title: string
  readonly type: string
  readonly options: Record<string, unknown>
  /** What a backend says before it is asked; none: it waits. */
  readonly greeting?: Bytes
  readonly replies: readonly Bytes[]
  /** First words of backends that are not well, and what they mean. */
  readonly ill: readonly (readonly [title: string, says: Bytes, verdict: 'status' | 'protocol' | 'body'])[]
  /** First words that promise or hold more than a probe reads. */
  readonly huge: Bytes
  /** How TLS may be used. */
  readonly tls?: 'implicit'
}

/** Says each of its lines when its turn comes. */
export const playing =
  ({ greeting, replies }: Pick<StreamSubject, 'greeting' | 'replies'>): Behaviour =>
  (stream) => {
    let n = 0
    // What is written before a handshake that fails would keep the socket from closing.
    if (greeting !== undefined && stream instanceof TLSSocket) stream.once('secure', () => stream.write(greeting))
    else if (greeting !== undefined) stream.write(greeting)
    stream.on('data', () => {
      const reply = replies[n++]
      if (reply !== undefined) stream.write(reply)
    })
  }

const LONG = 'x'.repeat(20 * 1024)
const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
/** A message of PostgreSQL. */
const pg = (type: string, body: Buffer | string): Buffer => {
  const data = Buffer.from(body)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeUInt32BE(data.length + 4, 1)
  return Buffer.concat([head, data])
}
export const pgError = (state: string, text: string): Buffer => pg('E', `SFATAL\0C${state}\0M${text}\0\0`)
const PG_OK = Buffer.concat([pg('R', bytes('00000000')), pg('S', 'server_version\x0015\0'), pg('Z', 'I')])
/** A packet of MySQL. */
const my = (sequence: number, body: Buffer | string): Buffer => {
  const data = Buffer.from(body as string, 'latin1')
  return Buffer.concat([Buffer.of(data.length & 255, data.length >> 8, 0, sequence), data])
}
export const MYSQL_GREETING = my(
  0,
  Buffer.concat([
    Buffer.from('\x0a8.4.0-fake\0'),
    bytes('01000000 4142434445464748 00 ffff 2d 0200 ffdf 15'),
    Buffer.alloc(10),
    Buffer.from('123456789012\0caching_sha2_password\0'),
  ]),
)
export const myError = (sequence: number, code: number, text: string): Buffer =>
  my(sequence, Buffer.concat([Buffer.of(0xff, code & 255, code >> 8), Buffer.from(text)]))
const MYSQL_OK = my(2, bytes('00 00 00 0200 0000'))
export const LDAP_ENTRY = bytes('30 09 020101 6404 0400 3000')
const LDAP_DONE = bytes('30 0c 020101 6507 0a0100 0400 0400')
/** Result `code` of the operation with this tag and number. */
export const ldapResult = (id: number, tag: number, code: number): Buffer =>
  Buffer.from([0x30, 12, 2, 1, id, tag, 7, 10, 1, code, 4, 0, 4, 0])

/** A frame of HTTP/2. */
const h2 = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
/** A field that HPACK does not abbreviate. */
const field = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(value.length), Buffer.from(value)])
const H2_GREETING = Buffer.concat([h2(4, 0, 0, Buffer.alloc(0)), h2(4, 1, 0, Buffer.alloc(0))])
const GRPC_HEAD = Buffer.concat([Buffer.of(0x88), field('content-type', 'application/grpc')])
/** An answer of grpc.health.v1.Health: a message, and behind it the status of the call. */
const grpcAnswer = (message: string, code = '0'): Buffer =>
  Buffer.concat([
    H2_GREETING,
    h2(1, 4, 1, GRPC_HEAD),
    h2(0, 0, 1, bytes(message)),
    h2(1, 5, 1, field('grpc-status', code)),
  ])

export const STREAMS: readonly StreamSubject[] = [
  {
    title: 'tcp with send and expect',
    type: 'tcp',
    options: { tcp: { send: 'PING\r\n', expect: 'PONG' } },
    replies: ['+PONG\r\n'],
    ill: [],
    huge: LONG,
    tls: 'implicit',
  },
  {
    title: 'tls with bytes to send and expect',
    type: 'tcp',
    options: { tcp: { send: { hex: '00 ff' }, expect: { hex: 'fe 00' } } },
    replies: [bytes('01 fe 00')],
    ill: [],
    huge: LONG,
    tls: 'implicit',
  },
  {
    title: 'grpc',
    type: 'grpc',
    options: {},
    replies: [grpcAnswer('00 00000002 0801')],
    ill: [
      ['is not serving', grpcAnswer('00 00000002 0802'), 'status'],
      ['has an empty answer', grpcAnswer('00 00000000'), 'status'],
      ['says UNAVAILABLE', grpcAnswer('', '14'), 'status'],
      [
        'has no such service',
        Buffer.concat([H2_GREETING, h2(1, 5, 1, Buffer.concat([GRPC_HEAD, field('grpc-status', '5')]))]),
        'status',
      ],
      ['answers 404', Buffer.concat([H2_GREETING, h2(1, 5, 1, Buffer.of(0x8d))]), 'status'],
      ['resets the call', Buffer.concat([H2_GREETING, h2(3, 0, 1, bytes('00000002'))]), 'status'],
      ['answers without a status', Buffer.concat([H2_GREETING, h2(1, 5, 1, GRPC_HEAD)]), 'protocol'],
      ['has another message', grpcAnswer('00 00000003 0a0141'), 'protocol'],
      ['has half a message', grpcAnswer('00 00000009 0801'), 'protocol'],
      ['speaks HTTP/1.1', 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n', 'protocol'],
    ],
    huge: Buffer.concat([
      H2_GREETING,
      h2(1, 4, 1, GRPC_HEAD),
      h2(0, 0, 1, Buffer.alloc(16_000)),
      h2(0, 0, 1, Buffer.alloc(16_000)),
    ]),
  },
  {
    title: 'dns over tcp',
    type: 'dns',
    options: { dns: { name: 'a.example', transport: 'tcp' } },
    replies: [bytes('0020 0000000000000000')],
    ill: [['answers something else', bytes('0004 00000000'), 'protocol']],
    huge: bytes('ffff'),
  },
  {
    title: 'smtp',
    type: 'smtp',
    options: {},
    greeting: '220-mail.example\r\n220 ESMTP\r\n',
    replies: ['250-mail.example\r\n250 SIZE 1000\r\n', '221 bye\r\n'],
    ill: [
      ['has no room', '421 too many connections\r\n', 'status'],
      ['takes no mail', '554 no SMTP service here\r\n', 'status'],
      ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n', 'protocol'],
      ['speaks SSH', 'SSH-2.0-OpenSSH_9.9\r\n', 'protocol'],
    ],
    huge: `220-${LONG}`,
    tls: 'implicit',
  },
  {
    title: 'imap',
    type: 'imap',
    options: {},
    greeting: '* OK [CAPABILITY IMAP4rev1] ready\r\n',
    replies: ['* BYE\r\nk3 OK\r\n'],
    ill: [
      ['says BYE', '* BYE overloaded\r\n', 'status'],
      ['speaks POP3', '+OK ready\r\n', 'protocol'],
    ],
    huge: `* OK ${LONG}`,
    tls: 'implicit',
  },
  {
    title: 'pop3',
    type: 'pop3',
    options: {},
    greeting: '+OK ready <1@mail.example>\r\n',
    replies: ['+OK bye\r\n'],
    ill: [
      ['says -ERR', '-ERR try later\r\n', 'status'],
      ['speaks IMAP', '* OK ready\r\n', 'protocol'],
    ],
    huge: `+OK ${LONG}`,
    tls: 'implicit',
  },
  {
    title: 'ldap',
    type: 'ldap',
    options: {},
    replies: [Buffer.concat([LDAP_ENTRY, LDAP_DONE])],
    ill: [
      ['finds nothing', LDAP_DONE, 'body'],
      ['is busy', ldapResult(1, 0x65, 51), 'status'],
      ['announces its end', ldapResult(0, 0x78, 52), 'status'],
      ['answers another question', ldapResult(9, 0x65, 0), 'protocol'],
      ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n', 'protocol'],
      ['has an element behind the end', bytes('30 05 020101 6509'), 'protocol'],
    ],
    huge: bytes('3084 00100000'),
    tls: 'implicit',
  },
  {
    title: 'ldap with a bind',
    type: 'ldap',
    options: { ldap: { bindDn: 'cn=probe', password: 'hunter2' } },
    replies: [
      ldapResult(1, 0x61, 0),
      Buffer.concat([LDAP_ENTRY, LDAP_DONE]).map((byte, i) => (i === 4 || i === 15 ? 2 : byte)),
    ].map((reply) => Buffer.from(reply)),
    ill: [['refuses the password', ldapResult(1, 0x61, 49), 'status']],
    huge: bytes('3084 00100000'),
  },
  {
    title: 'redis',
    type: 'redis',
    options: {},
    replies: ['+PONG\r\n'],
    ill: [
      ['is loading', '-LOADING Redis is loading the dataset in memory\r\n', 'status'],
      ['wants a password', '-NOAUTH Authentication required.\r\n', 'status'],
      ['says something else', '+HELLO\r\n', 'protocol'],
      ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n', 'protocol'],
    ],
    huge: '$99999\r\n',
    tls: 'implicit',
  },
  {
    title: 'redis with a role',
    type: 'redis',
    options: { redis: { user: 'probe', password: 'hunter2', role: 'replica' } },
    replies: ['+OK\r\n', '+PONG\r\n', '$36\r\nrole:slave\r\nmaster_link_status:up\r\n\r\n\r\n'],
    ill: [['echoes what it was told', '-ERR unknown command AUTH probe hunter2\r\n', 'status']],
    huge: '$99999\r\n',
  },
  {
    title: 'postgres',
    type: 'postgres',
    options: {},
    replies: [pg('R', bytes('00000005 01020304'))],
    ill: [
      ['starts up', pgError('57P03', 'the database system is starting up'), 'status'],
      ['has no room', pgError('53300', 'sorry, too many clients already'), 'status'],
      ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n', 'protocol'],
    ],
    huge: bytes('52 00100000'),
  },
  {
    title: 'postgres with a user',
    type: 'postgres',
    options: { postgres: { user: 'probe', password: 'hunter2', role: 'primary' } },
    replies: [
      pg('R', bytes('00000005 01020304')),
      PG_OK,
      Buffer.concat([pg('T', bytes('0000')), pg('D', bytes('0001 00000001 66')), pg('C', 'SELECT 1\0'), pg('Z', 'I')]),
    ],
    ill: [
      ['refuses the user', pgError('28P01', 'password authentication failed, it was hunter2'), 'status'],
      ['wants the password in clear text', pg('R', bytes('00000003')), 'protocol'],
      ['wants what probes do not have', pg('R', bytes('00000007')), 'protocol'],
      ['sends a message of no length', bytes('52 00000000'), 'protocol'],
    ],
    huge: bytes('52 00100000'),
  },
  {
    title: 'mysql',
    type: 'mysql',
    options: {},
    greeting: MYSQL_GREETING,
    replies: [myError(2, 1045, "#28000Access denied for user 'evenkeel'")],
    ill: [
      ['has no room', myError(0, 1040, 'Too many connections'), 'status'],
      ['has blocked us', myError(0, 1129, 'Host is blocked'), 'status'],
      ['speaks version 9', my(0, '\x095.0\0xxxx'), 'protocol'],
      ['ends within its greeting', my(0, '\x0a8.4.0\0xxxx'), 'protocol'],
      ['speaks SSH', 'SSH-2.0-OpenSSH_9.9\r\n', 'protocol'],
      ['says nothing in a packet', bytes('00000000'), 'protocol'],
    ],
    huge: bytes('ffffff00'),
  },
  {
    title: 'mysql with a user',
    type: 'mysql',
    options: { mysql: { user: 'probe', password: 'hunter2' } },
    greeting: MYSQL_GREETING,
    replies: [Buffer.concat([my(2, bytes('01 03')), MYSQL_OK])],
    ill: [],
    huge: bytes('ffffff00'),
  },
]
