/** What control tells a data thread of a virtual service, and the contract of what serves it. */
import type { Clients, ServiceCell } from '../board/index.ts'
import type { ServiceConfig } from '../config/index.ts'
import type { DeadlineWheel, Logger } from '../core/index.ts'
import type { Pool } from '../pool/index.ts'
import type { AccessLog } from '../telemetry/index.ts'
import type { Credentials } from '../tls/index.ts'

/** A virtual service, plain data: it is posted to every data thread. Rows are those of the board. */
export interface ServiceView {
  readonly name: string
  readonly row: number
  readonly protocol: ServiceConfig['protocol']
  readonly balance: ServiceConfig['balance']
  readonly listeners: readonly ListenerView[]
  readonly backends: readonly BackendView[]
  readonly timeouts: ServiceConfig['timeouts']
  readonly http: ServiceConfig['http']
  readonly filters: ServiceConfig['filters']
  readonly proxyProtocol: ServiceConfig['proxyProtocol']
  readonly limits: ServiceConfig['limits']
  readonly retries: number
  /** ms that flows are held while no backend has a first probe result. */
  readonly startGrace: number
  readonly tls: TlsView | null
}

/** `ticketKeys` are the same in every data thread, so that a session resumes in whichever it comes to. */
export interface TlsView {
  readonly credentials: Credentials
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly ticketKeys: Uint8Array
}

export interface ListenerView {
  readonly row: number
  readonly host: string
  readonly port: number
}

export interface BackendView {
  readonly row: number
  readonly name: string
  readonly host: string
  readonly port: number
  readonly sendProxy: ServiceConfig['sendProxy']
}

/** What the flows of a service share in one data thread. */
export interface ServiceContext {
  readonly view: ServiceView
  readonly pool: Pool
  readonly cell: ServiceCell
  /** null: no client is limited. */
  readonly clients: Clients | null
  readonly wheel: DeadlineWheel
  readonly accessLog: AccessLog
  readonly log: Logger
  /** No new flows: those in progress finish, idle connections close. */
  draining: boolean
  /** Every client connection, for drains and cuts. */
  readonly sessions: Set<Session>
}

/** A client connection, as the service sees it. */
export interface Session {
  /** Finish what is under way, then close. */
  drain(): void
  /** End now. With a backend's name: only if the flow is on that backend. */
  cut(backendName: string | null): void
}

/** Serves one virtual service in one data thread. */
export interface Datapath {
  /** Listens on every address, or throws and listens on none. */
  open(): Promise<void>
  /** Takes no new flows; resolves when the last one has ended. */
  drain(): Promise<void>
  /** Ends the flows on one backend. */
  cut(backendName: string): void
  /** Ends everything. */
  close(): Promise<void>
}
