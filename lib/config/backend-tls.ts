/** Declares TLS towards backends: whom they are believed to be, and who we are. */
import { z } from 'zod'

const file = (what: string) => z.string().min(1).max(4096).describe(what)

/** What both flows and probes can go by. */
export const peerShape = {
  serverName: z
    .string()
    .min(1)
    .max(253)
    .optional()
    .describe("Name sent as SNI and looked for in the certificate. Default: the backend's address is looked for."),
  ca: file('PEM file with the authorities that may sign. Default: those of the runtime.').optional(),
  pins: z
    .array(z.string().regex(/^[A-Za-z0-9+/]{43}=$/, 'is not the base64 of a SHA-256'))
    .max(64)
    .default([])
    .describe(
      'The certificate must have one of these keys too: SHA-256 of its public key (SPKI) in base64. Default: any key.',
    ),
  cert: file('PEM file with our certificate and its chain, for backends that ask for one.').optional(),
  key: file('PEM file with its key.').optional(),
  insecureSkipVerify: z.boolean().default(false).describe('Accept any certificate.'),
}

export const backendTls = z
  .strictObject({
    ...peerShape,
    startTls: z
      .boolean()
      .default(false)
      .describe("Ask backends for TLS in the words of the service's `startTls`. Default: they begin with TLS."),
  })
  .optional()
  .describe(
    'Speak TLS to the backends (1.2 and 1.3), and verify them. The handshake must end within `timeouts.connect`. Probes of ' +
      'types that use TLS go by it where `health.tls` says nothing of it. Default: plain text.',
  )
