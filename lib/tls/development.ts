/** Keeps a certificate for localhost in a folder, signed by an authority that lives beside it, made on first use. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { BalancerError, isHostName, messageOf } from '../core/index.ts'
import { writeAtomically } from './files.ts'
import type { Signed } from './signing.ts'

export interface DevelopmentOptions {
  /** DNS names. Default: none. */
  readonly names?: readonly string[]
  /** IP addresses. Default: none. */
  readonly ips?: readonly string[]
  /** What its files are called, without `.pem` and `.key`. Default: `localhost`, with its name and addresses beside those given. */
  readonly file?: string
  /** `keep`: what is not good is left alone, and an error. `always`: what is good is replaced, too. Default: `bad`. */
  readonly replace?: 'keep' | 'bad' | 'always'
  /** Days that a new certificate is valid. Default: 365. */
  readonly days?: number
}

export interface DevelopmentCertificate {
  /** False when what was there is good. */
  readonly created: boolean
  /** Path of the authority's certificate: what a client is told to trust. */
  readonly ca: string
  /** Path of the chain, leaf first. */
  readonly cert: string
  readonly key: string
}

const AUTHORITY_DAYS = 3650
const LEAF_DAYS = 365
const MAX_DAYS = 36_500
const DAY_MS = 86_400_000
const LOCALHOST = 'localhost'
const KEY_MODE = 0o600
const CERT_MODE = 0o644

/**
 * `ca.pem`, `ca.key`, `localhost.pem` and `localhost.key` in `dir` belong to this function: a pair there that is expired,
 * damaged, signed by another authority or lacks a name is replaced. The authority stays as long as it outlives its leaf.
 * With `replace: keep` an authority that can't sign stays as well.
 */
export async function ensureDevelopmentCertificate(
  dir: string,
  options: DevelopmentOptions = {},
): Promise<DevelopmentCertificate> {
  const hosts = hostsOf(options)
  const { days = LEAF_DAYS, file = LOCALHOST, replace = 'bad' } = options
  if (!(days > 0 && days <= MAX_DAYS))
    throw new BalancerError('TLS_CERTIFICATE', `days is ${days}; it should be above 0 and at most ${MAX_DAYS}`)
  const paths = {
    ca: join(dir, 'ca.pem'),
    caKey: join(dir, 'ca.key'),
    cert: join(dir, `${file}.pem`),
    key: join(dir, `${file}.key`),
  }
  const answer = { ca: paths.ca, cert: paths.cert, key: paths.key }
  const leaf = await readPair(paths.cert, paths.key)
  let authority = await readPair(paths.ca, paths.caKey)
  // The authority's key is not needed for this: whoever took it off the machine keeps a certificate that is good.
  const problem = leafProblem(leaf, authority.cert, hosts)
  if (problem === null && replace !== 'always') return { created: false, ...answer }
  if (replace === 'keep' && (leaf.cert !== '' || leaf.key !== ''))
    throw new BalancerError('TLS_CERTIFICATE', `${leaf.cert === '' ? paths.key : paths.cert} is there and ${problem}`)
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const { makeAuthority, makeLeaf } = await import('./signing.ts') // few need node-forge, and loading it takes time
    const unfit = authorityProblem(authority, days)
    if (unfit !== null && replace === 'keep' && authority.cert !== '')
      throw new BalancerError('TLS_CERTIFICATE', `the authority ${paths.ca} can't sign: it ${unfit}`)
    if (unfit !== null) {
      authority = await makeAuthority('evenkeel development CA', Math.max(AUTHORITY_DAYS, days + 30))
      verify('authority', authorityProblem(authority, 0))
      await writeAtomically(paths.caKey, authority.key, KEY_MODE)
      await writeAtomically(paths.ca, authority.cert, CERT_MODE)
    }
    const made = await makeLeaf(authority, hosts, days)
    verify('certificate', leafProblem({ ...made, cert: made.cert + authority.cert }, authority.cert, hosts))
    await writeAtomically(paths.key, made.key, KEY_MODE)
    await writeAtomically(paths.cert, made.cert + authority.cert, CERT_MODE)
  } catch (error) {
    if (error instanceof BalancerError) throw error
    throw new BalancerError(
      'TLS_CERTIFICATE',
      `a development certificate can't be put into ${dir}: ${messageOf(error)}; make the folder writable or configure a certificate of your own`,
      { cause: error },
    )
  }
  return { created: true, ...answer }
}

function hostsOf(options: DevelopmentOptions): string[] {
  const own = options.file === undefined
  const names = new Set([...(own ? [LOCALHOST] : []), ...(options.names ?? []).map((name) => name.toLowerCase())])
  const ips = new Set([...(own ? ['127.0.0.1', '::1'] : []), ...(options.ips ?? [])])
  for (const name of names)
    if (!isHostName(name))
      throw new BalancerError('TLS_CERTIFICATE', `${JSON.stringify(name)} is not a host name such as shop.test`)
  for (const ip of ips)
    if (isIP(ip) === 0)
      throw new BalancerError('TLS_CERTIFICATE', `${JSON.stringify(ip)} is not an IP address such as 10.0.0.1`)
  return [...names, ...ips]
}

async function readPair(cert: string, key: string): Promise<Signed> {
  return { cert: await readOrEmpty(cert), key: await readOrEmpty(key) }
}

/** Missing, unreadable and empty are one case here: node:crypto refuses the empty text like a damaged one. */
async function readOrEmpty(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1')
  } catch {
    return ''
  }
}

/** May this authority sign a leaf that is to live for `days`? */
function authorityProblem(authority: Signed, days: number): string | null {
  return problemOf(() => {
    const cert = new X509Certificate(authority.cert)
    return signerProblem(cert, days) ?? keyProblem(cert, authority.key)
  })
}

function leafProblem(leaf: Signed, authority: string, hosts: readonly string[]): string | null {
  return problemOf(() => {
    const issuer = new X509Certificate(authority)
    const cert = new X509Certificate(leaf.cert)
    if (!leaf.cert.endsWith(authority)) return 'is not followed by its authority'
    if (cert.ca || !cert.checkIssued(issuer) || !cert.verify(issuer.publicKey)) return 'is not signed by the authority'
    const missing = hosts.find((host) =>
      isIP(host) === 0 ? cert.checkHost(host.replace('*', 'any')) === undefined : cert.checkIP(host) === undefined,
    )
    if (missing !== undefined) return `does not cover ${missing}`
    return signerProblem(issuer, 0) ?? timeProblem(cert, 0) ?? keyProblem(cert, leaf.key)
  })
}

function signerProblem(cert: X509Certificate, days: number): string | null {
  if (!cert.ca || !cert.checkIssued(cert) || !cert.verify(cert.publicKey)) return 'is not a self-signed authority'
  return timeProblem(cert, days)
}

const keyProblem = (cert: X509Certificate, key: string): string | null =>
  cert.checkPrivateKey(createPrivateKey(key)) ? null : 'does not match its key'

function timeProblem(cert: X509Certificate, days: number): string | null {
  const now = Date.now()
  if (cert.validFromDate.getTime() > now) return 'is not valid yet'
  return cert.validToDate.getTime() <= now + days * DAY_MS ? 'expires too soon' : null
}

/** Anything that node:crypto throws at damaged input is a problem too. */
function problemOf(check: () => string | null): string | null {
  try {
    return check()
  } catch (error) {
    return messageOf(error)
  }
}

function verify(what: string, problem: string | null): void {
  if (problem !== null) throw new BalancerError('TLS_CERTIFICATE', `the ${what} just made ${problem}`)
}
