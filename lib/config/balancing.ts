/** Declares what balancing policies need to know: the key of `hash`, and where backends tell their load. */
import { z } from 'zod'
import { duration } from './scalars.ts'

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/ // RFC 9110 §5.6.2
const token = (what: string) => z.string().regex(TOKEN, `is not a valid ${what}`).max(64)
const MOST_TIMES = 10 // a backend that may hold ten times its share is not held back

/** `150%` or `off`. Value as a factor, 0 for `off`. */
const loadBound = () =>
  z
    .string({ error: 'expected a percentage above 100% such as 150%, or off' })
    .transform((text, context) => {
      if (text === 'off') return 0
      const match = /^(\d+(?:\.\d+)?)%$/.exec(text)
      const factor = Number(match?.[1]) / 100
      if (factor > 1 && factor <= MOST_TIMES) return factor
      context.addIssue({
        code: 'custom',
        message: `${JSON.stringify(text)} is not a percentage above 100% and up to ${MOST_TIMES * 100}%; write 150%, or off`,
      })
      return z.NEVER
    })
    .meta({
      kind: 'percentage',
      anyOf: [{ type: 'string', pattern: '^\\d+(\\.\\d+)?%$' }, { const: 'off' }],
      samples: ['150%', 'off'],
    })

export const hash = z.strictObject({
  key: z
    .union(
      [
        z.enum(['source-ip', 'path']),
        z.strictObject({ header: token('header name').describe('Name of the header.') }),
        z.strictObject({ cookie: token('cookie name').describe('Name of the cookie.') }),
        z.strictObject({
          query: z
            .string()
            .regex(/^[^\s=&#]{1,128}$/, 'is not the name of a query parameter')
            .describe('Name of the parameter, as it stands in the URL.'),
        }),
      ],
      { error: 'expected source-ip, path, { header: name }, { cookie: name } or { query: name }' },
    )
    .default('source-ip')
    .describe(
      "What decides: equal keys go to the same backend. `path` is without the query. Where a request has no such header, cookie or parameter, its client's address decides.",
    ),
  boundedLoad: loadBound()
    .prefault('150%')
    .describe(
      'Most flows of a backend, as a part of its share of all; further ones go to the next backend of their key. Up to six flows are always taken. `off`: no bound.',
    ),
})

export const load = z
  .strictObject({
    type: z
      .enum(['http', 'agent'], { error: 'expected http or agent' })
      .describe(
        '`http`: the first line of an HTTP answer is the load, 0 (idle) to 100, or 101 (down) or 102 (disabled). `agent`: a line of ' +
          "HAProxy's agent-check over TCP, such as `75%`, `drain` or `up 50% #reason`.",
      ),
    port: z
      .int()
      .min(1)
      .max(65_535)
      .optional()
      .describe("Port that is asked. Default: the backend's own; `type: agent` needs one."),
    path: z
      .string()
      .regex(/^\/[\x21-\x7e]*$/, 'a path starts with / and has no spaces')
      .default('/')
      .describe('For `type: http`: path that is asked for.'),
    host: z
      .string()
      .regex(/^[\x21-\x7e]{1,255}$/, 'is not a host')
      .optional()
      .describe("For `type: http`: Host field. Default: the backend's address."),
    send: z
      .string()
      .max(1024)
      .default('')
      .describe('For `type: agent`: text that is sent first. Write `"text\\n"` for a line.'),
    interval: duration({ min: '100ms' })
      .prefault('7s')
      .describe('Time between two questions. A load that is older than three of them counts as unknown.'),
    timeout: duration({ min: '10ms' }).prefault('2s').describe('Time for one question, connect included.'),
  })
  .optional()
  .describe(
    'What backends report of themselves. `least-load` needs it; weights, drains and states that an agent tells hold with every policy. A backend that does not answer stays as it is.',
  )
