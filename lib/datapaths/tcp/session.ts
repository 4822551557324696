/** One client connection of a `tcp` or `tls` service: finds a backend, relays, finishes. */

import type { Reason } from '../../board/index.ts'
import { nowMs } from '../../core/index.ts'
import type { Backend } from '../../pool/index.ts'
import { HelloReader, UNRECOGNIZED_NAME } from '../../tls/index.ts'
import type { ServiceContext, Session } from '../contract.ts'
import { newId } from '../ids.ts'
import { Linger } from '../linger.ts'
import { type Failure, PlacedFlow } from '../placed-flow.ts'
import { type Client, formatHeader } from '../proxy-protocol/format.ts'
import { Hearing, type HearingTaker } from '../starttls/hearing.ts'
import type { Wire } from '../wire.ts'
import type { NameRoutes } from './name-routes.ts'
import { Opening, type OpeningTaker } from './opening.ts'
import { Relay } from './relay.ts'

const NOTHING: Buffer = Buffer.alloc(0)
const KEY_WAIT_MS = 3000 // clients of protocols with a key of affinity in them speak first, in one packet

/** What became of a backend that was connected to, and did not greet as its protocol has it. */
const UNWILLING: Failure = { status: 502, reason: 'backend-closed', detail: 'the backend does not serve' }
const SILENT: Failure = { status: 504, reason: 'backend-timeout', detail: 'the backend does not answer' }

export class TcpSession extends PlacedFlow implements Session, OpeningTaker, HearingTaker {
  seat = -1
  readonly method = ''
  readonly target = ''
  /** The name that the client asked for, where connections are routed by it. */
  host = ''
  readonly version = ''
  readonly referer = ''
  readonly userAgent = ''
  readonly #context: ServiceContext
  readonly #wire: Wire
  /** null: the pool is the service's own. */
  readonly #names: NameRoutes | null
  readonly #closed: () => void
  /** Reads the name out of a handshake that goes through; null: none is awaited. */
  #hello: HelloReader | null = null
  /** The client's first bytes; null: they are not looked at. */
  #opening: Opening | null = null
  /** The backend's first words, which the client has been told by us; null: they are not awaited. */
  #hearing: Hearing | null = null
  #relay: Relay | null = null

  constructor(context: ServiceContext, wire: Wire, names: NameRoutes | null, closed: () => void) {
    super(context, wire.remoteAddress, wire.remotePort, newId())
    this.#context = context
    this.#wire = wire
    this.#names = names
    this.#closed = closed
    this.#await()
    context.sessions.add(this)
  }

  start(): void {
    const { view, wheel } = this.#context
    if (this.#names !== null) {
      if (view.tls === null) this.#hello = new HelloReader()
      else if (!this.#route(this.#wire.serverName.toLowerCase())) return this.#finish('us', 'no-route')
    }
    if (this.#hello === null && this.place.stream === null) return this.seekBackend()
    this.phase = 'head'
    this.#opening = new Opening(this.#wire, wheel, this)
    this.#opening.start(this.#hello === null ? KEY_WAIT_MS : view.timeouts.handshake)
  }

  /** False: nothing is served under that name. */
  #route(name: string): boolean {
    this.host = name
    const place = this.#names?.placeFor(name) ?? null
    if (place !== null) this.place = place
    return place !== null
  }

  onOpening(all: Buffer, fresh: Buffer): boolean {
    const hello = this.#hello
    if (hello !== null) {
      const name = hello.push(fresh)
      if (name === null) return false
      this.#hello = null
      if (!this.#route(name)) {
        this.#turnAway(hello.found)
        return false
      }
    }
    const key = this.place.stream === null ? '' : this.place.stream.keyIn(all)
    this.affinityKey = key ?? ''
    return key !== null
  }

  /** A client that is silent is as good as unknown to affinity, but where the name decides, nobody waits for it for ever. */
  onOpened(late: boolean): void {
    if (late && this.#hello !== null) return this.#finish('client', 'client-timeout')
    this.phase = 'queue'
    this.#await()
    this.seekBackend()
  }

  /** No route is for it. Who speaks TLS is told so in its words (RFC 6066 §3). */
  #turnAway(speaksTls: boolean): void {
    if (!speaksTls) return this.#finish('client', 'bad-request')
    const wire = this.#wire
    wire.writeText(UNRECOGNIZED_NAME.toString('latin1'))
    this.#conclude('us', 'no-route')
    new Linger(wire, this.#context.wheel, false, this.#closed)
  }

  onLeft(): void {
    this.#finish('client', 'client-closed')
  }

  /** Until there is a relay only the client's end is of interest. */
  #await(): void {
    this.#wire.sink = { onBytes() {}, onEnd() {}, onDrain() {}, onClose: () => this.onLeft() }
  }

  protected override onFault(): void {
    if (this.#relay === null) this.#finish('us', 'internal')
    else this.#relay.end('us', 'internal')
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
    const { wheel, view, preamble } = this.#context
    if (backend.sendProxy !== 'off') wire.writeText(formatHeader(backend.sendProxy, this.#client()))
    const hello = preamble?.hello ?? null
    if (hello === null || backend.security?.asked === true) return this.#begin(backend, wire, NOTHING)
    this.#hearing = new Hearing(wire, hello, wheel, view.timeouts.firstByte, this)
  }

  onGreeted(wire: Wire, rest: Buffer): void {
    this.#hearing = null
    if (this.backend !== null) this.#begin(this.backend, wire, rest)
  }

  /** It does not serve, and nothing was passed on to it yet. */
  onUngreeted(late: boolean): void {
    this.#hearing = null
    this.judge(false)
    this.failure = late ? SILENT : UNWILLING
    if (this.spent) this.onUnplaced()
    else this.tryAnother(late ? 'connect-timeout' : 'backend-closed', this.backend)
  }

  /** @param early what the backend has said already */
  #begin(backend: Backend, wire: Wire, early: Buffer): void {
    const { wheel, view } = this.#context
    this.phase = 'relay'
    this.timeTaken(nowMs(), this.dialledAt, true)
    this.judge(true)
    this.#relay = new Relay(this.#wire, wire, wheel, view.timeouts.idle, ({ by, reason }) => this.#finish(by, reason))
    const watch = this.place.stream?.watch(backend, this.affinityKey) ?? null
    if (watch !== null) this.#relay.watchBackend(watch)
    this.#relay.inject(this.#opening?.bytes ?? NOTHING, early)
    this.#relay.start()
  }

  protected override onUnplaced(): void {
    this.#finish(this.tries === 0 ? 'us' : 'backend', this.failure.reason)
  }

  /** Of whom the backend is told. */
  #client(): Client {
    const wire = this.#wire
    if (this.host === '') return wire
    const { remoteAddress, remotePort, localAddress, localPort } = wire
    return { remoteAddress, remotePort, localAddress, localPort, serverName: this.host }
  }

  #finish(by: string, reason: Reason | ''): void {
    if (this.over) return
    // Without a relay nothing was sent: a reset is TCP's way to say that nobody is here.
    if (this.#relay === null) this.#wire.reset()
    this.#conclude(by, reason)
    this.#closed()
  }

  #conclude(by: string, reason: Reason | ''): void {
    this.#context.sessions.delete(this)
    this.#opening?.cancel()
    this.#hearing?.cancel()
    this.backend?.cell.request(0)
    if (this.#relay !== null) {
      this.bytesIn = this.#relay.received
      this.bytesOut = this.#relay.sent
    } else this.bytesIn = this.#opening?.bytes.length ?? 0
    this.conclude(by, reason)
  }
}
