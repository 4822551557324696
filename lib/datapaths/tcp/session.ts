/** One client connection of a `tcp` or `tls` service: pick, dial, relay, finish. */
import type { Reason, RetryReason } from '../../board/index.ts'
import type { Backend, Flow } from '../../pool/index.ts'
import type { FlowRecord, Phase } from '../../telemetry/index.ts'
import type { ServiceContext, Session } from '../contract.ts'
import { Dial } from '../dial.ts'
import { newId } from '../ids.ts'
import { formatHeader } from '../proxy-protocol/format.ts'
import type { Wire } from '../wire.ts'
import { Relay } from './relay.ts'

export class TcpSession implements Session, Flow, FlowRecord {
  readonly #context: ServiceContext
  readonly #wire: Wire
  readonly #closed: () => void
  readonly #begunAt = performance.now()
  #tried: Set<Backend> | null = null
  #backend: Backend | null = null
  #dial: Dial | null = null
  #relay: Relay | null = null
  /** Why there is no backend, once there is none left. */
  #failure: Reason = 'no-backend'
  #over = false

  readonly startedAt = Date.now()
  readonly protocol: string
  readonly service: string
  readonly clientAddress: string
  readonly clientPort: number
  readonly id = newId()
  readonly method = ''
  readonly target = ''
  readonly host = ''
  readonly version = ''
  readonly referer = ''
  readonly userAgent = ''
  readonly status = 0
  backendName = ''
  tries = 0
  queueMs = 0
  connectMs = -1
  firstByteMs = -1
  totalMs = 0
  bytesIn = 0
  bytesOut = 0
  endedBy = ''
  reason: Reason | '' = ''
  phase: Phase = 'queue'

  constructor(context: ServiceContext, wire: Wire, closed: () => void) {
    this.#context = context
    this.#wire = wire
    this.#closed = closed
    this.protocol = context.view.protocol
    this.service = context.view.name
    this.clientAddress = wire.remoteAddress
    this.clientPort = wire.remotePort
    wire.sink = { onBytes() {}, onEnd() {}, onDrain() {}, onClose: () => this.#finish('client', 'client-closed') }
    context.sessions.add(this)
  }

  start(): void {
    const { pool, view } = this.#context
    if (pool.undecided()) void this.#hold(this.#context.wheel.now + view.startGrace)
    else this.#place()
  }

  drain(): void {}

  cut(backendName: string | null): void {
    if (backendName !== null && backendName !== this.backendName) return
    if (this.#relay === null) this.#finish('us', 'cut')
    else this.#relay.cut()
  }

  /** Waits for the first probe results, at most until the grace is over. */
  async #hold(until: number): Promise<void> {
    const { pool, wheel } = this.#context
    while (!this.#over && pool.undecided() && wheel.now < until) await pool.changed(until - wheel.now)
    if (!this.#over) this.#place()
  }

  #place(): void {
    if (this.tries === 0) this.queueMs = performance.now() - this.#begunAt
    const { pool, wheel, view } = this.#context
    const backend = pool.pick(this, this.#tried)
    if (backend === undefined) return this.#finish(this.tries === 0 ? 'us' : 'backend', this.#failure)
    backend.cell.begin()
    this.#backend = backend
    this.backendName = backend.name
    this.tries++
    this.phase = 'connect'
    this.#dial = new Dial(backend, wheel, view.timeouts.connect, (wire, code) => this.#dialled(backend, wire, code))
  }

  #dialled(backend: Backend, wire: Wire | null, code: string): void {
    this.#dial = null
    if (wire === null) return this.#retry(backend, code === 'ETIMEDOUT' ? 'connect-timeout' : 'connect-failed')
    const { wheel, view } = this.#context
    this.connectMs = performance.now() - this.#begunAt - this.queueMs
    this.phase = 'relay'
    if (backend.sendProxy !== 'off') wire.writeText(formatHeader(backend.sendProxy, this.#wire))
    this.#relay = new Relay(this.#wire, wire, wheel, view.timeouts.idle, ({ by, reason }) => this.#finish(by, reason))
    this.#relay.start()
  }

  #retry(backend: Backend, reason: RetryReason & Reason): void {
    backend.cell.end()
    this.#backend = null
    if (this.tries > this.#context.view.retries) return this.#finish('backend', reason)
    this.#failure = reason
    this.#context.cell.retry(reason)
    this.#tried ??= new Set()
    this.#tried.add(backend)
    this.#place()
  }

  #finish(by: string, reason: Reason | ''): void {
    if (this.#over) return
    this.#over = true
    const { cell, sessions, accessLog } = this.#context
    sessions.delete(this)
    this.#dial?.cancel()
    this.#backend?.cell.end()
    this.#backend?.cell.request(0)
    // Without a relay nothing was sent: a reset is TCP's way to say that nobody is here.
    if (this.#relay === null) this.#wire.reset()
    else {
      this.bytesIn = this.#relay.received
      this.bytesOut = this.#relay.sent
    }
    this.endedBy = by
    this.reason = reason
    if (reason === '') this.phase = 'done'
    this.totalMs = performance.now() - this.#begunAt
    cell.bytes(this.bytesIn, this.bytesOut)
    cell.request(0, this.totalMs)
    if (reason !== '') cell.error(reason)
    accessLog.write(this)
    this.#closed()
  }
}
