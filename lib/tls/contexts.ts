/** The secure contexts of one service in one data thread, found by the name that a client asks for. */
import { createPublicKey } from 'node:crypto'
import { createServer, type SecureContext, type Server } from 'node:tls'
import type { ClientAuth } from './client-identity.ts'
import { createServerContext } from './context.ts'
import type { Credentials } from './credentials.ts'
import { NameTable } from './names.ts'
import { type Offer, serves } from './offer.ts'
import type { TicketRing } from './tickets.ts'
import type { TlsView } from './view.ts'

/** A context, and what answers clients that ask whether the certificate is revoked; null: nobody does. */
export interface Served {
  readonly context: SecureContext
  readonly stapling: Server | null
}

export class ServerContexts {
  /** Every client gets the same: nobody need look at what it asks for. */
  readonly single: boolean
  /** Of certificates with one name the one that a client will see has to be known before: its OCSP answer goes with it. */
  readonly #choosing: boolean
  readonly #view: TlsView
  readonly #tickets: TicketRing | null
  readonly #names: NameTable
  readonly #default: Served
  /** By the indexes of their certificates. Made when they are first asked for: a service may have hundreds. */
  readonly #contexts = new Map<string, Served>()

  /** Throws what OpenSSL says of the default certificate. */
  constructor(view: TlsView, tickets: TicketRing) {
    this.#view = view
    this.#tickets = view.tickets ? tickets : null
    this.#names = new NameTable(view.credentials)
    this.#default = this.#contextOf(this.#names.default)
    this.#choosing = view.credentials.length > 1 && view.staples.some((staple) => staple !== null)
    this.single = !view.strictSni && view.credentials.length === this.#names.default.length && !this.#choosing
  }

  /** null: clients are not asked for a certificate. */
  get client(): ClientAuth | null {
    return this.#view.client
  }

  /**
   * @param name in lower case, '' for none
   * @param offer null: what the client can verify is not known
   * @returns null: the client is to be refused
   */
  find(name: string, offer: Offer | null): Served | null {
    const found = this.#names.find(name)
    if (found === null && this.#view.strictSni) return null
    if (!this.#choosing || offer === null) return found === null ? this.#default : this.#contextOf(found)
    return this.#contextOf(this.#chosen(found ?? this.#names.default, offer))
  }

  /** One that is sure to serve the client, the smaller keys first; all of them where none is. */
  #chosen(indexes: readonly number[], offer: Offer): readonly number[] {
    if (indexes.length === 1) return indexes
    const { credentials, protocol } = this.#view
    for (const kind of ['ec', 'rsa'])
      for (const i of indexes) {
        const each = credentials[i] as Credentials
        if (each.keyType === kind && serves(kindOf(each), protocol.ciphers, offer)) return [i]
      }
    return indexes
  }

  #contextOf(indexes: readonly number[]): Served {
    const key = indexes.join()
    let served = this.#contexts.get(key)
    if (served === undefined) {
      const { credentials, protocol, scope, client } = this.#view
      const pairs = indexes.map((i) => credentials[i] as Credentials)
      const context = createServerContext(pairs, { protocol, tickets: this.#tickets, scope, client })
      const staple = indexes.length === 1 ? this.#view.staples[indexes[0] ?? 0] : null
      served = { context, stapling: staple ? stapling(Buffer.from(staple)) : null }
      this.#contexts.set(key, served)
    }
    return served
  }
}

const kinds = new WeakMap<Credentials, string>()

/** The type of a key, with the curve where it has one. */
function kindOf(credentials: Credentials): string {
  let kind = kinds.get(credentials)
  if (kind === undefined) {
    const { asymmetricKeyType = '', asymmetricKeyDetails } = createPublicKey(credentials.cert)
    kind = `${asymmetricKeyType} ${asymmetricKeyDetails?.namedCurve ?? ''}`.trim()
    kinds.set(credentials, kind)
  }
  return kind
}

/** Node asks the server of a socket, which need not listen. */
const stapling = (staple: Buffer): Server =>
  createServer().on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, staple))
