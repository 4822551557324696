/**
 * The one declaration of every option: type, bounds, default, help text. JSON Schema and documentation come from it.
 * What joins several options is in checks.ts.
 */
import { isIP } from 'node:net'
import { z } from 'zod'
import { acme } from './acme.ts'
import { bindings } from './affinity.ts'
import { filtersShape } from './filters.ts'
import { http } from './http.ts'
import { limits, overload } from './limits.ts'
import { backends, poolShape, SEND_PROXY } from './pool.ts'
import { poolsShape, routesShape } from './routes.ts'
import { cidr, duration, listenAddress, name, size } from './scalars.ts'
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

const userName = (what: string) => z.string().regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/, `is not the name of a ${what}`)
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
