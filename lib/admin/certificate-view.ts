/** What the API tells of a certificate. */
import type { AcmeStatus, Manager } from '../service/index.ts'
import type { StoredCertificate } from '../tls/index.ts'
import { iso } from './iso.ts'

export interface CertificateView {
  /** Of its file. */
  readonly name: string
  readonly names: readonly string[]
  readonly issuer: string
  /** `rsa`, `ec`, … */
  readonly keyType: string
  readonly fingerprint256: string
  readonly notAfter: string
  /** Whole days, rounded down; negative when it has expired. */
  readonly daysLeft: number
  /** Why its files, as they are now, are not in use: the one before is. null: they are. */
  readonly problem: string | null
  /** null: it is in files of yours. */
  readonly acme: AcmeView | null
}

/** A certificate that is ordered from an authority. */
export interface AcmeView {
  /** Host of the authority. */
  readonly directory: string
  /** Clients are shown one that nobody has signed. */
  readonly temporary: boolean
  readonly ordering: boolean
  /** When it is ordered again; null: now. */
  readonly nextAt: string | null
  /** Tries in a row that failed, and why the last one did. */
  readonly failures: number
  readonly error: string
}

export const DAY_MS = 86_400_000

export function certificateView(
  { name, file, credentials, problem }: StoredCertificate,
  manager: Manager,
  now: number,
): CertificateView {
  const { names, issuer, keyType, fingerprint256, notAfter } = credentials
  const daysLeft = Math.floor((notAfter - now) / DAY_MS)
  const acme = acmeView(manager.security.orders.statusOf(file), now)
  return { name, names, issuer, keyType, fingerprint256, notAfter: iso(notAfter), daysLeft, problem, acme }
}

function acmeView(status: AcmeStatus | null, now: number): AcmeView | null {
  if (status === null) return null
  const { nextAt, ordering, ...rest } = status
  return { ...rest, ordering, nextAt: ordering || nextAt <= now ? null : iso(nextAt) }
}
