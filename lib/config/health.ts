/** The options of probes: the declaration, as in schema.ts. What a type needs and what it can't use is in probe-checks.ts. */
import { z } from 'zod'
import { peerShape } from './backend-tls.ts'
import { parseLdapFilter } from './ldap-filter.ts'
import { checkPattern } from './patterns.ts'
import { duration, percentage, statusList } from './scalars.ts'

const MAX_BYTES = 1024 // of what is sent or looked for: a probe is a short question
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/ // RFC 9110 §5.6.2
/** Fields that frame a probe's request or decide its connection. */
const PROBE_OWN_FIELDS = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

export const PROBE_TYPES = [
  'none',
  'tcp',
  'http',
  'https',
  'tls',
  'grpc',
  'udp',
  'dns',
  'smtp',
  'imap',
  'pop3',
  'ldap',
  'radius',
  'redis',
  'postgres',
  'mysql',
  'exec',
] as const

export const DNS_TYPES = ['A', 'AAAA', 'CNAME', 'MX', 'NS', 'PTR', 'SOA', 'SRV', 'TXT'] as const
export const DNS_CODES = ['NOERROR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const

const probeField = () =>
  z
    .string()
    .regex(TOKEN, 'is not a valid header name')
    .max(64)
    .refine((name) => !/^host$/i.test(name), 'is set by health.host')
    .refine((name) => !PROBE_OWN_FIELDS.has(name.toLowerCase()), 'is a field that probes set themselves')

const fieldValue = () =>
  z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'a header value has no line breaks or control characters')

/** A word on a line of a protocol: no control characters, which would begin another line. */
const word = (max = 255) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\x00-\x1f\x7f]+$/, 'has control characters')

const octets = (what: string) =>
  z.union(
    [
      z.string().min(1).max(MAX_BYTES),
      z.strictObject({
        hex: z
          .string()
          .regex(/^(?:[0-9a-fA-F]{2} ?)+$/, 'is not hexadecimal; write two digits a byte, such as "00 ff"')
          .max(MAX_BYTES * 3)
          .describe('The bytes, two digits each.'),
      }),
    ],
    { error: `expected ${what} as text or { hex: "00 ff" }` },
  )

const pattern = () =>
  z
    .string()
    .superRefine((text, context) => {
      const found = checkPattern(text, 'text')
      if (typeof found === 'string') context.addIssue({ code: 'custom', message: found })
    })
    .meta({ kind: 'regular expression', samples: ['^.*"status": *"up"'] })

const tls = z.strictObject({
  mode: z
    .enum(['off', 'implicit', 'starttls'])
    .default('off')
    .describe(
      'TLS of probes that can do without. `implicit`: from the first byte on. `starttls`: asked for as the protocol has it ' +
        '(smtp, imap, pop3, ldap, postgres, mysql). `https` and `tls` always use it.',
    ),
  ...peerShape,
  serverName: z
    .string()
    .min(1)
    .max(253)
    .optional()
    .describe("Name sent as SNI and checked. Default: `host` with https, else the backend's address is checked."),
})

const dnsName = () =>
  z
    .string()
    .max(253)
    .regex(
      /^(?:\.|(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})\.)*[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\.?)$/,
      'is not a domain name',
    )

const dns = z.strictObject({
  name: dnsName().optional().describe('The name that is asked for; needed.'),
  type: z.enum(DNS_TYPES).default('A').describe('The type of its records.'),
  codes: z
    .array(z.enum(DNS_CODES))
    .min(1)
    .max(DNS_CODES.length)
    .default(['NOERROR'])
    .describe('Answers that pass; NOERROR with at least one record of that type only.'),
  expect: word().optional().describe('What one of the records must be: an address, a name, or a text.'),
  transport: z.enum(['udp', 'tcp']).default('udp').describe('How it is asked.'),
})

const ldap = z.strictObject({
  bindDn: word(512).optional().describe('Who signs in first, by a simple bind. Default: nobody does.'),
  password: z.string().min(1).max(255).optional().describe('The password of `bindDn`.'),
  baseDn: z.string().max(512).default('').describe('Where is searched. Default: the root DSE.'),
  scope: z.enum(['base', 'one', 'sub']).default('base').describe('How deep.'),
  filter: z
    .string()
    .max(1024)
    .default('(objectClass=*)')
    .superRefine((text, context) => {
      const found = parseLdapFilter(text)
      if (typeof found === 'string') context.addIssue({ code: 'custom', message: found })
    })
    .describe('What one entry at least must match (RFC 4515).'),
})

const radius = z.strictObject({
  secret: z.string().min(1).max(255).optional().describe('Shared with the server; needed.'),
  user: word().optional().describe('Ask for access of this user. Default: ask for the status (RFC 5997).'),
  password: z.string().min(1).max(128).optional().describe('The password of `user`.'),
  reject: z
    .enum(['fail', 'pass'])
    .default('fail')
    .describe('What it means that `user` is rejected: a server that rejects does answer.'),
  requireMessageAuthenticator: z
    .boolean()
    .default(true)
    .describe(
      'An answer without Message-Authenticator fails, as it can be forged (CVE-2024-3596). Servers of before 2024 send none.',
    ),
})

const role = (roles: readonly [string, string]) =>
  z
    .enum(['any', 'primary', 'replica'])
    .default('any')
    .describe(`Only this part passes: ${roles.join(', ')}.`)

const redis = z.strictObject({
  user: word().optional().describe('Signs in under this name (ACL of Redis 6).'),
  password: z.string().min(1).max(512).optional().describe('Signs in with it.'),
  role: role(['`primary`, which Redis calls master', '`replica`, with its link to the primary up']),
})

const postgres = z.strictObject({
  user: word(63).optional().describe('Signs in under this name. Default: nobody does; a server that would ask passes.'),
  password: z.string().min(1).max(255).optional().describe('The password of `user`.'),
  database: word(63).optional().describe('Default: the name of the user.'),
  role: role(['`primary` takes writes', '`replica` is in recovery']),
})

const mysql = z.strictObject({
  user: word(80).optional().describe('Signs in under this name. Default: a server that refuses access passes.'),
  password: z.string().min(1).max(255).optional().describe('The password of `user`.'),
})

export const health = z.strictObject({
  type: z
    .enum(PROBE_TYPES)
    .default('tcp')
    .describe('What is asked of a backend; see docs/probes.md. `none`: it counts as passing always.'),
  port: z.int().min(1).max(65_535).optional().describe("Port to probe. Default: the backend's own."),
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, 'a path starts with / and has no spaces')
    .default('/')
    .describe('Path of an http probe.'),
  method: z.enum(['GET', 'HEAD', 'OPTIONS', 'POST']).default('GET').describe('Method of an http probe.'),
  host: z.string().min(1).max(255).optional().describe("Host field of an http probe. Default: the backend's address."),
  headers: z.record(probeField(), fieldValue()).default({}).describe('More fields of an http probe.'),
  expect: statusList().prefault('200-399').describe('Status codes of an http probe that pass.'),
  body: z
    .union(
      [
        z.string().min(1).max(MAX_BYTES),
        z.strictObject({
          pattern: pattern().describe('Tried from the start of the text, in linear time; `.` is any character.'),
        }),
      ],
      { error: 'expected a text or { pattern: regular expression }' },
    )
    .optional()
    .describe('What the first 64 KiB of the answer to an http probe must contain: a text, or a regular expression.'),
  disableOn404: z
    .boolean()
    .default(false)
    .describe('The answer 404 to an http probe drains: no new flows, while bound clients stay.'),
  tcp: z
    .strictObject({
      send: octets('what is sent').optional().describe('What is sent, as text or bytes.'),
      expect: octets('what must come').optional().describe('What the first 16 KiB that come must contain.'),
    })
    .prefault({})
    .describe('For `type: tcp` and `type: tls`: more than a connection.'),
  udp: z
    .strictObject({
      send: octets('what is sent').optional().describe('The datagram, as text or bytes; needed.'),
      expect: octets('what must come').optional().describe('What the answer must contain. Default: any answer passes.'),
      quiet: duration({ min: '10ms' })
        .optional()
        .describe('Pass when nothing came for this long, no refusal either. Default: an answer is needed.'),
    })
    .prefault({})
    .describe('For `type: udp`.'),
  grpc: z
    .strictObject({
      service: z
        .string()
        .max(255)
        .regex(/^[\x21-\x7e]*$/, 'has spaces or control characters')
        .default('')
        .describe('The service that must be serving, such as `shop.v1.Orders`. Default: the server as a whole.'),
    })
    .prefault({})
    .describe('For `type: grpc`, which asks `grpc.health.v1.Health`.'),
  dns: dns.prefault({}).describe('For `type: dns`.'),
  smtp: z
    .strictObject({
      helo: word().optional().describe('The name given with EHLO. Default: our address.'),
    })
    .prefault({})
    .describe('For `type: smtp`.'),
  ldap: ldap.prefault({}).describe('For `type: ldap`.'),
  radius: radius.prefault({}).describe('For `type: radius`.'),
  redis: redis.prefault({}).describe('For `type: redis`.'),
  postgres: postgres.prefault({}).describe('For `type: postgres`.'),
  mysql: mysql.prefault({}).describe('For `type: mysql`.'),
  exec: z
    .strictObject({
      command: z
        .array(
          z
            .string()
            .max(4096)
            .regex(/^[^\0]*$/, 'has a NUL'),
        )
        .min(1, 'the program is needed')
        .max(64)
        .refine(([program = '/']) => program.includes('/'), 'the program is a path with a /; it is not looked up')
        .optional()
        .describe('The program, relative to the folder of the configuration, and its arguments; no shell. Needed.'),
    })
    .prefault({})
    .describe('For `type: exec`.'),
  tls: tls.prefault({}).describe('How probes use TLS.'),
  interval: duration({ min: '50ms' }).prefault('2s').describe('Time between two probes while up.'),
  fastInterval: duration({ min: '50ms' })
    .prefault('1s')
    .describe('The same while in transition (some results seen, not yet enough).'),
  downInterval: duration({ min: '50ms' }).prefault('5s').describe('The same while down.'),
  timeout: duration({ min: '10ms' }).prefault('1s').describe('Time for one probe, connect included.'),
  rise: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .describe('Passes in a row until a failing backend counts as passing. The very first result counts at once.'),
  fall: z.int().min(1).max(100).default(3).describe('Failures in a row until a passing backend counts as failing.'),
  jitter: percentage().prefault('5%').describe('Random part of each interval, so that probes do not bunch.'),
  startGrace: duration().prefault('2s').describe('How long new flows wait for the first result of any backend.'),
})
