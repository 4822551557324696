/** What a stream tells of its ends: as a wire it is where its connection is, whichever side opened that. */
import type { Wire } from '../wire.ts'

export abstract class Carried {
  readonly owned = false
  /** The connection that carries it. */
  protected abstract get carrier(): Wire

  get remoteAddress(): string {
    return this.carrier.remoteAddress
  }
  get remotePort(): number {
    return this.carrier.remotePort
  }
  get localAddress(): string {
    return this.carrier.localAddress
  }
  get localPort(): number {
    return this.carrier.localPort
  }
  get serverName(): string {
    return this.carrier.serverName
  }
  get protocol(): string {
    return this.carrier.protocol
  }
  bulk(): void {}
}
