/** One client connection of a `tcp` or `tls` service: finds a backend, relays, finishes. */

import type { Reason } from '../../board/index.ts'
import { nowMs } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import type { ServiceContext, Session } from '../contract.ts'
import { newId } from '../ids.ts'
import { PlacedFlow } from '../placed-flow.ts'
import { formatHeader } from '../proxy-protocol/format.ts'
import type { Wire } from '../wire.ts'
import { Opening, type OpeningTaker } from './opening.ts'
import { Relay } from './relay.ts'

const NOTHING: Buffer = Buffer.alloc(0)

export class TcpSession extends PlacedFlow implements Session, OpeningTaker {
  readonly method = ''
  readonly target = ''
  readonly host = ''
  readonly version = ''
  readonly referer = ''
  readonly userAgent = ''
  readonly #context: ServiceContext
  readonly #wire: Wire
  readonly #closed: () => void
  /** The client's first bytes; null: they are not looked at. */
  #opening: Opening | null = null
  #relay: Relay | null = null

  constructor(context: ServiceContext, wire: Wire, closed: () => void) {
    super(context, wire.remoteAddress, wire.remotePort, newId())
    this.#context = context
    this.#wire = wire
    this.#closed = closed
    this.#await()
    context.sessions.add(this)
  }

  start(): void {
    const { stream } = this.place
    if (stream === null) return this.seekBackend()
    this.#opening = new Opening(this.#wire, stream, this.#context.wheel, this)
    this.#opening.start()
  }

  onOpened(key: string): void {
    this.affinityKey = key
    this.#await()
    this.seekBackend()
  }

  onLeft(): void {
    this.#finish('client', 'client-closed')
  }

  /** Until there is a relay only the client's end is of interest. */
  #await(): void {
    this.#wire.sink = { onBytes() {}, onEnd() {}, onDrain() {}, onClose: () => this.onLeft() }
  }

  drain(): void {}

  since(backendName: string | null): number {
    if (this.over || (backendName !== null && backendName !== this.backendName)) return Number.POSITIVE_INFINITY
    return this.startedAt
  }

  cut(backendName: string | null): void {
    if (backendName !== null && backendName !== this.backendName) return
    if (this.#relay === null) this.#finish('us', 'cut')
    else this.#relay.cut()
  }

  protected override useIdle(): boolean {
    return false
  }

  protected override onDialled(backend: Backend, wire: Wire): void {
    const { wheel, view } = this.#context
    this.phase = 'relay'
    this.timeTaken(nowMs(), this.dialledAt, true)
    this.judge(true)
    if (backend.sendProxy !== 'off') wire.writeText(formatHeader(backend.sendProxy, this.#wire))
    this.#relay = new Relay(this.#wire, wire, wheel, view.timeouts.idle, ({ by, reason }) => this.#finish(by, reason))
    const watch = this.place.stream?.watch(backend, this.affinityKey) ?? null
    if (watch !== null) this.#relay.watchBackend(watch)
    if (this.#opening !== null) this.#relay.inject(this.#opening.bytes, NOTHING)
    this.#relay.start()
  }

  protected override onUnplaced(): void {
    this.#finish(this.tries === 0 ? 'us' : 'backend', this.failure.reason)
  }

  #finish(by: string, reason: Reason | ''): void {
    if (this.over) return
    this.#context.sessions.delete(this)
    this.#opening?.cancel()
    this.backend?.cell.request(0)
    // Without a relay nothing was sent: a reset is TCP's way to say that nobody is here.
    if (this.#relay === null) this.#wire.reset()
    else {
      this.bytesIn = this.#relay.received
      this.bytesOut = this.#relay.sent
    }
    this.conclude(by, reason)
    this.#closed()
  }
}
