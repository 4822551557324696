/** The certificate that every balancer of a bench serves: ECDSA P-256, for itself. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Certificate } from './peers/index.ts'

export function makeCertificate(folder: string): Certificate {
  const cert = join(folder, 'bench.pem')
  const key = join(folder, 'bench.key')
  const bundle = join(folder, 'bench-bundle.pem')
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert], { stdio: 'pipe' })
  writeFileSync(bundle, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'), { mode: 0o600 })
  return { cert, key, bundle }
}
