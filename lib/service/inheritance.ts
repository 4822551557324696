/** What a process hands to the one that comes in its place, so that clients, backends and operators notice nothing. Plain data. */
import { closeSync } from 'node:fs'
import { factsOf, packBindings, type TableFacts, unpackBindings } from '../board/index.ts'
import { BalancerError, formatAddress } from '../core/index.ts'
import type { Sockets } from '../datapaths/index.ts'
import type { TicketSecrets } from '../tls/index.ts'
import { type Bound, freePorts, type RunningService } from './blueprint.ts'
import type { Manager } from './manager.ts'

export interface Inheritance {
  /** Listening sockets of all data threads. */
  readonly sockets: Sockets
  /** Ports that the kernel gave, by service and host. */
  readonly freePorts: Readonly<Record<string, ReadonlyMap<string, readonly number[]>>>
  /** The text of a state file. */
  readonly state: string
  readonly tickets: TicketSecrets
  /** What the table of bindings is told by. */
  readonly table: TableFacts
}

/** The bindings themselves, which go over at the last moment. */
export interface Bequest {
  readonly packed: Int32Array
  /** Names of scopes by their numbers. */
  readonly scopes: ReadonlyMap<number, string>
}

/** Where those sockets listen. */
export function boundOf(sockets: Sockets): Bound[] {
  return Object.keys(sockets).map((address) => {
    const colon = address.lastIndexOf(':')
    return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) }
  })
}

/**
 * Which of its data threads gets which socket: none that stays open goes without somebody who takes from it. What no service
 * listens on is closed.
 */
export function dealOut(sockets: Sockets, { services, board }: Manager): Sockets[] {
  const { threads } = board
  const views = [...services.values()].flatMap(({ view }) => view.listeners)
  const wanted = new Set(views.map(({ host, port }) => formatAddress(host, port)))
  const shares: Record<string, number[]>[] = Array.from({ length: threads }, () => ({}))
  for (const [address, descriptors] of Object.entries(sockets)) {
    if (!wanted.has(address)) {
      for (const fd of descriptors) closeSync(fd)
      continue
    }
    for (const [i, fd] of descriptors.entries()) {
      const share = shares[i % threads] ?? {}
      share[address] = [...(share[address] ?? []), fd]
    }
  }
  return shares
}

/** What another process needs to come in this one's place. The sockets stay open until `take-back` is broadcast. */
export async function bequeath(manager: Manager): Promise<Inheritance> {
  const { threads, services, security, board } = manager
  if (threads === null || manager.draining) throw new BalancerError('UPGRADE_FAILED', 'the process is about to end')
  await threads.whole()
  return {
    sockets: await threads.lend(),
    freePorts: Object.fromEntries([...services].map(([name, service]) => [name, freePorts(service)])),
    state: manager.saved(),
    tickets: security.tickets,
    table: factsOf(board.bindings.buffer),
  }
}

export const bequest = ({ board, services }: Manager): Bequest => ({
  packed: packBindings(board.bindings.buffer),
  scopes: scopesOf(services.values()),
})

/** Takes bindings over from a table of the same size. Before any data thread serves. */
export function adopt({ board, services }: Manager, { table }: Inheritance, { packed, scopes }: Bequest): void {
  const { buffer } = board.bindings
  if (table.buckets !== factsOf(buffer).buckets) return
  unpackBindings(buffer, packed, renumbered(scopes, scopesOf(services.values())))
}

/** Names of the scopes whose bindings the table keeps, by their numbers. */
function scopesOf(services: Iterable<RunningService>): Map<number, string> {
  const scopes = new Map<number, string>()
  for (const { view } of services)
    for (const { affinity } of view.pools) if (affinity !== null) scopes.set(affinity.scope.number, affinity.scope.name)
  return scopes
}

/** Numbers of scopes here, by those there. */
function renumbered(there: ReadonlyMap<number, string>, here: ReadonlyMap<number, string>): Map<number, number> {
  const byName = new Map([...here].map(([number, name]) => [name, number]))
  const numbers = new Map<number, number>()
  for (const [number, name] of there) {
    const own = byName.get(name)
    if (own !== undefined) numbers.set(number, own)
  }
  return numbers
}
