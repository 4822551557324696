/** The options of routes, of the pools that they lead to, and of what clients get instead: the declaration, as in schema.ts. */
import { z } from 'zod'
import { respond } from './filters.ts'
import { FIELD_VALUE, fieldName, hosts, methods, oneOf, pathMatch, serverNames } from './matching.ts'
import { backendAddress } from './scalars.ts'

const match = z.strictObject({
  host: hosts().optional().describe('Hosts asked for; `*.name` stands for all below a name.'),
  path: pathMatch.optional().describe('A prefix on the bounds of segments, `exact`, or a `regex`.'),
  method: methods().optional().describe('Methods.'),
  headers: z
    .record(
      fieldName({ host: false }),
      z.union([z.string().max(8192).regex(FIELD_VALUE, 'is not a header value'), z.boolean()], {
        error: 'expected the value, true (there is one) or false (there is none)',
      }),
    )
    .optional()
    .describe('Fields: a value, `true` when any will do, `false` when there must be none.'),
})

const POOL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** `routes:` of a service. */
export const routesShape = z
  .array(
    z.strictObject({
      match: match.default({}).describe('The requests that it is for (`http`, `https`). Default: all.'),
      sni: serverNames()
        .optional()
        .describe(
          'Names that clients ask for in their TLS handshake (`tcp`, `tls`); `*.name` stands for all below a name. Default: all ' +
            'connections, those without a name too.',
        ),
      pool: z.string().regex(POOL_NAME, 'is not the name of a pool').describe('Where they go: a key of `pools`.'),
    }),
  )
  .max(4096)
  .default([])
  .describe(
    "Which pool a request or connection goes to: the first that matches, so the special ones first. None: the service's own backends.",
  )

/** `pools:` of a service: each entry has these options, as the service itself has them. */
export const poolsShape = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z
    .record(
      z.string().regex(POOL_NAME, 'a name has letters, digits, ".", "_" and "-", and is at most 63 long'),
      z.strictObject(shape),
    )
    .default({})
    .describe('Further sets of backends, for `routes`. What a pool does not say is as the service says.')

/** `sorry:` of a pool. */
export const sorryShape = z
  .strictObject({
    respond: respond.optional().describe('A fixed answer (`http`, `https`).'),
    redirect: z
      .string()
      .max(2048)
      .regex(/^(?:https?:\/\/[^\s/?#]+)?\/[\x21-\x7e]*$/, 'is not a URL; write https://status.example/ or /sorry')
      .optional()
      .describe('A URL that clients are sent to with 302 (`http`, `https`).'),
    backend: backendAddress().optional().describe('A backend that is not probed and gets all flows.'),
  })
  .superRefine(oneOf(['respond', 'redirect', 'backend']))
  .optional()
  .describe('What clients get with `allDown: sorry`.')
