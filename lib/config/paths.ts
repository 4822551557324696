/** How the path of a request is read: the declaration, as in schema.ts. */
import { z } from 'zod'

/** `http.paths`. */
export const pathsShape = z
  .strictObject({
    nul: z.enum(['reject', 'pass']).default('reject').describe('`%00`.'),
    controls: z.enum(['reject', 'pass']).default('reject').describe('`%01` to `%1F`, and `%7F`.'),
    encodedSlash: z
      .enum(['reject', 'pass', 'decode'])
      .default('reject')
      .describe('`%2F`. Passed, it is a character of its segment to us, and may be a slash to the backend.'),
    backslash: z.enum(['reject', 'pass', 'decode']).default('reject').describe('`\\` and `%5C`; decoded: a slash.'),
    dotSegments: z
      .enum(['reject', 'pass', 'decode'])
      .default('decode')
      .describe('`/./`, `/../`, `/%2e%2e/`. Decoded: resolved; above the root, and hidden as in `..;/`: refused.'),
    emptySegments: z.enum(['reject', 'pass', 'merge']).default('merge').describe('`//`.'),
    doubleEncoding: z
      .enum(['reject', 'pass'])
      .default('reject')
      .describe(
        '`%25` before `2e`, `2f`, `3b`, `5c`, `00`, `c0` or `c1`: another path to a backend that decodes twice.',
      ),
    parameters: z
      .enum(['reject', 'pass'])
      .default('pass')
      .describe('`;` and `%3B`. Java backends cut off what follows before they look at a path.'),
  })
  .optional()
  .describe(
    'How the path of a request is read. Rules see what is forwarded: one canonical form. A refused path: 400. Default: as ' +
      'these options say where `filters` are set, else paths go on as they came.',
  )
