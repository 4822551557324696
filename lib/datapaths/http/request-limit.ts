/** How many requests each client of a service may send: asks the table of clients that all threads share. */
import { type Clients, type Pace, paceOf, REFUSED, type ServiceCell, sharedTime, UNLIMITED } from '../../board/index.ts'
import type { ServiceConfig } from '../../config/index.ts'

export class RequestLimit {
  readonly #clients: Clients
  readonly #cell: ServiceCell
  readonly #pace: Pace

  constructor(
    clients: Clients,
    cell: ServiceCell,
    limit: { readonly rate: number; readonly burst?: number | undefined },
  ) {
    this.#clients = clients
    this.#cell = cell
    this.#pace = paceOf(limit.rate, limit.burst ?? Math.max(1, Math.round(limit.rate * 2)))
  }

  static of(limits: ServiceConfig['limits'], clients: Clients | null, cell: ServiceCell): RequestLimit | null {
    const limit = limits.requestsPerClient
    return clients === null || limit === undefined ? null : new RequestLimit(clients, cell, limit)
  }

  /** 0: the request may go on; else the whole seconds after which one may. `client`: the entry of the connection's ticket. */
  ask(client: number, now: number): number {
    return client === UNLIMITED ? 0 : Math.ceil(this.#clients.take(client, this.#pace, sharedTime(now)) / 1000)
  }

  /** The same for the client that a trusted proxy names. */
  askFor(address: string, now: number): number {
    const client = this.#clients.open(address, 0, sharedTime(now))
    if (client === UNLIMITED || client === REFUSED) {
      this.#cell.clientUnknown()
      return 0
    }
    const wait = this.ask(client, now)
    this.#clients.close(client)
    return wait
  }
}
