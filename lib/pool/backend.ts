/** One backend of one service, as a data thread sees it. Identified by service and name, never by address. */
import type { BackendCell } from '../board/index.ts'

/** A version of the PROXY protocol, or none. */
export type SendProxy = 'off' | 'v1' | 'v2'

export class Backend {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly cell: BackendCell
  /** The PROXY header that its connections begin with. */
  readonly sendProxy: SendProxy
  /** Effective weight when the eligible snapshot was built, 1..256. */
  weight = 1

  constructor(name: string, host: string, port: number, cell: BackendCell, sendProxy: SendProxy = 'off') {
    this.name = name
    this.host = host
    this.port = port
    this.cell = cell
    this.sendProxy = sendProxy
  }
}
