/** Makes private keys, by OpenSSL in its own thread: forge's generator in JavaScript blocks for a second or more. */
import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

/** `ec`: P-256. `rsa`: 2048 bits. */
export const KEY_TYPES = ['ec', 'rsa', 'rsa4096'] as const
export type KeyType = (typeof KEY_TYPES)[number]

const generate = promisify(generateKeyPair)

export async function makeKey(type: KeyType): Promise<KeyObject> {
  if (type === 'ec') return (await generate('ec', { namedCurve: 'P-256' })).privateKey
  return (await generate('rsa', { modulusLength: type === 'rsa' ? 2048 : 4096 })).privateKey
}

/** PKCS#8, in the clear. */
export const keyPem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()
