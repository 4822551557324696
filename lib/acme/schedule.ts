/** When a certificate is renewed, and when a try that failed is repeated. Pure. */
import { X509Certificate } from 'node:crypto'
import type { Credentials } from '../tls/index.ts'
import type { Wanted } from './folder.ts'

const SHARE = 2 / 3 // of its life
const SPREAD = 0.05 // up to so much of its life sooner, so that many are not renewed at once
const FIRST_RETRY_MS = 180_000 // at most five tries in an hour, which is what Let's Encrypt allows for a name
const MAX_RETRY_MS = 12 * 3_600_000
const JITTER = 0.2
const RESTARTED_MS = 60_000 // somebody may have mended something; a process that keeps dying must not ask each time

/** The common name of certificates that stand in until there is one. */
export const TEMPORARY = 'evenkeel temporary'

export const isTemporary = ({ issuer }: Credentials): boolean => issuer === `CN=${TEMPORARY}`

/** Wall-clock milliseconds; 0: at once, because it is not what is wanted. @param chance 0 to 1 */
export function renewAt(credentials: Credentials, { names, keyType }: Wanted, chance: number): number {
  if (isTemporary(credentials) || credentials.keyType !== keyType) return 0
  if (!names.every((name) => credentials.names.includes(name))) return 0
  const from = new X509Certificate(credentials.cert).validFromDate.getTime()
  const life = credentials.notAfter - from
  return from + life * (SHARE - SPREAD * chance)
}

/** ms after the last of `failures` tries. @param asked ms that the authority wants us to wait */
export function retryIn(failures: number, asked: number, chance: number): number {
  const backoff = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 20))
  return Math.max(asked, backoff * (1 - JITTER + 2 * JITTER * chance))
}

/** When a try that was to be at `tryAt` is made by a process that starts now. */
export const afterRestart = (tryAt: number, now: number, limited: boolean): number =>
  limited ? tryAt : Math.min(tryAt, now + RESTARTED_MS)
