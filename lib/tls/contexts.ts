/** The secure contexts of one service in one data thread, found by the name that a client asks for. */
import { createServer, type SecureContext, type Server } from 'node:tls'
import type { ClientAuth } from './client-identity.ts'
import { createServerContext } from './context.ts'
import type { Credentials } from './credentials.ts'
import { NameTable } from './names.ts'
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
    this.single = !view.strictSni && view.credentials.length === this.#names.default.length
  }

  /** null: clients are not asked for a certificate. */
  get client(): ClientAuth | null {
    return this.#view.client
  }

  /** `name` in lower case, '' for none. null: the client is to be refused. */
  find(name: string): Served | null {
    const found = this.#names.find(name)
    if (found !== null) return this.#contextOf(found)
    return this.#view.strictSni ? null : this.#default
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

/** Node asks the server of a socket, which need not listen. */
const stapling = (staple: Buffer): Server =>
  createServer().on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, staple))
