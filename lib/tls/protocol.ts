/** Which versions, suites and groups are spoken: Mozilla's profiles, and what a service changes in them. */
import { createSecureContext } from 'node:tls'

/** As it is configured. */
export interface ProtocolOptions {
  readonly profile: 'modern' | 'intermediate'
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  readonly ciphers?: readonly string[] | undefined
  readonly curves?: readonly string[] | undefined
}

/** As OpenSSL takes it; plain data. */
export interface Protocol {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly ciphers: string
  readonly curves: string
}

const SUITES_13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']
// Mozilla's intermediate profile without DHE: every suite is an AEAD with forward secrecy, so no CBC padding to get wrong.
const SUITES_12 = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
]
const HYBRID = 'X25519MLKEM768' // against those who record now and have a quantum computer later
const CURVES = ['X25519', 'P-256', 'P-384']

export function protocolOf({ profile, minVersion, ciphers = [], curves }: ProtocolOptions): Protocol {
  const is13 = (suite: string): boolean => suite.startsWith('TLS_')
  const listed13 = ciphers.filter(is13)
  const listed12 = ciphers.filter((suite) => !is13(suite))
  const suites = [
    ...(listed13.length > 0 ? listed13 : SUITES_13),
    ...(listed12.length > 0 ? listed12 : SUITES_12), // without effect where 1.3 is the oldest version
  ]
  return {
    minVersion: minVersion ?? (profile === 'modern' ? 'TLSv1.3' : 'TLSv1.2'),
    ciphers: suites.join(':'),
    curves: (curves ?? [...(hasHybrid() ? [HYBRID] : []), ...CURVES]).join(':'),
  }
}

let hybrid: boolean | undefined

/** OpenSSL has it from 3.5 on. */
function hasHybrid(): boolean {
  if (hybrid === undefined) {
    try {
      createSecureContext({ ecdhCurve: HYBRID })
      hybrid = true
    } catch {
      hybrid = false
    }
  }
  return hybrid
}
