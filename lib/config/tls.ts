/** Declares how TLS of clients is ended: certificates and protocol. */
import { createSecureContext, getCiphers } from 'node:tls'
import { z } from 'zod'
import { isHostName } from '../core/index.ts'
import { duration } from './scalars.ts'

const file = (what: string) => z.string().min(1).max(4096).describe(what)

const acmeName = z
  .string()
  .transform((text) => text.toLowerCase())
  .superRefine((name, context) => {
    if (name.startsWith('*.'))
      context.addIssue({
        code: 'custom',
        message: `${name} has a wildcard, which authorities give for dns-01 alone, which is not available; name each host`,
      })
    else if (!isHostName(name) || !name.includes('.'))
      context.addIssue({
        code: 'custom',
        message: `${JSON.stringify(name)} is not a host name such as shop.example.com`,
      })
  })
  .meta({ kind: 'host name', samples: ['shop.example.com'] })

const certificate = z.strictObject({
  cert: file(
    'PEM file with the certificate and its chain, leaf first. Relative to the folder of the configuration.',
  ).optional(),
  key: file('PEM file with the private key.').optional(),
  pfx: file('PKCS#12 file (`.p12`, `.pfx`) with all of it, in place of `cert` and `key`.').optional(),
  passphrase: z
    .string()
    .max(1024)
    .optional()
    .describe('Of an encrypted `key` or `pfx`; better taken from the environment by a substitution.'),
  passphraseFile: file('A file whose first line is the passphrase.').optional(),
  acme: z
    .array(acmeName)
    .min(1)
    .max(100)
    .optional()
    .describe(
      'In place of files: names for which a certificate is ordered from the authority of `appliance.acme`. A temporary one that nobody ' +
        'trusts is served until it is there.',
    ),
  keyType: z.enum(['ec', 'rsa']).optional().describe('Type of its key, for `acme`. Default: ec.'),
})

const SUITES: ReadonlySet<string> = new Set(getCiphers().map((name) => name.toUpperCase()))

const suite = z.string().superRefine((name, context) => {
  if (!/^(?:TLS_|ECDHE-)/.test(name))
    context.addIssue({ code: 'custom', message: `${name} has no forward secrecy; suites begin with TLS_ or ECDHE-` })
  else if (!SUITES.has(name)) context.addIssue({ code: 'custom', message: `${name} is not a suite that OpenSSL knows` })
})

const curve = z.string().superRefine((name, context) => {
  if (!/^[A-Za-z0-9-]{1,32}$/.test(name) || !hasCurve(name))
    context.addIssue({
      code: 'custom',
      message: `${name} is not a group that this runtime knows; write X25519 or P-256`,
    })
})

function hasCurve(name: string): boolean {
  try {
    createSecureContext({ ecdhCurve: name })
    return true
  } catch {
    return false
  }
}

/** The keys of tickets, for all services. */
export const tickets = z
  .strictObject({
    rotate: duration({ min: '10s' })
      .prefault('12h')
      .describe('How long new tickets are made with one key. The previous two are still accepted.'),
    file: file(
      'A file with the keys, for several appliances that share sessions: one per line, `openssl rand -base64 32`. The first makes ' +
        'new tickets, all are accepted. It is read anew when it changes. Default: keys are made here.',
    ).optional(),
  })
  .prefault({})
  .describe('Keys of the tickets that TLS sessions are resumed by.')

export const tls = z.strictObject({
  certificates: z
    .array(certificate)
    .min(1, 'one certificate is needed')
    .max(1000)
    .describe('The certificates of this service, chosen by the name that a client asks for.'),
  strictSni: z
    .boolean()
    .default(false)
    .describe(
      'Refuse clients that ask for no name, or for one that no certificate has, in place of serving the first.',
    ),
  profile: z
    .enum(['modern', 'intermediate'])
    .default('intermediate')
    .describe(
      "Mozilla's profiles. `modern`: TLS 1.3 alone. `intermediate`: TLS 1.2 too, with suites that are AEADs with forward secrecy.",
    ),
  minVersion: z
    .enum(['TLSv1.2', 'TLSv1.3'])
    .optional()
    .describe("Oldest protocol version accepted. Default: the profile's."),
  ciphers: z
    .array(suite)
    .min(1)
    .max(32)
    .optional()
    .describe(
      "Cipher suites in the order of preference, in OpenSSL's names. Those of a version that none is named of stay as they are. " +
        "Default: the profile's.",
    ),
  curves: z
    .array(curve)
    .min(1)
    .max(16)
    .optional()
    .describe('Groups for the key exchange. Default: X25519MLKEM768 where the runtime has it, X25519, P-256, P-384.'),
  tickets: z
    .boolean()
    .default(true)
    .describe('Let clients resume sessions by tickets; `appliance.tickets` says how their keys change.'),
  ocspStapling: z
    .boolean()
    .default(false)
    .describe(
      'Show clients an OCSP answer with the certificate. It is fetched from the responder that the certificate names, and needs its ' +
        'issuer in the chain.',
    ),
  clientAuth: z
    .enum(['none', 'request', 'require'])
    .default('none')
    .describe(
      'Certificates of clients. `request`: a client may have one; one that is not good is told why. `require`: without a good one there ' +
        'is no connection.',
    ),
  clientCa: file('PEM file with the authorities that sign them. Needed with `clientAuth`.').optional(),
  clientCrl: file(
    'PEM file with the lists of revoked ones, of every authority. Without a list that is valid nobody comes in.',
  ).optional(),
  clientAllow: z
    .array(z.string().regex(/^(?:CN=|DNS:|URI:|email:)[^\n]+$/, 'begins with CN=, DNS:, URI: or email:'))
    .max(1000)
    .default([])
    .describe(
      'Who may come in: names in the certificate, `CN=…`, `DNS:…`, `URI:…` or `email:…`, of which one must be there to the letter. ' +
        'Others get 403. Default: everybody whom `clientCa` has signed.',
    ),
})

export type TlsConfig = z.output<typeof tls>
