/**
 * The values of our own cookies. They say which backend, since when, and when they were last renewed, and are signed:
 * nobody else can make one, and what they say of the backend is a number that means nothing without the key.
 *
 * base64url of: 8 bytes for the backend, 4 for the time of issue and 4 for that of renewal (seconds), 16 of a MAC.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Backend } from '../pool/index.ts'
import { identityOf } from './identity.ts'

const TAG_BYTES = 8
const MAC_AT = TAG_BYTES + 8
const BYTES = MAC_AT + 16
const TEXT = /^[A-Za-z0-9_-]{43}$/
const KNOWN = 4096 // tokens that need not be verified again, twice as many at most: 1 MiB a thread

export interface Token {
  /** undefined: it is gone. */
  readonly backend: Backend | undefined
  /** Seconds since the epoch. */
  readonly issued: number
  readonly renewed: number
}

export class Tokens {
  readonly #key: Uint8Array
  readonly #scope: string
  readonly #tags = new Map<Backend, Buffer>()
  readonly #backends = new Map<string, Backend>()
  /** Tokens that were found to be ours: the present generation, and the one before. */
  #known = new Map<string, Token>()
  #before = new Map<string, Token>()

  /** @param scope who honours the tokens: a service, or a group of them, and the cookie's name */
  constructor(key: Uint8Array, scope: string, backends: readonly Backend[], grouped: boolean) {
    this.#key = key
    this.#scope = scope
    for (const backend of backends) {
      const tag = this.#mac('backend', Buffer.from(identityOf(backend, grouped)), TAG_BYTES)
      this.#tags.set(backend, tag)
      this.#backends.set(tag.toString('latin1'), backend)
    }
  }

  /** What a token says; null: it is not one of ours. How old it may be is another's business. */
  read(text: string): Token | null {
    const known = this.#known.get(text) ?? this.#before.get(text)
    if (known !== undefined) return known
    const token = this.#verify(text)
    if (token === null) return null // what strangers make up must not push out what is ours
    if (this.#known.size >= KNOWN) {
      this.#before = this.#known
      this.#known = new Map()
    }
    this.#known.set(text, token)
    return token
  }

  #verify(text: string): Token | null {
    if (!TEXT.test(text)) return null
    const bytes = Buffer.from(text, 'base64url')
    if (bytes.length !== BYTES || bytes.toString('base64url') !== text) return null
    const said = bytes.subarray(0, MAC_AT)
    if (!timingSafeEqual(this.#mac('token', said, BYTES - MAC_AT), bytes.subarray(MAC_AT))) return null
    return {
      backend: this.#backends.get(bytes.latin1Slice(0, TAG_BYTES)),
      issued: bytes.readUInt32BE(TAG_BYTES),
      renewed: bytes.readUInt32BE(TAG_BYTES + 4),
    }
  }

  make(backend: Backend, issued: number, renewed: number): string {
    const bytes = Buffer.alloc(BYTES)
    this.#tags.get(backend)?.copy(bytes)
    bytes.writeUInt32BE(issued >>> 0, TAG_BYTES)
    bytes.writeUInt32BE(renewed >>> 0, TAG_BYTES + 4)
    this.#mac('token', bytes.subarray(0, MAC_AT), BYTES - MAC_AT).copy(bytes, MAC_AT)
    return bytes.toString('base64url')
  }

  #mac(what: 'backend' | 'token', bytes: Uint8Array, size: number): Buffer {
    const hmac = createHmac('sha256', this.#key).update(`${what}\0${this.#scope}\0`)
    return hmac.update(bytes).digest().subarray(0, size)
  }
}
