/** How probes use TLS: when, and whom they trust. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { HealthConfig } from '../config/index.ts'
import { BalancerError, codeOf, messageOf, type TlsTrust } from '../core/index.ts'

export interface Security {
  readonly mode: HealthConfig['tls']['mode']
  readonly trust: TlsTrust
}

/** @throws BalancerError for a CA file that can't be used */
export function securityOf(health: HealthConfig): Security {
  const mode = health.type === 'tls' ? 'implicit' : health.tls.mode
  return { mode, trust: mode === 'off' ? {} : trustOf(health) }
}

/** @throws BalancerError for a CA file that can't be used */
export function trustOf({ tls, host }: HealthConfig): TlsTrust {
  const servername = tls.serverName ?? (host === undefined ? undefined : withoutPort(host))
  return {
    rejectUnauthorized: !tls.insecureSkipVerify,
    ...(servername === undefined ? null : { servername }),
    ...(tls.ca === undefined ? null : { ca: readAuthorities(tls.ca) }),
    pins: tls.pins,
    ...(tls.cert === undefined ? null : { cert: readText(tls.cert), key: readText(tls.key ?? tls.cert) }),
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch (error) {
    throw new BalancerError('TLS_CERTIFICATE', `health.tls: ${file} can't be read: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** `shop.example:8443` and `[::1]:80` without port and brackets. */
const withoutPort = (host: string): string => host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

function readAuthorities(file: string): string {
  try {
    const blocks = readFileSync(file, 'utf8').match(PEM) ?? []
    if (blocks.length === 0) throw new Error('it holds no PEM certificate')
    for (const block of blocks) new X509Certificate(block)
    return blocks.join('\n')
  } catch (error) {
    const why = codeOf(error) === 'ENOENT' ? 'it does not exist' : messageOf(error)
    throw new BalancerError('TLS_CERTIFICATE', `health.tls.ca: ${file} can't be used: ${why}`, { cause: error })
  }
}
