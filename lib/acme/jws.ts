/** JSON Web Signatures as RFC 8555 §6.2 wants them: flattened, ES256 by the account's key. */
import { createHash, createHmac, createPublicKey, type KeyObject, sign } from 'node:crypto'

export interface Jwk {
  readonly crv: string
  readonly kty: string
  readonly x: string
  readonly y: string
}

export interface Jws {
  readonly protected: string
  readonly payload: string
  readonly signature: string
}

const json = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The public half of a P-256 key, its members in the order that the thumbprint wants. */
export function jwkOf(key: KeyObject): Jwk {
  const { crv = '', kty = '', x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' })
  return { crv, kty, x, y }
}

/** RFC 7638. */
export const thumbprint = (key: KeyObject): string =>
  createHash('sha256')
    .update(JSON.stringify(jwkOf(key)))
    .digest('base64url')

export interface Signing {
  readonly key: KeyObject
  readonly url: string
  readonly nonce: string
  /** Of the account; null: it is told by its key. */
  readonly kid: string | null
}

/** @param payload null: a POST-as-GET */
export function signRequest({ key, url, nonce, kid }: Signing, payload: unknown): Jws {
  const who = kid === null ? { jwk: jwkOf(key) } : { kid }
  const head = json({ alg: 'ES256', nonce, url, ...who })
  const body = payload === null ? '' : json(payload)
  const signature = sign('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' })
  return { protected: head, payload: body, signature: signature.toString('base64url') }
}

/** An account that the authority knows from elsewhere (RFC 8555 §7.3.4). @param secret in base64url */
export function bindAccount(key: KeyObject, url: string, kid: string, secret: string): Jws {
  const head = json({ alg: 'HS256', kid, url })
  const body = json(jwkOf(key))
  const mac = createHmac('sha256', Buffer.from(secret, 'base64url')).update(`${head}.${body}`)
  return { protected: head, payload: body, signature: mac.digest('base64url') }
}
