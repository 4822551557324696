/** What a client says in its ClientHello that it can speak and verify, and whether a certificate's key is sure to serve it. */
import { Cursor } from './records.ts'

const RANDOM_BYTES = 32
const TLS_1_3 = 0x0304
/** Extensions. */
const GROUPS = 10
const SIGNATURES = 13
const VERSIONS = 43

/** Numbers of the protocol. */
export interface Offer {
  readonly versions: readonly number[]
  readonly suites: readonly number[]
  readonly groups: readonly number[]
  readonly signatures: readonly number[]
}

/** @param hello a whole ClientHello; what is damaged in it offers nothing */
export function offerIn(hello: Buffer): Offer {
  const cursor = new Cursor(hello)
  cursor.bytes(2 + RANDOM_BYTES)
  cursor.vector(1) // session id
  const suites = numbersIn(cursor.vector(2))
  cursor.vector(1) // compression
  const lists = new Map<number, number[]>()
  const extensions = new Cursor(cursor.vector(2))
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const body = new Cursor(extensions.vector(2))
    if (type === VERSIONS) lists.set(type, numbersIn(body.vector(1)))
    else if (type === GROUPS || type === SIGNATURES) lists.set(type, numbersIn(body.vector(2)))
  }
  const of = (type: number): number[] => lists.get(type) ?? []
  return { suites, versions: of(VERSIONS), groups: of(GROUPS), signatures: of(SIGNATURES) }
}

function numbersIn(list: Buffer): number[] {
  const numbers: number[] = []
  for (let at = 0; at + 2 <= list.length; at += 2) numbers.push(list.readUInt16BE(at))
  return numbers
}

/** What a key of a kind needs of a client: RFC 8446 §4.2.3 and, for TLS 1.2, RFC 8422 §5.1. */
interface Needs {
  /** One of these signatures in TLS 1.3, and in TLS 1.2. */
  readonly modern: readonly number[]
  readonly older: readonly number[]
  /** The group of the key, in TLS 1.2; null: it has none. */
  readonly group: number | null
  /** Suites of TLS 1.2 for it. */
  readonly suites: readonly string[]
}

const SUITES_13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']
const suitesWith = (key: string): string[] =>
  ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305'].map((rest) => `ECDHE-${key}-${rest}`)
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...SUITES_13.map((name, i): [string, number] => [name, 0x1301 + i]),
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 0xc02b],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 0xc02c],
  ['ECDHE-RSA-AES128-GCM-SHA256', 0xc02f],
  ['ECDHE-RSA-AES256-GCM-SHA384', 0xc030],
  ['ECDHE-RSA-CHACHA20-POLY1305', 0xcca8],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 0xcca9],
])

const ecdsa = (signature: number, group: number): Needs => ({
  modern: [signature],
  older: [signature],
  group,
  suites: suitesWith('ECDSA'),
})
/** By type of key and its curve. */
const NEEDS: ReadonlyMap<string, Needs> = new Map([
  ['ec prime256v1', ecdsa(0x0403, 23)],
  ['ec secp384r1', ecdsa(0x0503, 24)],
  [
    'rsa',
    { modern: [0x0804, 0x0805, 0x0806], older: [0x0401, 0x0501, 0x0601], group: null, suites: suitesWith('RSA') },
  ],
])

/**
 * Does a handshake with this client end well when there is only a certificate with this key? False: that is not known.
 * @param kind `rsa`, or `ec` and the name of its curve
 * @param ciphers our suites in OpenSSL's names, with colons
 */
export function serves(kind: string, ciphers: string, { versions, suites, groups, signatures }: Offer): boolean {
  const needs = NEEDS.get(kind)
  if (needs === undefined) return false
  const ours = ciphers.split(':')
  const shares = (names: readonly string[]): boolean =>
    names.some((name) => ours.includes(name) && suites.includes(NUMBERS.get(name) ?? -1))
  const signs = (among: readonly number[]): boolean => among.some((each) => signatures.includes(each))
  if (versions.includes(TLS_1_3) && shares(SUITES_13)) return signs(needs.modern)
  return shares(needs.suites) && signs(needs.older) && (needs.group === null || groups.includes(needs.group))
}
