/** How probes use TLS: when, and whom they trust. */
import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { HealthConfig } from '../config/index.ts'
import { BalancerError, codeOf, messageOf, type TlsTrust } from '../core/index.ts'

export interface Security {
  readonly mode: HealthConfig['tls']['mode']
  readonly trust: TlsTrust
}

/** @throws BalancerError for a CA file that can't be used */
export function securityOf(health: HealthConfig): Security {
  const mode = health.type === 'tls' ? 'implicit' : health.tls.mode
  if (mode === 'off') return { mode, trust: {} }
  const trust = trustOf(health)
  return {
    mode,
    get trust() {
      return trust()
    },
  }
}

/**
 * Whom a probe trusts at the moment: its files are read again when they have changed, and what can't be used leaves what was there.
 * @throws BalancerError for a CA file that can't be used, now but not later
 */
export function trustOf(health: HealthConfig): () => TlsTrust {
  const { ca, cert, key } = health.tls
  const files = [ca, cert, key].filter((file) => file !== undefined)
  let seen = looks(files) // before they are read: a change meanwhile is seen later
  let trust = read(health)
  return () => {
    const now = looks(files)
    if (now === seen) return trust
    seen = now
    try {
      trust = read(health)
    } catch {
      // Half written, or damaged: flows keep what they had, too.
    }
    return trust
  }
}

/** Differs when a file was written or replaced. */
const looks = (files: readonly string[]): string =>
  files
    .map((file) => {
      const found = statSync(file, { throwIfNoEntry: false })
      return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeMs}`
    })
    .join()

/** @throws BalancerError for a CA file that can't be used */
function read({ tls, host }: HealthConfig): TlsTrust {
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
