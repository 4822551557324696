/** Declares how TLS of clients is ended: certificates and protocol. */
import { z } from 'zod'

const file = (what: string) => z.string().min(1).max(4096).describe(what)

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
})

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
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2').describe('Oldest protocol version accepted.'),
})

export type TlsConfig = z.output<typeof tls>
