/** What an authority is to find, when it asks whether we have a name: http-01 (RFC 8555 §8.3) and tls-alpn-01 (RFC 8737). */
import { createHash, type KeyObject } from 'node:crypto'
import { type ChallengesView, keyPem, makeKey, pem, selfSigned } from '../tls/index.ts'
import { thumbprint } from './jws.ts'
import { AcmeFailure } from './problem.ts'

export const CHALLENGES = ['http-01', 'tls-alpn-01'] as const
export type ChallengeType = (typeof CHALLENGES)[number]

const TOKEN = /^[A-Za-z0-9_-]{22,512}$/ // base64url of 128 bits at least
const ACME_IDENTIFIER = '2b0601050507011f' // 1.3.6.1.5.5.7.1.31
const OCTET_STRING = 4
const LIFE_MS = 86_400_000 // longer than any order

/** @throws AcmeFailure for a token that would lead somewhere else than it should */
export async function prepareChallenge(
  type: ChallengeType,
  name: string,
  token: string,
  account: KeyObject,
): Promise<ChallengesView> {
  if (!TOKEN.test(token)) throw new AcmeFailure('the authority sent a token that is none')
  const answer = `${token}.${thumbprint(account)}`
  if (type === 'http-01') return { http: [[`/.well-known/acme-challenge/${token}`, answer]], alpn: [] }
  const key = await makeKey('ec')
  const proof = createHash('sha256').update(answer).digest()
  const value = Buffer.concat([Buffer.of(OCTET_STRING, proof.length), proof])
  const extensions = [{ oid: ACME_IDENTIFIER, critical: true, value }]
  const cert = selfSigned({ key, hosts: [name], commonName: 'evenkeel challenge', lifeMs: LIFE_MS, extensions })
  return { http: [], alpn: [{ name, cert: pem('CERTIFICATE', cert), key: keyPem(key) }] }
}
