/** Looks at the certificates that a configuration names, for `check`. */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Config } from '../config/index.ts'
import { messageOf } from '../core/index.ts'
import { loadBackendTls, loadClientAuth, loadCredentials, readAuthorities } from '../tls/index.ts'

/** Sentences: what keeps the balancer from starting, and what should be mended. */
export interface CertificateReport {
  readonly problems: string[]
  readonly warnings: string[]
}

/** Is it the pair that `run --demo` makes on the first start? */
export const isDevelopment = (cert: string, key: string): boolean =>
  cert.endsWith('/certs/localhost.pem') && key === join(dirname(cert), 'localhost.key')

export async function reportCertificates(config: Config): Promise<CertificateReport> {
  const report: CertificateReport = { problems: [], warnings: [] }
  const ca = config.appliance.acme?.ca
  if (ca !== undefined)
    await readAuthorities(ca).catch((error: unknown) => report.problems.push(`appliance.acme: ${messageOf(error)}`))
  for (const [name, service] of Object.entries(config.virtualServices)) {
    const { tls } = service
    for (const { backendTls } of [service, ...Object.values(service.pools)])
      if (backendTls !== undefined)
        await loadBackendTls(backendTls).catch((error: unknown) =>
          report.problems.push(`service ${name}: ${messageOf(error)}`),
        )
    if (tls === undefined) continue
    await loadClientAuth(tls).catch((error: unknown) => report.problems.push(`service ${name}: ${messageOf(error)}`))
    for (const files of tls.certificates) {
      const { cert, key } = files
      if (files.acme !== undefined) continue // it is ordered when the balancer runs
      if (cert !== undefined && key !== undefined && isDevelopment(cert, key) && !existsSync(cert)) {
        report.warnings.push(`service ${name}: ${basename(cert)} is not there yet; run --demo makes it`)
        continue
      }
      try {
        const { warnings } = await loadCredentials(files)
        report.warnings.push(...warnings.map((warning) => `service ${name}: ${warning}`))
      } catch (error) {
        report.problems.push(`service ${name}: ${messageOf(error)}`)
      }
    }
  }
  return report
}
