/** What control tells a data thread of a virtual service, and the contract of what serves it. */
import type { AffinityView, HttpSide, StreamSide } from '../affinity/index.ts'
import type { Clients, ServiceCell } from '../board/index.ts'
import type { PoolConfig, ServiceConfig } from '../config/index.ts'
import type { DeadlineWheel, Logger, Member, Roster } from '../core/index.ts'
import type { Pool, Tier } from '../pool/index.ts'
import type { AccessLog } from '../telemetry/index.ts'
import type { BackendTlsView, Challenges, TlsView } from '../tls/index.ts'
import type { HashKey } from './http/hash-key.ts'
import type { RetryBudget } from './retry-budget.ts'
import type { Preamble } from './starttls/contract.ts'

/** A virtual service, plain data: it is posted to every data thread. Rows are those of the board. */
export interface ServiceView {
  readonly name: string
  readonly row: number
  readonly protocol: ServiceConfig['protocol']
  readonly listeners: readonly ListenerView[]
  /** The service's own, and then those that `routes` name. */
  readonly pools: readonly [PoolView, ...PoolView[]]
  readonly routes: ServiceConfig['routes']
  readonly timeouts: ServiceConfig['timeouts']
  readonly http: ServiceConfig['http']
  readonly filters: ServiceConfig['filters']
  readonly proxyProtocol: ServiceConfig['proxyProtocol']
  readonly limits: ServiceConfig['limits']
  readonly retries: number
  readonly tls: TlsView | null
  /** The protocol in which clients ask for TLS; null: they begin with it. */
  readonly startTls: NonNullable<ServiceConfig['startTls']> | null
}

export interface ListenerView {
  readonly row: number
  readonly host: string
  readonly port: number
}

/** A set of backends with a policy of its own. */
export interface PoolView {
  /** '': the service's own. */
  readonly name: string
  readonly row: number
  readonly balance: PoolConfig['balance']
  readonly hash: PoolConfig['hash']
  /** null: clients are not kept on their backends. */
  readonly affinity: AffinityView | null
  readonly backends: readonly BackendView[]
  /** null: plain connections to them. */
  readonly tls: BackendTlsView | null
  readonly backendProtocol: PoolConfig['backendProtocol']
  readonly queue: PoolConfig['queue']
  readonly allDown: PoolConfig['allDown']
  readonly sorry: PoolConfig['sorry']
  /** Flows that fail are counted by backend. */
  readonly watched: boolean
  /** ms that flows are held while no backend has a first probe result. */
  readonly startGrace: number
}

export interface BackendView {
  readonly row: number
  readonly name: string
  readonly host: string
  readonly port: number
  readonly sendProxy: ServiceConfig['sendProxy']
  readonly tier: Tier
}

/** A pool with what flows need of its view. */
export interface ServicePool {
  readonly pool: Pool
  readonly view: PoolView
  /** Its policy goes by how long backends take to answer. */
  readonly timed: boolean
  /** What requests are hashed by; null: they are not, or by their client's address. */
  readonly hashKey: HashKey | null
  /** What its affinity reads of requests, and of a connection's first bytes; null: nothing. */
  readonly http: HttpSide | null
  readonly stream: StreamSide | null
}

/** What outlives each view of a service in one data thread. */
export interface Life {
  /** No new flows: those in progress finish, idle connections close. */
  draining: boolean
  /** Every client connection, for drains and cuts. */
  readonly sessions: Roster<Session>
  /** What is in force; flows that began under a view before look here for another backend. null: nothing is yet. */
  latest: ServiceContext | null
}

/** What the flows of a service share in one data thread, under one view of it. */
export interface ServiceContext {
  readonly life: Life
  readonly view: ServiceView
  /** In the order of the view. */
  readonly pools: readonly [ServicePool, ...ServicePool[]]
  readonly retryBudget: RetryBudget
  readonly cell: ServiceCell
  /** How TLS is asked for; null: it is not, everybody begins with it. */
  readonly preamble: Preamble | null
  /** null: no client is limited. */
  readonly clients: Clients | null
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  /** Whether the thread can keep up. */
  readonly load: { readonly shedding: boolean }
  readonly log: Logger
  /** What authorities are answered, who ask whether we have a name. */
  readonly challenges: Challenges
  /** Flows under way. */
  active: number
  /** That of its life. */
  readonly draining: boolean
  readonly sessions: Roster<Session>
}

/**
 * Which clients a service lets in. `open`: all. `bound`: it listens for those that are bound to a backend; the pool knows
 * them. `shut`: none, it does not listen.
 */
export type ServiceGate = 'open' | 'bound' | 'shut'

/** A client connection, as the service sees it. */
export interface Session extends Member {
  /** Finish what is under way, then close. An idle one may send one more request for `graceMs`; Infinity: as long as ever. */
  drain(graceMs: number): void
  /** End now. With a backend's name: only if the flow is on that backend. */
  cut(backendName: string | null): void
  /** When its flow began, ms since the epoch. With a backend's name: only if it is on that backend. Infinity: there is none. */
  since(backendName: string | null): number
}

/** Serves one virtual service in one data thread. Without a view, as it begins, it serves nobody. */
export interface Datapath {
  /**
   * Makes what another view needs, and listens where nobody did before; nothing of it serves anybody until `commit`.
   * @param gate as it will be then
   * @throws BalancerError and leaves nothing behind
   */
  prepare(view: ServiceView, gate: ServiceGate): Promise<void>
  /** What was prepared is in force: connections go on, requests that come from now on are served under the new view. */
  commit(): void
  /** What was prepared is not wanted. */
  discard(): void
  /** Listens on every address as the gate wants it, or throws and listens on none. Otherwise than `open`: connections end with their next answer. */
  admit(gate: ServiceGate): Promise<void>
  /** Handshakes that begin from now on are as `tls` says; connections that are open stay as they are. */
  secure(tls: TlsView): void
  /**
   * Takes no new flows; resolves when the last one has ended. Politely: handshakes under way go on, and idle connections stay
   * for one more request: another process serves who comes anew.
   */
  drain(politely: boolean): Promise<void>
  /** Ends all flows, or those on one backend, spread over `spreadMs`; resolves when they have ended. */
  cut(backendName: string | null, spreadMs: number): Promise<void>
  /** When the oldest flow began, of all or of one backend; Infinity: there is none. */
  oldest(backendName: string | null): number
  /** Ends everything. */
  close(): Promise<void>
}
