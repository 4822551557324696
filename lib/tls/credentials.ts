/** Reads a certificate chain with its private key from files, or says in one sentence why they can't be used. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { isIPv6, SocketAddress } from 'node:net'
import { messageOf } from '../core/index.ts'
import { createServerContext } from './context.ts'
import { type Block, readBlocks, readPassphrase, refuse } from './pem.ts'

/** Plain data: it is posted to the data threads. */
export interface Credentials {
  /** The chain in PEM, leaf first, and nothing else. */
  readonly cert: string
  /** The private key in PEM, in the clear. */
  readonly key: string
  /** `rsa`, `ec`, `ed25519`, …: a listener has one certificate of each for a name. */
  readonly keyType: string
  /** DNS names and IP addresses that the leaf covers. */
  readonly names: string[]
  /** End of the leaf's validity in wall-clock milliseconds. */
  readonly notAfter: number
  readonly issuer: string
  readonly fingerprint256: string
  /** Sentences for the log: what works but should be mended. */
  readonly warnings: string[]
}

/** PEM files, `cert` and `key`, or a PKCS#12 file. The passphrase is for the key. */
export interface CertificateFiles {
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly pfx?: string | undefined
  readonly passphrase?: string | undefined
  /** Its first line is the passphrase. */
  readonly passphraseFile?: string | undefined
}

/** What is to be looked at for changes. */
export const pathsOf = ({ cert, key, pfx, passphraseFile }: CertificateFiles): string[] =>
  [...new Set([cert, key, pfx, passphraseFile])].filter((path) => path !== undefined)

interface Material {
  /** How the certificate is called in sentences. */
  readonly file: string
  readonly keyFile: string
  readonly chain: readonly X509Certificate[]
  readonly key: KeyObject
  readonly warnings: readonly string[]
}

const WARN_DAYS = 14 // enough to renew by hand; what renews by itself has done so by then
const WARN_SHARE = 0.2 // of its life, for those that live for days
const DAY_MS = 86_400_000

/** Everything is checked together; a certificate out of its time is a warning, because a reload must not fail on it. */
export async function loadCredentials(files: CertificateFiles): Promise<Credentials> {
  const { cert, key: keyPath, pfx, passphraseFile } = files
  const passphrase =
    files.passphrase ?? (passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile))
  const material =
    pfx === undefined
      ? await readPem(cert ?? '', keyPath ?? cert ?? '', passphrase)
      : { file: pfx, keyFile: pfx, ...(await readPfx(pfx, passphrase ?? '')), warnings: [] }
  const { file, keyFile, chain, key } = material
  const [leaf] = chain
  if (leaf === undefined) throw refuse(`${file} holds no certificate`)
  const warnings = [...checkOrder(file, chain), ...checkTimes(file, chain), ...material.warnings]
  const names = namesOf(leaf)
  if (names.length === 0)
    warnings.push(`${file}: the certificate has no subject alternative name, so clients will not accept it`)
  const credentials: Credentials = {
    cert: chain.map((certificate) => certificate.toString()).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    keyType: key.asymmetricKeyType ?? '',
    names,
    notAfter: leaf.validToDate.getTime(),
    issuer: oneLine(leaf.issuer),
    fingerprint256: leaf.fingerprint256,
    warnings,
  }
  try {
    createServerContext([credentials])
  } catch (error) {
    const what = file === keyFile ? file : `${file} with ${keyFile}`
    throw refuse(`${what} is refused by OpenSSL: ${messageOf(error)}`, error)
  }
  return credentials
}

async function readPem(cert: string, key: string, passphrase: string | undefined): Promise<Material> {
  const certBlocks = await readBlocks(cert, 'certificate')
  const keyBlocks = key === cert ? certBlocks : await readBlocks(key, 'key') // read twice, the file could be another one
  if (isKeyOnly(certBlocks) && certificatesIn(keyBlocks).length > 0 && !keyBlocks.some(isPrivateKey))
    throw refuse(`cert and key are swapped: ${cert} holds the key and ${key} the certificate`)
  const chain = readChain(cert, certBlocks)
  if (chain.length === 0) throw refuse(noCertificate(cert, certBlocks))
  const { object, warnings } = readKey(key, keyBlocks, passphrase)
  checkPair({ cert, key }, chain, object)
  return { file: cert, keyFile: key, chain, key: object, warnings }
}

const isPrivateKey = ({ label }: Block): boolean => label.endsWith('PRIVATE KEY')
const certificatesIn = (blocks: Block[]): Block[] => blocks.filter(({ label }) => label === 'CERTIFICATE')
const isKeyOnly = (blocks: Block[]): boolean => blocks.some(isPrivateKey) && certificatesIn(blocks).length === 0

function readChain(file: string, blocks: Block[]): X509Certificate[] {
  return certificatesIn(blocks).map(({ text }, i) => {
    try {
      return new X509Certificate(text)
    } catch (error) {
      throw refuse(`certificate ${i + 1} in ${file} is damaged: ${messageOf(error)}; copy the file again`, error)
    }
  })
}

function noCertificate(file: string, blocks: Block[]): string {
  if (isKeyOnly(blocks)) return `certificate file ${file} holds only a private key; cert names the file with the chain`
  if (blocks.some(({ label }) => label.endsWith('CERTIFICATE REQUEST')))
    return `certificate file ${file} is a signing request; name the certificate that the authority returned for it`
  return `certificate file ${file} holds ${blocks[0]?.label.toLowerCase()}; it should hold a block BEGIN CERTIFICATE`
}

function readKey(
  file: string,
  blocks: Block[],
  passphrase: string | undefined,
): { object: KeyObject; warnings: string[] } {
  const [block, another] = blocks.filter(isPrivateKey)
  if (block === undefined)
    throw refuse(
      `key file ${file} holds ${blocks[0]?.label.toLowerCase()} and no private key; name the file with BEGIN PRIVATE KEY`,
    )
  const encrypted = block.label.startsWith('ENCRYPTED') || /^Proc-Type:.*ENCRYPTED/m.test(block.text)
  if (encrypted && passphrase === undefined)
    throw refuse(
      `the key in ${file} is encrypted; write it without a passphrase (openssl pkey -in ${file} -out FILE), or give passphrase or passphraseFile`,
    )
  const warnings = another === undefined ? [] : [`${file} holds several private keys; the first one is used`]
  try {
    const secret = encrypted ? { key: block.text, passphrase } : block.text
    return { object: createPrivateKey(secret), warnings }
  } catch (error) {
    if (encrypted && /bad decrypt|bad password/i.test(messageOf(error)))
      throw refuse(`the passphrase of the key in ${file} is wrong`, error)
    const hint = block.label.startsWith('OPENSSH') ? 'an OpenSSH key does not serve TLS' : 'copy the file again'
    throw refuse(`the key in ${file} can't be used: ${messageOf(error)}; ${hint}`, error)
  }
}

function checkPair(files: { cert: string; key: string }, chain: X509Certificate[], key: KeyObject): void {
  const owner = chain.findIndex((certificate) => certificate.checkPrivateKey(key))
  if (owner === 0) return
  if (owner > 0)
    throw refuse(
      `in ${files.cert} the leaf is certificate ${owner + 1}, not the first; put it first, its issuer next, and so on`,
    )
  throw refuse(
    `the key in ${files.key} does not belong to the certificate in ${files.cert} (${oneLine(chain[0]?.subject)}); name the key that it was requested with`,
  )
}

/** RFC 8446 §4.4.2 leaves cross-signed copies in peace; what could be put in order by moving it is an error. */
function checkOrder(file: string, chain: readonly X509Certificate[]): string[] {
  const warnings: string[] = []
  for (const [i, certificate] of chain.entries()) {
    if (i === 0 || chain.slice(0, i).some((earlier) => earlier.checkIssued(certificate))) continue
    const subject = `certificate ${i + 1} in ${file} (${oneLine(certificate.subject)})`
    const issued = chain.findIndex((later, n) => n > i && later.checkIssued(certificate))
    if (issued > 0)
      throw refuse(
        `the chain is out of order: ${subject} issued certificate ${issued + 1}; each one's issuer follows it`,
      )
    warnings.push(`${subject} did not issue any before it; remove it`)
  }
  return warnings
}

function checkTimes(file: string, chain: readonly X509Certificate[]): string[] {
  const now = Date.now()
  const warnings: string[] = []
  for (const { validFromDate, validToDate, subject } of chain) {
    const name = `${file}: the certificate of ${oneLine(subject)}`
    if (validToDate.getTime() < now) warnings.push(`${name} expired at ${validToDate.toISOString()}; renew it`)
    else if (validToDate.getTime() < now + warnMs(validFromDate, validToDate))
      warnings.push(`${name} expires at ${validToDate.toISOString()}; renew it`)
    if (validFromDate.getTime() > now)
      warnings.push(`${name} is not valid before ${validFromDate.toISOString()}; check the clock`)
  }
  return warnings
}

const warnMs = (from: Date, to: Date): number =>
  Math.min(WARN_DAYS * DAY_MS, (to.getTime() - from.getTime()) * WARN_SHARE)

/** Node quotes a name that holds a comma or quote as a JSON string. Such a name matches no host: it is left out. */
export function namesOf(leaf: X509Certificate): string[] {
  const names: string[] = []
  for (const [, kind, text = ''] of (leaf.subjectAltName ?? '').matchAll(
    /([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g,
  )) {
    if (text.startsWith('"')) continue
    if (kind === 'DNS') names.push(text.toLowerCase())
    if (kind === 'IP Address')
      names.push(isIPv6(text) ? new SocketAddress({ address: text, family: 'ipv6' }).address : text)
  }
  return names
}

/** A distinguished name as node tells it. */
export const oneLine = (name: string | undefined): string => (name ?? '').replaceAll('\n', ', ')

/** Few need node-forge, and every thread would load it at its start. */
const readPfx = async (file: string, passphrase: string) => (await import('./pkcs12.ts')).readPkcs12(file, passphrase)
