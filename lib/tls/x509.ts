/** Writes certificates and signing requests by hand (RFC 5280, RFC 2986), with keys of any type: node can't, node-forge RSA alone. */
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { addressBytes } from '../core/index.ts'
import { context, der, TAG } from './der.ts'

export interface Extension {
  /** Of its identifier, the content in DER. */
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

/** How a key signs: identifier of the algorithm with its parameters, and node's name of the digest. */
const SIGNATURES: ReadonlyMap<string, { readonly algorithm: Buffer; readonly digest: string }> = new Map([
  ['rsa', { algorithm: der(TAG.sequence, oid('2a864886f70d01010b'), der(TAG.null)), digest: 'sha256' }],
  ['ec', { algorithm: der(TAG.sequence, oid('2a8648ce3d040302')), digest: 'sha256' }],
])

const OID = {
  commonName: '550403',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  keyUsage: '551d0f',
  extKeyUsage: '551d25',
  extensionRequest: '2a864886f70d01090e',
  serverAuth: '2b06010505070301',
} as const

const VERSION_3 = Buffer.from([2]) // RFC 5280 §4.1.2.1
const VERSION_1 = Buffer.from([0]) // RFC 2986 §4.1
const UTF8_STRING = 12
const SET = 49
const BOOLEAN = 1
const ATTRIBUTES = 0 // the tag's number in a request
const DNS_NAME = 0x82 // RFC 5280 §4.2.1.6, context tags
const IP_ADDRESS = 0x87
const MAX_COMMON_NAME = 64 // its upper bound in RFC 5280
const SKEW_MS = 3_600_000 // a client whose clock is an hour late still accepts

function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'))
}

/** DNS names and IP addresses alike. */
export function subjectAltName(hosts: readonly string[], critical = false): Extension {
  const names = hosts.map((host) =>
    isIP(host) === 0
      ? der(DNS_NAME, Buffer.from(host, 'latin1'))
      : der(IP_ADDRESS, addressBytes(host) ?? Buffer.alloc(0)),
  )
  return { oid: OID.subjectAltName, critical, value: der(TAG.sequence, ...names) }
}

/** A PKCS#10 request in DER for all `hosts`. Authorities of today look at the names alone; the subject has the first that fits. */
export function signingRequest(key: KeyObject, hosts: readonly string[]): Buffer {
  const wanted = der(TAG.sequence, extension(subjectAltName(hosts)))
  const attribute = der(TAG.sequence, oid(OID.extensionRequest), der(SET, wanted))
  const subject = nameOf(hosts.find((host) => host.length <= MAX_COMMON_NAME) ?? '')
  return signed(
    key,
    der(TAG.sequence, der(TAG.integer, VERSION_1), subject, publicKey(key), der(context(ATTRIBUTES), attribute)),
  )
}

export interface SelfSigned {
  readonly key: KeyObject
  readonly hosts: readonly string[]
  readonly commonName: string
  /** How long it is valid from now on. */
  readonly lifeMs: number
  /** Beside those that every server's certificate has. */
  readonly extensions?: readonly Extension[]
}

/** A server's certificate that is its own issuer, in DER. */
export function selfSigned({ key, hosts, commonName, lifeMs, extensions = [] }: SelfSigned): Buffer {
  const { algorithm } = signatureOf(key)
  const name = nameOf(commonName)
  const now = Date.now()
  const all = [
    { oid: OID.basicConstraints, critical: true, value: der(TAG.sequence) },
    { oid: OID.keyUsage, critical: true, value: der(TAG.bits, Buffer.from([5, 0xa0])) }, // digitalSignature, keyEncipherment
    { oid: OID.extKeyUsage, critical: false, value: der(TAG.sequence, oid(OID.serverAuth)) },
    subjectAltName(hosts),
    ...extensions,
  ]
  return signed(
    key,
    der(
      TAG.sequence,
      der(context(0), der(TAG.integer, VERSION_3)),
      der(TAG.integer, newSerial()),
      algorithm,
      name,
      der(TAG.sequence, time(now - SKEW_MS), time(now + lifeMs)),
      name,
      publicKey(key),
      der(context(3), der(TAG.sequence, ...all.map(extension))),
    ),
  )
}

/** `-----BEGIN …-----` around it, in lines of 64. */
export function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** SHA-256 of the public key. */
export const keyDigest = (key: KeyObject): Buffer => createHash('sha256').update(publicKey(key)).digest()

function signatureOf(key: KeyObject): { algorithm: Buffer; digest: string } {
  const found = SIGNATURES.get(key.asymmetricKeyType ?? '')
  if (found === undefined) throw new Error(`keys of type ${key.asymmetricKeyType} are not signed with here`)
  return found
}

function signed(key: KeyObject, content: Buffer): Buffer {
  const { algorithm, digest } = signatureOf(key)
  return der(TAG.sequence, content, algorithm, der(TAG.bits, Buffer.of(0), sign(digest, content, key)))
}

const publicKey = (key: KeyObject): Buffer => createPublicKey(key).export({ type: 'spki', format: 'der' })

function nameOf(commonName: string): Buffer {
  if (commonName === '') return der(TAG.sequence)
  const attribute = der(TAG.sequence, oid(OID.commonName), der(UTF8_STRING, Buffer.from(commonName)))
  return der(TAG.sequence, der(SET, attribute))
}

function extension({ oid: id, critical, value }: Extension): Buffer {
  const flag = critical ? [der(BOOLEAN, Buffer.of(0xff))] : []
  return der(TAG.sequence, oid(id), ...flag, der(TAG.octets, value))
}

/** GeneralizedTime from 2050 on and UTCTime before (RFC 5280 §4.1.2.5). */
function time(at: number): Buffer {
  const digits = `${new Date(at).toISOString().replace(/\D/g, '').slice(0, 14)}Z`
  const late = Number(digits.slice(0, 4)) >= 2050
  return late ? der(TAG.time, Buffer.from(digits)) : der(TAG.utcTime, Buffer.from(digits.slice(2)))
}

/** 16 random bytes; the first bits are 01, so the number is positive and its DER form has no leading zero. */
function newSerial(): Buffer {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes
}
