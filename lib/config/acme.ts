/** Declares where certificates are ordered, and on whose account. */
import { z } from 'zod'

/** Directories that have a name. */
const AUTHORITIES = {
  letsencrypt: 'https://acme-v02.api.letsencrypt.org/directory',
  'letsencrypt-staging': 'https://acme-staging-v02.api.letsencrypt.org/directory',
} as const

const isUrl = (text: string): boolean => URL.canParse(text) && new URL(text).protocol === 'https:'

const authority = z
  .string()
  .max(2048)
  .transform((text, context) => {
    if (Object.hasOwn(AUTHORITIES, text)) return AUTHORITIES[text as keyof typeof AUTHORITIES]
    if (isUrl(text)) return text
    const names = Object.keys(AUTHORITIES).join(', ')
    context.addIssue({ code: 'custom', message: `${text} is neither ${names} nor the https URL of a directory` })
    return z.NEVER
  })
  .meta({ kind: 'authority', samples: Object.keys(AUTHORITIES) })

export const acme = z.strictObject({
  directory: authority
    .prefault('letsencrypt')
    .describe(
      'The authority: `letsencrypt`, `letsencrypt-staging` to try things out (clients trust nothing of it), or the URL of another ' +
        "one's directory.",
    ),
  acceptTerms: z
    .literal(true, { error: "must be true: you have read the authority's terms of service and agree" })
    .describe("You have read the authority's terms of service and agree. Nothing is ordered without."),
  email: z
    .email('is not an address such as ops@example.com')
    .max(254)
    .optional()
    .describe('Where the authority may write to.'),
  challenge: z
    .enum(['http-01', 'tls-alpn-01'])
    .default('http-01')
    .describe(
      'How we prove that a name is ours. `http-01`: the authority asks on port 80, and every service with `protocol: http` answers. ' +
        '`tls-alpn-01`: it asks on port 443, and every service that ends TLS answers.',
    ),
  folder: z
    .string()
    .min(1)
    .max(4096)
    .default('./state/acme')
    .describe('Account, keys and certificates are kept here. Relative to the folder of this file.'),
  ca: z
    .string()
    .min(1)
    .max(4096)
    .optional()
    .describe(
      "PEM file with the authorities that sign the directory's own certificate. Default: those of the runtime.",
    ),
  eab: z
    .strictObject({
      kid: z.string().min(1).max(1024).describe('The name of the key.'),
      secret: z
        .string()
        .regex(/^[A-Za-z0-9_-]{16,1024}=*$/, 'is not a key in base64url')
        .describe('The key, in base64url; better taken from the environment by a substitution.'),
    })
    .optional()
    .describe('External account binding, for authorities that know their customers from elsewhere.'),
})

export type AcmeConfig = z.output<typeof acme>
