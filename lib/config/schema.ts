/**
 * The one declaration of every option: type, bounds, default, help text. JSON Schema and documentation come from it.
 * What joins several options is in checks.ts.
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { acme } from './acme.ts'
import { affinity, bindings } from './affinity.ts'
import { backendTls } from './backend-tls.ts'
import { hash, load } from './balancing.ts'
import { compression } from './compression.ts'
import { filtersShape, pathsShape, poolsShape, routesShape, sorryShape } from './filters.ts'
import { health } from './health.ts'
import { backendHttp2, http2 } from './http2.ts'
import { limits, overload } from './limits.ts'
import { backendAddress, cidr, duration, listenAddress, percentage, size } from './scalars.ts'
import { tickets, tls } from './tls.ts'

/** A key that is part of the contract and refused until its feature is built. */
const later = (what: string) =>
  z
    .unknown()
    .refine((value) => value === undefined, { message: `${what} is not available yet` })
    .optional()
    .meta({ description: `${what}. Not available yet: refused when set.`, deprecated: true })

/** A closed list of words of which some are refused until they are built. */
const words = <const All extends readonly [string, ...string[]]>(all: All, available: readonly All[number][]) =>
  z
    .enum(all)
    .superRefine((value, context) => {
      if (available.includes(value)) return
      context.addIssue({ code: 'custom', message: `${value} is not available yet; available: ${available.join(', ')}` })
    })
    .meta({ unavailable: all.filter((word) => !available.includes(word)) })

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/ // RFC 9110 §5.6.2
const token = (what: string) => z.string().regex(TOKEN, `is not a valid ${what}`).max(64)
const userName = (what: string) => z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/, `is not the name of a ${what}`)
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const name = () =>
  z
    .string()
    .regex(NAME, 'a name has letters, digits, ".", "_" and "-", starts with a letter or digit, and is at most 63 long')

const timeouts = z.strictObject({
  connect: duration({ min: '10ms' }).prefault('2s').describe('To connect to a backend.'),
  handshake: duration({ min: '100ms' })
    .prefault('10s')
    .describe(
      'For the TLS handshake of a client; with `protocol: tcp` and `routes`, for the message in it that says the name.',
    ),
  head: duration({ min: '100ms' })
    .prefault('10s')
    .describe('For the whole head of a request, from its first byte (from the accept for the first). 408.'),
  body: duration({ min: '100ms' })
    .prefault('30s')
    .describe('Between two pieces of a body, from or to either side. 408 or 504.'),
  firstByte: duration({ min: '100ms' })
    .prefault('60s')
    .describe("From the end of the request to the backend's first byte. 504."),
  keepAlive: duration().prefault('60s').describe('Idle client connection between two requests.'),
  backendIdle: duration()
    .prefault('4s')
    .describe(
      'Idle connection to a backend kept for reuse. A second less than `Keep-Alive: timeout` when the backend says less.',
    ),
  idle: duration({ min: '100ms' }).prefault('1h').describe('A TCP or TLS flow without a byte in either direction.'),
  tunnel: duration({ min: '100ms' }).prefault('1h').describe('A WebSocket without a byte in either direction.'),
})

const http = z.strictObject({
  engine: z
    .enum(['native', 'http-proxy'])
    .default('native')
    .describe(
      'Which HTTP engine serves. `native`: our own. `http-proxy`: node:http and the http-proxy package, slower, as a second opinion.',
    ),
  host: z
    .union(
      [
        z.enum(['preserve', 'backend']),
        z.strictObject({
          literal: z
            .string()
            .regex(/^[\x21-\x7e]+$/, 'is not a host')
            .describe('The text to send.'),
        }),
      ],
      { error: 'expected preserve, backend or { literal: name }' },
    )
    .default('preserve')
    .describe(
      'The Host field towards the backend: as the client sent it, the address of the backend, or a fixed text.',
    ),
  via: z
    .union([token('pseudonym'), z.literal(false)], { error: 'expected a name or false' })
    .default('evenkeel')
    .describe('Name in the Via field of requests; `false`: none.'),
  requestId: z
    .union([token('header name'), z.literal(false)], { error: 'expected a header name or false' })
    .default('X-Request-Id')
    .describe("Field with the request's id, towards the backend; `false`: none."),
  forwarded: z.boolean().default(false).describe('Add the Forwarded field (RFC 7239) too.'),
  trustedProxies: z.array(cidr()).max(256).default([]).describe('Peers whose forwarding fields are believed.'),
  paths: pathsShape,
  upgrades: z
    .array(token('protocol'))
    .max(8)
    .default(['websocket'])
    .describe('Protocols that Upgrade may name; `h2c` never.'),
  allowTrace: z.boolean().default(false).describe('Pass TRACE on instead of answering 405.'),
  maxTarget: size({ min: 64, max: 32_768 }).prefault('8KiB').describe('Longest request target. 414.'),
  maxHead: size({ min: 256, max: 65_536 }).prefault('32KiB').describe('All fields of a head together. 431.'),
  maxFields: z.int().min(1).max(1000).default(100).describe('Number of fields in a head. 431.'),
  maxBody: size().optional().describe('Longest request body; more is answered with 413. Default: no limit.'),
  maxIdleBackendConnections: z
    .int()
    .min(0)
    .max(10_000)
    .default(256)
    .describe('Idle connections kept per backend and data thread.'),
  compression,
  http2,
  backendHttp2,
})

const SEND_PROXY = ['off', 'v1', 'v2'] as const

const proxyProtocol = z.strictObject({
  accept: z
    .enum(['off', 'v1', 'v2', 'any'])
    .default('off')
    .describe('Versions of the PROXY protocol that are accepted. The header comes before TLS.'),
  from: z
    .array(cidr())
    .max(256)
    .default([])
    .describe(
      'Load balancers that send the header; needed when it is accepted. Their connections must begin with one, others are ' +
        "closed. Connections from elsewhere are plain ones: no header is looked for, so nobody else can claim a client's address.",
    ),
  timeout: duration({ min: '100ms' }).prefault('3s').describe('Time until the header has come.'),
})

const backendObject = z.strictObject({
  name: name().optional().describe('Stable name. Default: the address.'),
  address: backendAddress().describe('Where it listens.'),
  weight: z.int().min(0).max(256).default(1).describe('Share of new flows; 0: none.'),
  admin: z.enum(['ready', 'drain', 'maintenance']).default('ready').describe('What the operator wants of it.'),
  sendProxy: z.enum(SEND_PROXY).optional().describe("Default: the service's."),
  maxConnections: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe(
      'Requests (`http`, `https`) or connections in progress at once, over all data threads; more go elsewhere or wait in the `queue`. 0: no limit.',
    ),
  backup: z.boolean().default(false).describe('Used only while no other backend takes new flows.'),
})

const backend = z
  .union([backendAddress(), backendObject], { error: 'expected an address or { name, address, weight, … }' })
  .transform((value) => {
    const row =
      'host' in value ? { address: value, weight: 1, admin: 'ready' as const, maxConnections: 0, backup: false } : value
    const { host, port } = row.address
    return {
      name:
        'name' in row && row.name !== undefined
          ? row.name
          : host.includes(':')
            ? `[${host}]:${port}`
            : `${host}:${port}`,
      host,
      port,
      weight: row.weight,
      admin: row.admin,
      maxConnections: row.maxConnections,
      backup: row.backup,
      ...('sendProxy' in row && row.sendProxy !== undefined ? { sendProxy: row.sendProxy } : {}),
    }
  })

const backends = () => z.array(backend).max(4096)

const outliers = z.strictObject({
  consecutive: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe(
      'Failures in a row: connects that fail, connections that break before an answer, answers 502, 503 and 504.',
    ),
  baseTime: duration({ min: '1s' })
    .prefault('30s')
    .describe('How long a backend is ejected: this, times the number of its ejections of late.'),
  maxTime: duration({ min: '1s' })
    .prefault('300s')
    .describe('At most so long. A backend that is well for so long starts anew.'),
  maxEjected: percentage()
    .prefault('50%')
    .describe('At most this share of the backends that would take flows. The last one never is.'),
})

/** What a set of backends has: a service of its own, and each of its `pools`. */
export const poolShape = {
  balance: z
    .enum(['round-robin', 'least-connections', 'least-load', 'least-time', 'random-two', 'hash'])
    .default('round-robin')
    .describe('How a backend is chosen; see [balancing](balancing.md).'),
  hash: hash.prefault({}).describe('For `balance: hash`.'),
  affinity,
  health: health.prefault({}).describe('The probe of the backends.'),
  backendTls,
  backendProtocol: z
    .enum(['http1', 'h2', 'h2c'])
    .default('http1')
    .describe(
      'What backends of `http` and `https` services speak. `http1`: HTTP/1.1. `h2`: HTTP/2 over TLS, by `backendTls`. ' +
        '`h2c`: HTTP/2 in clear text, without upgrade. See [HTTP/2](http2.md).',
    ),
  drain: z
    .strictObject({
      timeout: duration()
        .prefault('300s')
        .describe('How long flows on a draining backend may go on; then they are cut.'),
    })
    .prefault({})
    .describe('What happens to flows on a backend that gets no new ones.'),
  allDown: z
    .enum(['fail', 'panic', 'sorry'])
    .default('fail')
    .describe(
      'When no backend takes new flows. `fail`: 503, or the connection is closed. `panic`: all with `admin: ready` are used, ' +
        'whatever their probes say. `sorry`: as `sorry` says.',
    ),
  sorry: sorryShape,
  load,
  queue: z
    .strictObject({
      max: z
        .int()
        .min(0)
        .max(1_000_000)
        .default(1024)
        .describe('Flows that wait at most; more are refused. 0: none waits.'),
      timeout: duration({ min: '10ms' }).prefault('2s').describe('How long one waits at most.'),
    })
    .prefault({})
    .describe(
      'Flows that wait while every backend has its `maxConnections`, first come, first served. Else 503 and Retry-After.',
    ),
  slowStart: duration()
    .prefault('0s')
    .describe(
      'Time in which the weight of a recovered backend rises from 10 % to all of it. Not at the start. 0: at once.',
    ),
  outliers: outliers
    .optional()
    .describe('Backends on which flows fail one after the other get none for a while. Default: off.'),
}

export const serviceShape = {
  listen: z
    .array(listenAddress())
    .min(1, 'at least one address is needed')
    .max(64)
    .describe('Addresses and ports, or ranges of ports, to accept on.'),
  protocol: words(['tcp', 'tls', 'udp', 'http', 'https'], ['tcp', 'tls', 'http', 'https']).describe(
    'tcp: relayed. tls: terminated, then relayed. http, https: request by request.',
  ),
  tls: tls.optional().describe('Needed for `tls` and `https`.'),
  startTls: z
    .enum(['smtp', 'imap', 'pop3', 'ldap'])
    .optional()
    .describe(
      'With `protocol: tls`: clients ask for TLS in the words of this protocol (STARTTLS). What comes before is answered here, and nothing ' +
        'else is done without TLS. Default: they begin with TLS.',
    ),
  ...poolShape,
  timeouts: timeouts.prefault({}).describe('Limits in time.'),
  limits: limits.prefault({}).describe('What clients may use, each and together.'),
  retries: z
    .int()
    .min(0)
    .max(10)
    .default(2)
    .describe('Further tries of a flow or request on another backend, where a retry is safe.'),
  http: http.prefault({}).describe('Only for `http` and `https`.'),
  backends: backends()
    .default([])
    .describe('Where flows go. With `routes` they get what no route matches; without, they are needed.'),
  proxyProtocol: proxyProtocol.prefault({}).describe('Clients told by a PROXY header of load balancers in front.'),
  sendProxy: z
    .enum(SEND_PROXY)
    .default('off')
    .describe(
      'Connections to backends begin with a PROXY header of this version, which tells them the client; v2 tells the name of ' +
        'its TLS handshake too. An HTTP connection to a backend then carries requests of one client connection only. Probes ' +
        'send no header: give `health.port` where a backend needs one.',
    ),
  routes: routesShape,
  pools: poolsShape({
    ...poolShape,
    backends: backends().min(1, 'at least one backend is needed').describe('Where flows go.'),
  }),
  filters: filtersShape,
  datapath: later('datapath'),
}

export const serviceSchema = z.strictObject(serviceShape)
export const defaultsSchema = z.strictObject(z.object(serviceShape).partial().shape)

const admin = z.strictObject({
  listen: z
    .string()
    .regex(
      /^(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+):\d{1,5}|unix:\/[^\0]{1,100})$/,
      'is not an address and port; write 127.0.0.1:9600 or unix:/run/evenkeel.sock',
    )
    .refine(
      (text) =>
        text.startsWith('unix:') ||
        (isIP(text.slice(0, text.lastIndexOf(':')).replace(/^\[|\]$/g, '')) !== 0 &&
          Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535),
      'is not an address and port; write 127.0.0.1:9600 or unix:/run/evenkeel.sock',
    )
    .default('127.0.0.1:9600')
    .describe(
      'Admin API, /metrics, /livez, /readyz. `unix:PATH` is a socket that only the same user and group may use (0660), without a token.',
    ),
  token: z.string().max(512).default('').describe('Bearer token. Required as soon as the address is not loopback.'),
})

export const configSchema = z.strictObject({
  version: z
    .literal(1, { error: 'must be 1, the version of this file format' })
    .describe('Version of the file format.'),
  include: z
    .union([z.string().min(1), z.array(z.string().min(1)).max(256)], { error: 'expected a glob or a list of globs' })
    .optional()
    .describe('Globs of further files whose virtualServices are added. Relative to the folder of this file.'),
  appliance: z
    .strictObject({
      threads: z
        .union([z.literal('auto'), z.int().min(1).max(32)], { error: 'expected auto or a number from 1 to 32' })
        .default('auto')
        .describe('Data threads. `auto`: one per core.'),
      stateFile: z
        .string()
        .min(1)
        .default('./state/evenkeel.json')
        .describe(
          'What operators did, ejections and the last health are kept here across restarts. Relative to the folder of this file. `off`: nowhere.',
        ),
      drain: z
        .strictObject({
          timeout: duration().prefault('30s').describe('How long SIGTERM lets flows finish before they are cut.'),
        })
        .prefault({})
        .describe('What SIGTERM does to flows.'),
      watch: z
        .boolean()
        .default(false)
        .describe('Reload when this file, or one that it includes, has changed. What is not valid changes nothing.'),
      affinity: bindings,
      tickets,
      user: userName('user')
        .optional()
        .describe(
          'Started as root, the process becomes this user before it listens, and keeps but the right to bind ports below 1024. ' +
            'Files that it reads and writes must be open to that user. Default: it stays who it was.',
        ),
      group: userName('group').optional().describe('With `user`: its group. Default: the main group of the user.'),
      hangTimeout: duration()
        .prefault('2s')
        .describe(
          'A data thread whose event loop stands still for so long is ended and replaced: its connections are lost. 0: never.',
        ),
      threadHeap: z
        .union([z.literal('auto'), size({ min: 64 * 1024 ** 2, max: 64 * 1024 ** 3 })], {
          error: 'expected auto or a size such as 512MiB',
        })
        .default('auto')
        .describe(
          'Memory for the JavaScript heap of each data thread, buffers apart; one that needs more is replaced. `auto`: its ' +
            'share of half the memory, from 256MiB to 4GiB.',
        ),
      acme: acme
        .optional()
        .describe(
          'Certificates are ordered from an authority and renewed at two thirds of their life: those with `acme` in `tls.certificates`.',
        ),
      overload: overload
        .prefault({})
        .describe('When new connections are refused because memory or descriptors run short.'),
    })
    .prefault({})
    .describe('The process as a whole.'),
  admin: admin.prefault({}).describe('The admin listener.'),
  accessLog: z
    .strictObject({
      path: z.string().min(1).default('stdout').describe('A file, or `stdout`. SIGUSR1 opens it again.'),
      format: z.enum(['json', 'common', 'combined', 'off']).default('json').describe('Format of a line.'),
    })
    .prefault({})
    .describe('One line per request or flow.'),
  defaults: defaultsSchema
    .optional()
    .describe(
      'Merged under every service: a key that a service sets itself wins, objects are merged key by key, lists are replaced.',
    ),
  virtualServices: z.record(name(), serviceSchema).describe('The services, by name.'),
})

export type Config = z.output<typeof configSchema>
export type ServiceConfig = Config['virtualServices'][string]
export type PoolConfig = ServiceConfig['pools'][string]
export type BackendConfig = ServiceConfig['backends'][number]
export type HealthConfig = ServiceConfig['health']
export type LoadConfig = NonNullable<ServiceConfig['load']>
export type OutliersConfig = NonNullable<PoolConfig['outliers']>
export type AccessLogConfig = Config['accessLog']
