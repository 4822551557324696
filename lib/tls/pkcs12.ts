/** Reads a certificate chain with its key out of a PKCS#12 file: the one thing beside making certificates that node-forge does. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import forge from 'node-forge'
import { messageOf } from '../core/index.ts'
import { readWhole, refuse } from './pem.ts'

export interface Parts {
  /** Leaf first. */
  readonly chain: X509Certificate[]
  readonly key: KeyObject
}

const MAX_ITERATIONS = 2_000_000 // of the key derivation: a file that asks for more would hold this thread up for seconds

/**
 * Node can serve such a file but not take it apart, and it refuses those of older programs (RC2, 3DES). So node checks the
 * ones that it knows, forge takes all of them apart, and what comes out of it is verified like PEM.
 */
export async function readPkcs12(file: string, passphrase: string): Promise<Parts> {
  const bytes = await readWhole(file, 'PKCS#12', 'PKCS#12')
  if (bytes[0] !== 0x30) throw refuse(`${file} is not PKCS#12; if it is PEM, name it as cert and key`)
  const known = knownToNode(file, bytes, passphrase)
  try {
    return partsOf(file, open(bytes, passphrase))
  } catch (error) {
    const why = messageOf(error)
    if (!known && /password|MAC could not be verified/i.test(why)) throw wrongPassphrase(file, error)
    throw refuse(`PKCS#12 file ${file} can't be used: ${why}; write it as PEM with openssl pkcs12 -in ${file}`, error)
  }
}

const wrongPassphrase = (file: string, cause: unknown) =>
  refuse(`the passphrase of ${file} is wrong, or the file is damaged`, cause)

/** False: node does not know how the file is encrypted. */
function knownToNode(file: string, pfx: Buffer, passphrase: string): boolean {
  try {
    createSecureContext({ pfx, passphrase })
    return true
  } catch (error) {
    if (/mac verify failure/i.test(messageOf(error))) throw wrongPassphrase(file, error)
    return false
  }
}

function open(bytes: Buffer, passphrase: string): forge.pkcs12.Pkcs12Pfx {
  const asn1 = forge.asn1.fromDer(forge.util.createBuffer(bytes.toString('latin1'), 'raw'))
  if (mostIterations(asn1) > MAX_ITERATIONS) throw new Error(`it asks for more than ${MAX_ITERATIONS} iterations`)
  return forge.pkcs12.pkcs12FromAsn1(asn1, false, passphrase)
}

/** The MAC's iterations are what forge counts in JavaScript; the other derivations are node's. */
function mostIterations(asn1: forge.asn1.Asn1): number {
  const mac = Array.isArray(asn1.value) ? asn1.value[2] : undefined
  const count = Array.isArray(mac?.value) ? mac.value[2] : undefined
  return typeof count?.value === 'string' ? Number.parseInt(forge.util.bytesToHex(count.value) || '0', 16) : 1
}

function partsOf(file: string, pfx: forge.pkcs12.Pkcs12Pfx): Parts {
  const { certBag, pkcs8ShroudedKeyBag, keyBag } = forge.pki.oids
  const bagsOf = (type: string | undefined): forge.pkcs12.Bag[] =>
    type === undefined ? [] : (pfx.getBags({ bagType: type })[type] ?? [])
  const [keyFound] = [...bagsOf(pkcs8ShroudedKeyBag), ...bagsOf(keyBag)]
  if (keyFound === undefined) throw refuse(`PKCS#12 file ${file} holds no private key`)
  const key = createPrivateKey({ key: keyDer(keyFound), format: 'der', type: 'pkcs8' })
  const certificates = bagsOf(certBag).map((bag) => new X509Certificate(certificateDer(bag)))
  const leaf = certificates.find((certificate) => certificate.checkPrivateKey(key))
  if (leaf === undefined) throw refuse(`PKCS#12 file ${file} holds no certificate for its key`)
  return { chain: inOrder(leaf, certificates), key }
}

const derOf = (asn1: forge.asn1.Asn1): Buffer => Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1')

/** Keys and certificates that forge can't read, such as those of elliptic curves, are left as they are. */
function keyDer({ key, asn1 }: forge.pkcs12.Bag): Buffer {
  if (!key) return derOf(asn1)
  return derOf(forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(key)))
}

const certificateDer = ({ cert, asn1 }: forge.pkcs12.Bag): Buffer =>
  derOf(cert ? forge.pki.certificateToAsn1(cert) : asn1)

/** Their order in the file says nothing. Those that did not issue any are left out. */
function inOrder(leaf: X509Certificate, others: readonly X509Certificate[]): X509Certificate[] {
  const chain = [leaf]
  let last = leaf
  for (;;) {
    const issuer = others.find((each) => !chain.includes(each) && last.checkIssued(each))
    if (issuer === undefined) return chain
    chain.push(issuer)
    last = issuer
  }
}
