/** One backend of one service, as a data thread sees it. Identified by service and name, never by address. */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { BackendCell } from '../board/index.ts'

/** A version of the PROXY protocol, or none. */
export type SendProxy = 'off' | 'v1' | 'v2'

/** When it is used: `backup` while no primary takes new flows, `sorry` while no backup does either. */
export type Tier = 'primary' | 'backup' | 'sorry'

/** Makes connections to a backend secure. */
export interface Security {
  /** TLS is asked for first, in the words of the service's protocol. */
  readonly asked: boolean
  /** A handshake over a connection to it; `secureConnect` comes only when the backend is who it should be. */
  wrap(raw: Socket, host: string, port: number): TLSSocket
  /** It would not come to a handshake. */
  refused(host: string, port: number, problem: string): void
}

/** What it speaks, where requests are sent to it one by one. */
export type BackendProtocol = 'http1' | 'h2' | 'h2c'

export interface BackendOptions {
  readonly protocol?: BackendProtocol
  /** null: plain connections. */
  readonly security?: Security | null
  readonly sendProxy?: SendProxy
  readonly tier?: Tier
  /** Flows that fail on it are counted: too many in a row eject it. */
  readonly watched?: boolean
}

export class Backend {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly cell: BackendCell
  /** The PROXY header that its connections begin with. */
  readonly sendProxy: SendProxy
  readonly tier: Tier
  readonly watched: boolean
  /** null: plain connections. */
  readonly security: Security | null
  readonly protocol: BackendProtocol
  /** Effective weight when the eligible snapshot was built, 0.01..256. */
  weight = 1
  /** The most flows at once when the eligible snapshot was built; 0: no limit. */
  most = 0
  /** The flows that it had when the policy picked it for having so few; -1: the policy does not count them. */
  seen = -1

  constructor(
    name: string,
    host: string,
    port: number,
    cell: BackendCell,
    { sendProxy = 'off', tier = 'primary', watched = false, security = null, protocol = 'http1' }: BackendOptions = {},
  ) {
    this.name = name
    this.host = host
    this.port = port
    this.cell = cell
    this.sendProxy = sendProxy
    this.tier = tier
    this.watched = watched
    this.security = security
    this.protocol = protocol
  }
}
