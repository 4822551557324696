/** The options of a set of backends: the declaration, as in schema.ts. */
import { z } from 'zod'
import { affinity } from './affinity.ts'
import { backendTls } from './backend-tls.ts'
import { hash, load } from './balancing.ts'
import { health } from './health.ts'
import { sorryShape } from './routes.ts'
import { backendAddress, duration, name, percentage } from './scalars.ts'

export const SEND_PROXY = ['off', 'v1', 'v2'] as const

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

export const backends = () => z.array(backend).max(4096)

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
