/** The options of HTTP: the declaration, as in schema.ts. */
import { z } from 'zod'
import { compression } from './compression.ts'
import { backendHttp2, http2 } from './http2.ts'
import { pathsShape } from './paths.ts'
import { cidr, size } from './scalars.ts'

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/ // RFC 9110 §5.6.2
const token = (what: string) => z.string().regex(TOKEN, `is not a valid ${what}`).max(64)
export const http = z.strictObject({
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
