/** Makes RSA certificates with node-forge, which writes them well; what it made is verified by node:crypto only. */
import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import forge from 'node-forge'
import { keyPem, makeKey } from './keys.ts'

export interface Signed {
  readonly cert: string
  readonly key: string
}

const DAY_MS = 86_400_000
const SKEW_MS = 3_600_000 // a client whose clock is an hour late still accepts
const SAN_DNS = 2 // RFC 5280 §4.2.1.6
const SAN_IP = 7

export async function makeAuthority(commonName: string, days: number): Promise<Signed> {
  const key = keyPem(await makeKey('rsa'))
  const cert = newCertificate(key, days)
  const subject = subjectOf(commonName)
  cert.setSubject(subject)
  cert.setIssuer(subject)
  cert.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ])
  cert.sign(forge.pki.privateKeyFromPem(key), forge.md.sha256.create())
  return { cert: pemOf(cert), key }
}

/** A server certificate for `hosts`, DNS names and IP addresses alike. The answer's `cert` is the leaf alone. */
export async function makeLeaf(authority: Signed, hosts: readonly string[], days: number): Promise<Signed> {
  const issuer = forge.pki.certificateFromPem(authority.cert)
  const key = keyPem(await makeKey('rsa'))
  const cert = newCertificate(key, days)
  cert.setSubject(subjectOf('evenkeel development'))
  cert.setIssuer(issuer.subject.attributes)
  cert.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    {
      name: 'subjectAltName',
      altNames: hosts.map((host) => (isIP(host) === 0 ? { type: SAN_DNS, value: host } : { type: SAN_IP, ip: host })),
    },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ])
  cert.sign(forge.pki.privateKeyFromPem(authority.key), forge.md.sha256.create())
  return { cert: pemOf(cert), key }
}

// forge ends lines with CRLF
const pemOf = (cert: forge.pki.Certificate): string => forge.pki.certificateToPem(cert).replaceAll('\r\n', '\n')

const subjectOf = (commonName: string): forge.pki.CertificateField[] => [
  { name: 'organizationName', value: 'evenkeel' },
  { name: 'commonName', value: commonName },
]

function newCertificate(key: string, days: number): forge.pki.Certificate {
  const cert = forge.pki.createCertificate()
  const { n, e } = forge.pki.privateKeyFromPem(key)
  cert.publicKey = forge.pki.setRsaPublicKey(n, e)
  cert.serialNumber = newSerial()
  cert.validity.notBefore = new Date(Date.now() - SKEW_MS)
  cert.validity.notAfter = new Date(Date.now() + days * DAY_MS)
  return cert
}

/** 16 random bytes; the first bits are 01, so the number is positive and its DER form has no leading zero. */
function newSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('hex')
}
