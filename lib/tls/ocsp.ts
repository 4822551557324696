/** OCSP (RFC 6960): what is asked of a responder, and whether its answer is to be believed. No input or output. */
import { createHash, verify, X509Certificate } from 'node:crypto'
import { context, DerReader, der, type Element, TAG, timeOf } from './der.ts'

export interface OcspAnswer {
  readonly status: 'good' | 'revoked' | 'unknown'
  /** Wall-clock milliseconds. */
  readonly thisUpdate: number
  readonly nextUpdate: number
}

const SHA1_OID = Buffer.from('2b0e03021a', 'hex')
const BASIC_OID = '2b0601050507300101'
const OCSP_SIGNING = '1.3.6.1.5.5.7.3.9'
const SKEW_MS = 300_000 // a responder's clock may be ahead by so much
const DEFAULT_LIFE_MS = 3_600_000 // of an answer that says nothing of when there is a newer one

/** Signature algorithms by their identifiers; RSA-PSS has parameters and is left out. */
const DIGESTS: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
])

const STATUSES: ReadonlyMap<number, OcspAnswer['status']> = new Map([
  [0x80, 'good'],
  [0xa1, 'revoked'],
  [0x82, 'unknown'],
])

const sha1 = (bytes: Uint8Array): Buffer => createHash('sha1').update(bytes).digest()

/** The fields of a certificate that node does not tell. */
function partsOf(certificate: X509Certificate): { serial: Buffer; issuer: Buffer; subject: Buffer; key: Buffer } {
  const fields = new DerReader(certificate.raw).inside().inside()
  if (fields.tag === context(0)) fields.next()
  const serial = fields.next(TAG.integer).whole
  fields.next(TAG.sequence)
  const issuer = fields.next(TAG.sequence).whole
  fields.next(TAG.sequence)
  const subject = fields.next(TAG.sequence).whole
  const info = fields.inside()
  info.next(TAG.sequence)
  return { serial, issuer, subject, key: info.next(TAG.bits).body.subarray(1) }
}

/** CertID with SHA-1, which every responder knows; nothing depends on its strength. */
function certId(leaf: X509Certificate, issuer: X509Certificate): Buffer {
  const { serial, issuer: name } = partsOf(leaf)
  const algorithm = der(TAG.sequence, der(TAG.oid, SHA1_OID), der(TAG.null))
  return der(TAG.sequence, algorithm, der(TAG.octets, sha1(name)), der(TAG.octets, sha1(partsOf(issuer).key)), serial)
}

export const ocspRequest = (leaf: X509Certificate, issuer: X509Certificate): Buffer =>
  der(TAG.sequence, der(TAG.sequence, der(TAG.sequence, der(TAG.sequence, certId(leaf, issuer)))))

/** Where to ask; null: the certificate names nobody, or only by https, which would have to be asked about itself. */
export function responderOf(leaf: X509Certificate): string | null {
  const url = /^OCSP - URI:(http:\/\/[^\s"]+)$/m.exec(leaf.infoAccess ?? '')?.[1]
  return url !== undefined && URL.canParse(url) ? url : null
}

/** @throws Error with a sentence for an answer that is not to be believed */
export function readOcsp(bytes: Buffer, leaf: X509Certificate, issuer: X509Certificate, now: number): OcspAnswer {
  const response = new DerReader(bytes).inside()
  const status = response.next(TAG.enumerated).body[0]
  if (status !== 0) throw new Error(`the responder refuses (${status})`)
  const wrapped = response.inside(context(0)).inside()
  if (wrapped.next(TAG.oid).body.toString('hex') !== BASIC_OID) throw new Error('the answer is of an unknown kind')
  const basic = new DerReader(wrapped.next(TAG.octets).body).inside()
  const data = basic.next(TAG.sequence)
  const digest = DIGESTS.get(basic.inside().next(TAG.oid).body.toString('hex'))
  if (digest === undefined) throw new Error('the answer is signed in an unknown way')
  const signature = basic.next(TAG.bits).body.subarray(1)
  const signers = basic.left ? certificatesIn(basic.inside(context(0)).inside()) : []
  const signer = [issuer, ...signers].find(
    (each) => maySign(each, issuer, now) && isSigned(each, digest, data, signature),
  )
  if (signer === undefined) throw new Error('the answer is not signed by the authority of the certificate')
  const answer = answerIn(data, certId(leaf, issuer))
  if (answer.thisUpdate > now + SKEW_MS) throw new Error('the answer is from the future')
  if (answer.nextUpdate <= now) throw new Error('the answer is out of date')
  return answer
}

function certificatesIn(list: DerReader): X509Certificate[] {
  const certificates: X509Certificate[] = []
  while (list.left && certificates.length < 8) certificates.push(new X509Certificate(list.next(TAG.sequence).whole))
  return certificates
}

/** The authority itself, or whom it has certified for this (RFC 6960 §4.2.2.2). */
function maySign(signer: X509Certificate, issuer: X509Certificate, now: number): boolean {
  if (signer.raw.equals(issuer.raw)) return true
  if (signer.validFromDate.getTime() > now || signer.validToDate.getTime() < now) return false
  if (!signer.checkIssued(issuer) || !signer.verify(issuer.publicKey)) return false
  return (signer.keyUsage ?? []).includes(OCSP_SIGNING)
}

function isSigned(signer: X509Certificate, digest: string, data: Element, signature: Buffer): boolean {
  try {
    return verify(digest, data.whole, signer.publicKey, signature)
  } catch {
    return false
  }
}

function answerIn(data: Element, id: Buffer): OcspAnswer {
  const fields = new DerReader(data.body)
  if (fields.tag === context(0)) fields.next()
  fields.next() // who answers: the signature tells
  fields.next(TAG.time)
  const answers = fields.inside()
  while (answers.left) {
    const one = answers.inside()
    const about = one.next(TAG.sequence)
    const status = one.next()
    const thisUpdate = timeOf(one.next(TAG.time).body)
    const nextUpdate =
      one.tag === context(0) ? timeOf(one.inside(context(0)).next(TAG.time).body) : thisUpdate + DEFAULT_LIFE_MS
    if (!sameId(about.body, id)) continue
    if (!(thisUpdate < nextUpdate)) throw new Error('the answer has no sound times')
    const word = STATUSES.get(status.tag)
    if (word === undefined) throw new Error('the answer has an unknown status')
    return { status: word, thisUpdate, nextUpdate }
  }
  throw new Error('the answer is about another certificate')
}

/** The algorithm's parameters may be there or not. */
function sameId(body: Buffer, id: Buffer): boolean {
  const [own, theirs] = [new DerReader(id).inside(), new DerReader(body)]
  const algorithm = theirs.inside().next(TAG.oid).body
  own.next()
  if (!algorithm.equals(SHA1_OID)) return false
  while (own.left) if (!theirs.left || !own.next().whole.equals(theirs.next().whole)) return false
  return true
}
