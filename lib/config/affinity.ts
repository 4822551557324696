/** Declares how clients are kept on their backends. */
import { z } from 'zod'
import { duration } from './scalars.ts'

/** Types that tell clients apart by what they send in the protocol of the service. */
export const AFFINITY_TYPES = ['none', 'source-ip', 'header', 'cookie', 'tls-session', 'rdp-cookie'] as const
export type AffinityWord = (typeof AFFINITY_TYPES)[number]

/** The cookie's name where none is given. */
export const OWN_COOKIE = 'EKID'

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/ // RFC 9110 §5.6.2, and RFC 6265 for cookies

export const affinity = z
  .strictObject({
    type: z
      .enum(AFFINITY_TYPES)
      .default('none')
      .describe(
        'By what a client is known. `source-ip`: its address. `header`: the value of a request field. `cookie`: a cookie. ' +
          '`tls-session`: the TLS session that it resumes, where TLS goes through to the backends (up to TLS 1.2). ' +
          '`rdp-cookie`: the user name or routing token of a Remote Desktop client.',
      ),
    name: z
      .string()
      .regex(NAME, 'is not a valid name of a cookie or header')
      .max(64)
      .optional()
      .describe(`Name of the header or cookie. Default for \`mode: insert\`: ${OWN_COOKIE}; else needed.`),
    mode: z
      .enum(['insert', 'existing'])
      .default('insert')
      .describe(
        'For `type: cookie`. `insert`: a signed cookie of ours, which backends do not see. `existing`: the cookie of that name ' +
          'that the backends set.',
      ),
    fallback: z
      .enum(['none', 'source-ip'])
      .default('none')
      .describe('How clients are known of whom the type knows nothing, such as those without cookies.'),
    prefix4: z
      .int()
      .min(1)
      .max(32)
      .default(32)
      .describe('For `source-ip`: leading bits of an IPv4 address that make a client; 24 is NLB’s class C.'),
    prefix6: z.int().min(1).max(128).default(128).describe('The same for IPv6.'),
    timeout: duration({ min: '1s' })
      .prefault('10m')
      .describe('Idle time after which a client is forgotten. Not for cookies of ours, which clients keep.'),
    maxIdle: duration({ min: '1s' })
      .optional()
      .describe('For `mode: insert`: idle time after which the cookie counts no more. Default: no limit.'),
    maxLife: duration({ min: '1s' })
      .optional()
      .describe(
        'For `mode: insert`: time after which the cookie counts no more, however it is used. Default: no limit.',
      ),
    group: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name has letters, digits, ".", "_" and "-"')
      .optional()
      .describe(
        'Services of one group share what they know: a client of one goes to the same backend in the others. Backends are ' +
          'the same when their names are, or, where they have none, their hosts.',
      ),
  })
  .prefault({})
  .describe('How a client is kept on its backend.')

export const bindings = z
  .strictObject({
    maxEntries: z
      .int()
      .min(1024)
      .max(16_777_216)
      .default(1_048_576)
      .describe(
        'Clients that are remembered, over all services: 32 bytes each when used. Rounded up to a power of two. When there is ' +
          'no room, those give way that were idle longest.',
      ),
  })
  .prefault({})
  .describe('The memory of which client belongs to which backend.')
