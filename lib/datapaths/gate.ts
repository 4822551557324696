/** Decides whether a listener takes one more connection, and counts it from its accept to its end. */

import {
  type Board,
  type Clients,
  type ListenerCell,
  OVERLOADS,
  REFUSED,
  type ServiceCell,
  sharedTime,
  UNLIMITED,
} from '../board/index.ts'
import type { ServiceConfig } from '../config/index.ts'
import { nowMs } from '../core/index.ts'

const DESCRIPTORS = 1 << OVERLOADS.indexOf('descriptors')

/** Why a connection is not taken: the service or the client has as many as it may, or something is short. */
export type Denial = 'service' | 'client' | 'overload' | 'descriptors'

/** A connection that was taken. */
export interface Ticket {
  /** The client's entry in the table of clients; UNLIMITED: it has none. */
  readonly client: number
  /** The connection has ended. */
  end(): void
}

interface Peer {
  readonly remoteAddress?: string | undefined
}

export interface GateOptions {
  readonly board: Board
  /** Whether the thread can keep up. */
  readonly load: { readonly shedding: boolean }
  readonly listenerCell: ListenerCell
  readonly serviceCell: ServiceCell
  readonly limits: ServiceConfig['limits']
  /** null: no client is limited. */
  readonly clients: Clients | null
  /** Peers that stand for many clients. */
  trusts(address: string): boolean
}

export class Gate {
  readonly #options: GateOptions
  readonly #connections: number
  readonly #perListener: number
  /** The ticket of all whose client is not counted. */
  readonly #anybody: Ticket

  constructor(options: GateOptions) {
    const { limits, listenerCell, serviceCell } = options
    this.#options = options
    this.#connections = limits.connections || Number.POSITIVE_INFINITY
    this.#perListener = limits.connectionsPerListener || Number.POSITIVE_INFINITY
    this.#anybody = {
      client: UNLIMITED,
      end: () => {
        listenerCell.end()
        serviceCell.end()
      },
    }
  }

  /** Why nobody is let in for now; null: they are. */
  get shut(): 'overload' | 'descriptors' | null {
    const { board, load } = this.#options
    const { overload } = board
    if (overload === 0) return load.shedding ? 'overload' : null
    return (overload & DESCRIPTORS) === 0 ? 'overload' : 'descriptors'
  }

  admit(peer: Peer): Ticket | Denial {
    const { serviceCell, listenerCell, clients, limits, trusts } = this.#options
    // Counted first and looked at then: two threads never take the last place both.
    if (serviceCell.begin() >= this.#connections) {
      serviceCell.end()
      return 'service'
    }
    if (listenerCell.begin() >= this.#perListener) {
      this.#anybody.end()
      return 'service'
    }
    if (clients === null) return this.#anybody
    const address = peer.remoteAddress ?? ''
    if (trusts(address)) return this.#anybody
    const client = clients.open(address, limits.connectionsPerClient, sharedTime(nowMs()))
    if (client === REFUSED) {
      this.#anybody.end()
      return 'client'
    }
    if (client !== UNLIMITED) return new ClientTicket(this.#anybody, clients, client)
    serviceCell.clientUnknown()
    return this.#anybody
  }

  /** Counts one that was not taken. */
  denied(why: Denial): void {
    this.#options.serviceCell.error(why === 'overload' || why === 'descriptors' ? 'overload' : 'limit-connections')
  }
}

class ClientTicket implements Ticket {
  readonly client: number
  readonly #anybody: Ticket
  readonly #clients: Clients

  constructor(anybody: Ticket, clients: Clients, client: number) {
    this.client = client
    this.#anybody = anybody
    this.#clients = clients
  }

  end(): void {
    this.#clients.close(this.client)
    this.#anybody.end()
  }
}
