/** Keys of session tickets in a data thread: the same in every thread, apart for every scope, the last ones still accepted. */
import { hkdfSync, randomBytes } from 'node:crypto'
import type { SecureContext } from 'node:tls'

/** What all threads of an appliance, and all appliances with one key file, have in common. Plain data. */
export interface TicketSecrets {
  /** Tickets under any of them are accepted. */
  readonly secrets: readonly Uint8Array[]
  /** Which of them new tickets are made with. */
  readonly current: number
}

export const SECRET_BYTES = 32
const PART = 16 // bytes of a key's name, of its HMAC key and of its AES key

export const newSecret = (): Uint8Array => randomBytes(SECRET_BYTES)

interface TicketKey {
  readonly name: Buffer
  readonly hmac: Buffer
  readonly aes: Buffer
}

/** Changes with each rotation; contexts that were made before follow. */
export class TicketRing {
  #secrets: TicketSecrets
  /** Rises with each change. */
  version = 0

  constructor(secrets: TicketSecrets) {
    this.#secrets = secrets
  }

  replace(secrets: TicketSecrets): void {
    this.#secrets = secrets
    this.version++
  }

  /** The current key first. Nobody with those of one scope gets at another's. */
  keysFor(scope: string): TicketKey[] {
    const { secrets, current } = this.#secrets
    const keys = secrets.map((secret) => {
      const bytes = Buffer.from(hkdfSync('sha256', secret, '', `evenkeel ticket\0${scope}`, 3 * PART))
      return { name: bytes.subarray(0, PART), hmac: bytes.subarray(PART, 2 * PART), aes: bytes.subarray(2 * PART) }
    })
    const [first] = keys.splice(current, 1)
    return first === undefined ? keys : [first, ...keys]
  }
}

/** 1: the key is there. 2: it is, and the client gets a new ticket. 0: it is not known: a full handshake. */
type TicketAnswer = readonly [code: 0 | 1 | 2, hmac: Buffer, aes: Buffer, name: Buffer, iv: Buffer]

/** The part of node's context that its types leave out: it is not documented, and tested for before use. */
interface TicketCallbacks {
  enableTicketKeyCallback?(): void
  onticketkeycallback?: (name: Buffer, iv: Buffer, making: boolean) => TicketAnswer
}

const NONE = Buffer.alloc(PART)

/** Without node's callback the context keeps the keys of this moment. */
export function useTickets(context: SecureContext, ring: TicketRing, scope: string): void {
  const inner = context.context as TicketCallbacks & { setTicketKeys(keys: Buffer): void }
  let keys = ring.keysFor(scope)
  let { version } = ring
  if (inner.enableTicketKeyCallback === undefined) {
    const [key] = keys
    if (key !== undefined) inner.setTicketKeys(Buffer.concat([key.name, key.hmac, key.aes]))
    return
  }
  inner.enableTicketKeyCallback()
  inner.onticketkeycallback = (name, _iv, making) => {
    if (ring.version !== version) {
      keys = ring.keysFor(scope)
      version = ring.version
    }
    const index = making ? 0 : keys.findIndex((key) => key.name.equals(name))
    const key = keys[index]
    if (key === undefined) return [0, NONE, NONE, NONE, NONE]
    return [index === 0 ? 1 : 2, key.hmac, key.aes, key.name, making ? randomBytes(PART) : NONE]
  }
}
