/** Reads a certificate chain with its private key from PEM files, or says in one sentence why they can't be used. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { isIPv6, SocketAddress } from 'node:net'
import { BalancerError, codeOf, messageOf } from '../core/index.ts'
import { createServerContext } from './context.ts'

/** Plain data: it is posted to the data threads. */
export interface Credentials {
  /** The chain in PEM, leaf first, and nothing else. */
  readonly cert: string
  /** The private key in PEM. */
  readonly key: string
  /** DNS names and IP addresses that the leaf covers. */
  readonly names: string[]
  /** End of the leaf's validity in wall-clock milliseconds. */
  readonly notAfter: number
  readonly issuer: string
  readonly fingerprint256: string
  /** Sentences for the log: what works but should be mended. */
  readonly warnings: string[]
}

interface Block {
  readonly label: string
  readonly text: string
}

const MAX_FILE_BYTES = 1024 * 1024 // a chain with keys is some 10 KiB
const DER_SEQUENCE = 0x30 // first byte of DER and of PKCS#12

const refuse = (message: string, cause?: unknown): BalancerError =>
  new BalancerError('TLS_CERTIFICATE', message, cause === undefined ? {} : { cause })

/** Both files are checked as a pair; a certificate out of its time is a warning, because a reload must not fail on it. */
export async function loadCredentials(files: { cert: string; key: string }): Promise<Credentials> {
  const certBlocks = await readBlocks(files.cert, 'certificate')
  const keyBlocks = await readBlocks(files.key, 'key')
  if (isKeyOnly(certBlocks) && certificatesIn(keyBlocks).length > 0 && !keyBlocks.some(isPrivateKey))
    throw refuse(`cert and key are swapped: ${files.cert} holds the key and ${files.key} the certificate`)
  const chain = readChain(files.cert, certBlocks)
  const [leaf] = chain
  if (leaf === undefined) throw refuse(noCertificate(files.cert, certBlocks))
  const key = readKey(files.key, keyBlocks)
  checkPair(files, chain, key.object)
  const warnings = [...checkOrder(files.cert, chain), ...checkTimes(files.cert, chain), ...key.warnings]
  const names = namesOf(leaf)
  if (names.length === 0)
    warnings.push(`${files.cert}: the certificate has no subject alternative name, so clients will not accept it`)
  const credentials: Credentials = {
    cert: chain.map((certificate) => certificate.toString()).join(''),
    key: key.pem,
    names,
    notAfter: leaf.validToDate.getTime(),
    issuer: oneLine(leaf.issuer),
    fingerprint256: leaf.fingerprint256,
    warnings,
  }
  try {
    createServerContext(credentials)
  } catch (error) {
    throw refuse(`${files.cert} with ${files.key} is refused by OpenSSL: ${messageOf(error)}`, error)
  }
  return credentials
}

async function readBlocks(file: string, what: string): Promise<Block[]> {
  const bytes = await readWhole(file, what)
  const text = bytes.toString('latin1')
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^-]*(?:-[^-]+)*-----END \1-----/g)]
  if (blocks.length < text.split('-----BEGIN ').length - 1)
    throw refuse(`${what} file ${file} is cut off: a PEM block begins and does not end; copy the file again`)
  if (blocks.length > 0) return blocks.map(([block, label = '']) => ({ label, text: `${block}\n` }))
  if (bytes.length === 0) throw refuse(`${what} file ${file} is empty; it should be PEM text`)
  if (bytes[0] === DER_SEQUENCE)
    throw refuse(
      `${what} file ${file} is binary (DER or PKCS#12), not PEM; convert it with openssl ${what === 'key' ? 'pkey' : 'x509'} -inform der, or openssl pkcs12`,
    )
  throw refuse(`${what} file ${file} is not PEM; it should hold a block that starts with -----BEGIN`)
}

async function readWhole(file: string, what: string): Promise<Buffer> {
  try {
    const facts = await stat(file)
    if (!facts.isFile()) throw refuse(`${what} file ${file} is not a file but a folder or device; name a PEM file`)
    if (facts.size > MAX_FILE_BYTES)
      throw refuse(`${what} file ${file} has ${facts.size} bytes; a PEM file has at most ${MAX_FILE_BYTES}`)
    return await readFile(file)
  } catch (error) {
    if (error instanceof BalancerError) throw error
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw refuse(`${what} file ${file} does not exist; put the PEM file there or correct the path`, error)
    if (code === 'EACCES' || code === 'EPERM')
      throw refuse(`${what} file ${file} may not be read by this user; grant it read access`, error)
    throw refuse(`${what} file ${file} can't be read: ${messageOf(error)}`, error)
  }
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

function readKey(file: string, blocks: Block[]): { pem: string; object: KeyObject; warnings: string[] } {
  const [block, another] = blocks.filter(isPrivateKey)
  if (block === undefined)
    throw refuse(
      `key file ${file} holds ${blocks[0]?.label.toLowerCase()} and no private key; name the file with BEGIN PRIVATE KEY`,
    )
  if (block.label.startsWith('ENCRYPTED') || /^Proc-Type:.*ENCRYPTED/m.test(block.text))
    throw refuse(`the key in ${file} is encrypted; write it without a passphrase: openssl pkey -in ${file} -out FILE`)
  const warnings = another === undefined ? [] : [`${file} holds several private keys; the first one is used`]
  try {
    return { pem: block.text, object: createPrivateKey(block.text), warnings }
  } catch (error) {
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
function checkOrder(file: string, chain: X509Certificate[]): string[] {
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

function checkTimes(file: string, chain: X509Certificate[]): string[] {
  const now = Date.now()
  const warnings: string[] = []
  for (const { validFromDate, validToDate, subject } of chain) {
    const name = `${file}: the certificate of ${oneLine(subject)}`
    if (validToDate.getTime() < now) warnings.push(`${name} expired at ${validToDate.toISOString()}; renew it`)
    if (validFromDate.getTime() > now)
      warnings.push(`${name} is not valid before ${validFromDate.toISOString()}; check the clock`)
  }
  return warnings
}

/** Node quotes a name that holds a comma or quote as a JSON string. Such a name matches no host: it is left out. */
function namesOf(leaf: X509Certificate): string[] {
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

const oneLine = (name: string | undefined): string => (name ?? '').replaceAll('\n', ', ')
